//! `partway files rm`

use std::process::ExitCode;

use clap::Args;
use partway_client::{Error, FileRow};

use super::NAMING;
use crate::confirm::confirm;
use crate::remote::{ServerArgs, explained};
use crate::{Failure, human, output};

/// Arguments of `partway files rm`.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct RmArgs {
    /// The files.
    #[arg(required = true)]
    files: Vec<String>,
    /// Show what would be deleted, without deleting it.
    #[arg(long)]
    dry_run: bool,
    /// Delete without confirmation.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Deletes files, and prints their paths. A failure does not keep the others from being tried.
pub(crate) async fn rm(args: &RmArgs) -> Result<ExitCode, Failure> {
    let workspace = args.server.workspace()?;
    let mut failed = false;
    let mut complain = |wanted: &str, error: &Error| {
        failed = true;
        output::say(format_args!("partway: {wanted} was not deleted: {}", explained(error)));
    };
    let mut files: Vec<FileRow> = Vec::new();
    for wanted in &args.files {
        match workspace.find_file(wanted).await {
            Ok(file) if files.iter().any(|other| other.id == file.id) => {}
            Ok(file) => files.push(file),
            Err(error) if error.is_of_connection() => return Err(error.into()),
            Err(error) => complain(wanted, &error),
        }
    }
    if !args.dry_run && !args.yes && !files.is_empty() && !confirm(&question(&files)).await? {
        return Ok(ExitCode::FAILURE);
    }
    for file in &files {
        let outcome = match args.dry_run {
            true => workspace.preview_file_deletion(&file.file_no).await,
            false => workspace.delete_file(&file.file_no).await.map(|()| file.clone()),
        };
        match outcome {
            Ok(file) if args.dry_run => {
                output::line(format!("would delete {} ({})", human::plain(&file.path), human::size(file.size)))?;
            }
            Ok(file) => output::line(human::plain(&file.path))?,
            Err(error) => complain(&file.path, &error),
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn question(files: &[FileRow]) -> String {
    let size = human::size(files.iter().map(|file| file.size).sum());
    match files {
        [file] => format!("Delete {} ({size})?", human::plain(&file.path)),
        files => format!("Delete {} ({size})?", human::count(files.len() as u64, "file")),
    }
}
