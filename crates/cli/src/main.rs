//! `partway`: the server and its command-line client in one binary.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "output.rs makes what others say harmless, and does not panic where nobody reads"
)]

mod allocator;
mod commands;
mod confirm;
mod human;
mod logging;
mod output;
mod progress;
mod remote;
mod resume;
mod settings;
mod table;

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
    /// Run the server. Needs no configuration: everything it needs it makes in the data directory.
    Serve(settings::ServeArgs),
    /// Upload files in parts.
    Upload(commands::upload::UploadArgs),
    /// List, show, move, tag, delete and download files on a server.
    #[command(subcommand)]
    Files(commands::files::FilesCommand),
    /// List, make, rename and delete folders on a server.
    #[command(subcommand)]
    Folders(commands::folders::FoldersCommand),
    /// Make, list and revoke API keys, also while the server runs.
    #[command(subcommand)]
    Keys(commands::keys::KeysCommand),
    /// List the server's own secrets and give them new values, also while the server runs.
    #[command(subcommand)]
    Secrets(commands::secrets::SecretsCommand),
    /// Make and list workspaces, and limit what they hold, also while the server runs.
    #[command(subcommand)]
    Workspaces(commands::workspaces::WorkspacesCommand),
    /// Have events told to others: files that come, are replaced or go, uploads that expire.
    #[command(subcommand)]
    Webhooks(commands::webhooks::WebhooksCommand),
    /// Show what each workspace holds: files, open sessions, and what waits to be deleted.
    Usage(commands::usage::UsageArgs),
    /// Compare the database with what is on the disk, also while the server runs.
    Fsck(commands::fsck::FsckArgs),
    /// Try database, storage and what browsers need, and say what to change.
    Doctor(commands::doctor::DoctorArgs),
    /// Move records to a PostgreSQL database.
    #[command(subcommand)]
    Db(commands::db::DbCommand),
    /// Move files between the data directory and a bucket.
    #[command(subcommand)]
    Storage(commands::storage::StorageCommand),
    /// Print the completions for a shell.
    Completions(commands::completions::CompletionsArgs),
    /// Write the manual pages.
    Man(commands::man::ManArgs),
    /// Write the generated documents into a directory.
    #[command(hide = true)]
    Docs(commands::docs::DocsArgs),
}

/// Why a command failed, as its last line says it.
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
