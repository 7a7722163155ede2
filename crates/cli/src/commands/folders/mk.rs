//! `partway folders mk`

use std::process::ExitCode;

use clap::Args;

use crate::remote::ServerArgs;
use crate::{Failure, human, output};

/// Arguments of `partway folders mk`.
#[derive(Debug, Args)]
pub(crate) struct MkArgs {
    /// Path of the folder in the workspace.
    #[arg(value_parser = parse_path)]
    path: String,
    /// Create missing parent folders as well, and succeed if the folder exists.
    #[arg(long, short)]
    parents: bool,
    /// Print the folder as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

fn parse_path(text: &str) -> Result<String, String> {
    match text.trim_matches('/') {
        "" => Err("must be a path; the root of the workspace always exists".to_owned()),
        path => Ok(path.to_owned()),
    }
}

/// Creates a folder and prints its path.
pub(crate) async fn mk(args: &MkArgs) -> Result<ExitCode, Failure> {
    let folder = args.server.workspace()?.create_folder_at(&args.path, args.parents).await?;
    match args.json {
        true => output::json(&folder)?,
        false => output::line(human::plain(&folder.path))?,
    }
    Ok(ExitCode::SUCCESS)
}
