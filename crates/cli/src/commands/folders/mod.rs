//! `partway folders …`: one file per command.

mod ls;
mod mk;
mod mv;
mod rm;

use std::process::ExitCode;

use clap::Subcommand;

use crate::remote;

/// How all of these commands name a folder.
const NAMING: &str = "A folder is named by its path in the workspace, such as uploads/videos, or by its number. A number \
                      counts first; a path that begins with a slash is never taken for one.";

/// What can be done with folders on a server.
#[derive(Debug, Subcommand)]
pub(crate) enum FoldersCommand {
    /// List folders: those at the workspace's root, or those directly in a folder.
    Ls(ls::LsArgs),
    /// Make a folder.
    Mk(mk::MkArgs),
    /// Rename a folder. The paths of everything below follow.
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
