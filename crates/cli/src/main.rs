//! `partway`: the server and its command-line client in one binary.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "output.rs escapes control characters, and does not panic when nobody reads"
)]

mod allocator;
mod commands;
mod confirm;
mod human;
mod logging;
mod optional_key;
mod output;
mod progress;
mod remote;
mod resume;
mod settings;
mod table;
mod transfer_args;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// A self-hosted server for large uploads, and its client.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server. It needs no configuration: the first start creates the data directory and the keys.
    Serve(settings::ServeArgs),
    /// Upload files in parts, and resume unfinished uploads.
    Upload(commands::upload::UploadArgs),
    /// Manage the files on a server: list, show, move, tag, delete and download them.
    #[command(subcommand)]
    Files(commands::files::FilesCommand),
    /// Manage the folders on a server: list, create, rename and delete them.
    #[command(subcommand)]
    Folders(commands::folders::FoldersCommand),
    /// Manage API keys: create, list and revoke them, also while the server runs.
    #[command(subcommand)]
    Keys(commands::keys::KeysCommand),
    /// Manage the secrets of the server: list and rotate them, also while the server runs.
    #[command(subcommand)]
    Secrets(commands::secrets::SecretsCommand),
    /// Manage workspaces: create, list and limit them, also while the server runs.
    #[command(subcommand)]
    Workspaces(commands::workspaces::WorkspacesCommand),
    /// Manage webhooks: send events to URLs when files are created, replaced or deleted and when uploads expire.
    #[command(subcommand)]
    Webhooks(commands::webhooks::WebhooksCommand),
    /// Show the bytes of each workspace: files, open sessions, and garbage that is still to be deleted.
    Usage(commands::usage::UsageArgs),
    /// Compare the database with the stored bytes, also while the server runs.
    Fsck(commands::fsck::FsckArgs),
    /// Test the settings, the database and the storage, and report what to change.
    Doctor(commands::doctor::DoctorArgs),
    /// Move the database from SQLite to PostgreSQL.
    #[command(subcommand)]
    Db(commands::db::DbCommand),
    /// Move the files between the data directory and a bucket.
    #[command(subcommand)]
    Storage(commands::storage::StorageCommand),
    /// Print the completion script of a shell.
    Completions(commands::completions::CompletionsArgs),
    /// Print the manual page, or write all of them.
    Man(commands::man::ManArgs),
    /// Write the generated documents into a directory.
    #[command(hide = true)]
    Docs(commands::docs::DocsArgs),
}

/// Why a command failed. `main` prints it as the last line.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => commands::serve::serve(args),
        Command::Upload(args) => return commands::upload::upload(args),
        Command::Files(command) => return commands::files::files(command),
        Command::Folders(command) => return commands::folders::folders(command),
        Command::Keys(command) => commands::keys::keys(command),
        Command::Secrets(command) => commands::secrets::secrets(command),
        Command::Workspaces(command) => commands::workspaces::workspaces(command),
        Command::Webhooks(command) => commands::webhooks::webhooks(command),
        Command::Usage(args) => commands::usage::usage(&args),
        Command::Fsck(args) => return commands::fsck::fsck(&args),
        Command::Doctor(args) => return commands::doctor::doctor(&args),
        Command::Db(command) => commands::db::db(command),
        Command::Storage(command) => commands::storage::storage(command),
        Command::Completions(args) => commands::completions::completions(&args),
        Command::Man(args) => commands::man::man(&args),
        Command::Docs(args) => commands::docs::docs(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !output::is_closed(&*error) {
                output::say_lines(format_args!("partway: {}", partway_server::error_chain(&*error)));
            }
            ExitCode::FAILURE
        }
    }
}
