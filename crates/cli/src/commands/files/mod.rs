//! `partway files …`: one file per command.

mod get;
mod info;
mod link;
mod ls;
mod mv;
mod rm;
mod tag;

use std::process::ExitCode;

use clap::Subcommand;

use crate::remote;

/// Help about the names of files, for all of these commands.
const NAMING: &str = "FILE is a path in the workspace, such as uploads/videos/big.mp4, or the number of a file. A number \
                      takes precedence; start a path with a slash to make sure that it is read as a path.";

/// `partway files`
#[derive(Debug, Subcommand)]
pub(crate) enum FilesCommand {
    /// List the files of the workspace, or those directly in a folder.
    Ls(ls::LsArgs),
    /// Show all properties of a file.
    Info(info::InfoArgs),
    /// Rename a file, or move it to another folder.
    Mv(mv::MvArgs),
    /// Delete files.
    Rm(rm::RmArgs),
    /// Change the tags and metadata of a file.
    Tag(tag::TagArgs),
    /// Download a file in parallel ranges, and resume an earlier download.
    Get(get::GetArgs),
}

/// Runs the command.
pub(crate) fn files(command: FilesCommand) -> ExitCode {
    match command {
        FilesCommand::Ls(args) => remote::run(ls::ls(&args)),
        FilesCommand::Info(args) => remote::run(info::info(&args)),
        FilesCommand::Mv(args) => remote::run(mv::mv(&args)),
        FilesCommand::Rm(args) => remote::run(rm::rm(&args)),
        FilesCommand::Tag(args) => remote::run(tag::tag(&args)),
        FilesCommand::Get(args) => remote::block_on(get::get(&args)),
    }
}
