//! `partway folders …`: one file per command.

mod ls;
mod mk;
mod mv;
mod rm;

use std::process::ExitCode;

use clap::Subcommand;

use crate::remote;

/// Help about the names of folders, for all of these commands.
const NAMING: &str = "FOLDER is a path in the workspace, such as uploads/videos, or the number of a folder. A number takes \
                      precedence; start a path with a slash to make sure that it is read as a path.";

/// `partway folders`
#[derive(Debug, Subcommand)]
pub(crate) enum FoldersCommand {
    /// List the folders at the root of the workspace, or those directly in a folder.
    Ls(ls::LsArgs),
    /// Create a folder.
    Mk(mk::MkArgs),
    /// Rename a folder. The paths of everything below it change, too.
    Mv(mv::MvArgs),
    /// Delete a folder with everything below it.
    Rm(rm::RmArgs),
}

/// Runs the command.
pub(crate) fn folders(command: FoldersCommand) -> ExitCode {
    match command {
        FoldersCommand::Ls(args) => remote::run(ls::ls(&args)),
        FoldersCommand::Mk(args) => remote::run(mk::mk(&args)),
        FoldersCommand::Mv(args) => remote::run(mv::mv(&args)),
        FoldersCommand::Rm(args) => remote::run(rm::rm(&args)),
    }
}
