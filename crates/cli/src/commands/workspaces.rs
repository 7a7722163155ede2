//! `partway workspaces create|list`

use clap::{Args, Subcommand};
use partway_server::db::workspaces::{self, Workspace};
use partway_server::service::workspace::create_workspace;
use serde_json::json;

use super::keys::write;
use crate::settings::StoreArgs;
use crate::{Failure, table};

/// What can be done with workspaces.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// Make a workspace. It has no keys yet; `partway keys create` makes them.
    Create(CreateArgs),
    /// List all workspaces.
    List(OutputArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A name for people.
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command on the database, beside the server if one is running.
pub(crate) fn workspaces(command: WorkspacesCommand) -> Result<(), Failure> {
    match command {
        WorkspacesCommand::Create(args) => {
            let name = args.name;
            let workspace = write(&args.output.store.config()?, move |tx| create_workspace(tx, &name))?;
            print(&[workspace], args.output.json);
        }
        WorkspacesCommand::List(args) => print(&write(&args.store.config()?, workspaces::list)?, args.json),
    }
    Ok(())
}

fn print(workspaces: &[Workspace], as_json: bool) {
    if as_json {
        for Workspace { id, workspace_no, name, created_at } in workspaces {
            let id = id.to_string();
            println!(
                "{}",
                json!({"id": id, "workspace_no": workspace_no, "name": name, "created_at": created_at.to_iso8601()})
            );
        }
        return;
    }
    let rows: Vec<_> = workspaces
        .iter()
        .map(|workspace| [workspace.workspace_no.clone(), workspace.name.clone(), workspace.created_at.to_iso8601()])
        .collect();
    table::print(["NUMBER", "NAME", "CREATED"], &rows);
}
