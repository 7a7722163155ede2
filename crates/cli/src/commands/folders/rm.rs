//! `partway folders rm`

use std::process::ExitCode;

use clap::Args;
use partway_client::DeletedFolder;

use super::NAMING;
use crate::confirm::confirm;
use crate::remote::ServerArgs;
use crate::{Failure, human, output};

/// Arguments of `partway folders rm`.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct RmArgs {
    /// The folder.
    folder: String,
    /// Show what would be deleted, without deleting it.
    #[arg(long)]
    dry_run: bool,
    /// Delete without confirmation.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Deletes a folder with everything below it, and prints a summary.
pub(crate) async fn rm(args: &RmArgs) -> Result<ExitCode, Failure> {
    let workspace = args.server.workspace()?;
    let folder_no = workspace
        .find_folder(&args.folder)
        .await?
        .ok_or("the root of the workspace cannot be deleted; name one of its folders")?;
    let deletion = workspace.preview_folder_deletion(&folder_no).await?;
    let what = described(&deletion);
    if args.dry_run {
        output::line(format!("would delete {what}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirm(&format!("Delete {what}?")).await? {
        return Ok(ExitCode::FAILURE);
    }
    workspace.delete_folder(&folder_no).await?;
    output::line(format!("deleted {what}"))?;
    Ok(ExitCode::SUCCESS)
}

/// `a/b with 2 folders and 5 files (1.0 MiB)`
fn described(deletion: &DeletedFolder) -> String {
    let (folders, files) = (human::count(deletion.folders, "folder"), human::count(deletion.files, "file"));
    let path = human::plain(&deletion.folder.path);
    format!("{path} with {folders} and {files} ({})", human::size(deletion.bytes))
}
