//! `partway folders mv`

use std::process::ExitCode;

use clap::Args;
use partway_client::RenameFolderRequest;

use super::NAMING;
use crate::remote::ServerArgs;
use crate::{Failure, human, output};

/// Arguments of `partway folders mv`.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct MvArgs {
    /// The folder.
    folder: String,
    /// The new name. The folder stays where it is.
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
    /// Print the folder as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

fn parse_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("must not be empty".to_owned()),
        text if text.contains('/') => Err("must be a name without slashes: a folder cannot be moved".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Renames a folder. Prints its path.
pub(crate) async fn mv(args: &MvArgs) -> Result<ExitCode, Failure> {
    let workspace = args.server.workspace()?;
    let folder_no = workspace.find_folder(&args.folder).await?.ok_or("the root of the workspace cannot be renamed")?;
    let folder = workspace.rename_folder(&folder_no, &RenameFolderRequest { name: args.name.clone() }).await?;
    match args.json {
        true => output::json(&folder)?,
        false => output::line(human::plain(&folder.path))?,
    }
    Ok(ExitCode::SUCCESS)
}
