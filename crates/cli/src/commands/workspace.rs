//! Which workspace a command is about.

use partway_server::db::workspaces::{self, Workspace};
use partway_server::db::{DbError, Tx};

/// The workspace with this number, or the only one; otherwise what to say.
pub(super) fn choose(tx: &Tx<'_>, wanted: Option<&str>) -> Result<Result<Workspace, String>, DbError> {
    let all = workspaces::list(tx)?;
    let numbers = all.iter().map(|workspace| workspace.workspace_no.as_str()).collect::<Vec<_>>().join(", ");
    let mut fitting = all.into_iter().filter(|workspace| wanted.is_none_or(|wanted| wanted == workspace.workspace_no));
    Ok(match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!("--workspace is {:?}; there are: {numbers}", wanted.unwrap_or_default())),
        (Some(_), Some(_)) => Err(format!("there are several workspaces; say which with --workspace: {numbers}")),
    })
}
