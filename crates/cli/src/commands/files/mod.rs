//! `partway files …`: one file per command.

mod get;
mod info;
mod ls;
mod mv;
mod rm;
mod tag;

use std::process::ExitCode;

use clap::Subcommand;

use crate::remote;

/// How all of these commands name a file.
const NAMING: &str = "A file is named by its path in the workspace, such as uploads/videos/big.mp4, or by its number. A \
                      number counts first; a path that begins with a slash is never taken for one.";

/// What can be done with files on a server.
#[derive(Debug, Subcommand)]
pub(crate) enum FilesCommand {
    /// List files: all of the workspace, or those directly in a folder.
    Ls(ls::LsArgs),
    /// Show all that is known of a file.
    Info(info::InfoArgs),
    /// Rename a file, or move it to another folder.
    Mv(mv::MvArgs),
    /// Delete files.
    Rm(rm::RmArgs),
    /// Change tags and metadata of a file.
    Tag(tag::TagArgs),
    /// Download a file in parallel ranges, and go on where an earlier download stopped.
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
