//! `partway folders mk`

use std::process::ExitCode;

use clap::Args;

use crate::remote::ServerArgs;
use crate::{Failure, human, output};

/// What `partway folders mk` takes.
#[derive(Debug, Args)]
pub(crate) struct MkArgs {
    /// Its path in the workspace.
    #[arg(value_parser = parse_path)]
    path: String,
    /// Make the folders on the way as well, and be content when it is there already.
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
        "" => Err("must be a path; the workspace's root is there always".to_owned()),
        path => Ok(path.to_owned()),
    }
}

/// Makes a folder. Prints its path.
pub(crate) async fn mk(args: &MkArgs) -> Result<ExitCode, Failure> {
    let folder = args.server.workspace()?.create_folder_at(&args.path, args.parents).await?;
    match args.json {
        true => output::json(&folder)?,
        false => output::line(human::plain(&folder.path))?,
    }
    Ok(ExitCode::SUCCESS)
}
