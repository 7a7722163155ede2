//! Load generator: uploads to Partway, and the same bytes to what it is compared with.
//!
//! Plain threads and blocking sockets, so that the generator itself costs as little as it can: it shares the
//! machine with the server it measures. Traffic goes to loopback addresses only.

mod abandoned;
mod completion;
mod downloads;
mod http;
mod idle;
mod lists;
mod partway;
mod payload;
mod process;
mod report;
mod run;
mod start;
mod targets;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// An error that ends a run.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "Measures uploads to a server on this machine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One large file, its parts over many connections.
    Parts(run::PartsArgs),
    /// Many small files of one part each: start, PUT and complete for every one.
    Files(run::FilesArgs),
    /// Start and complete of one file of 10,000 parts, without sending a byte: what completing costs beyond the sync.
    Completion(completion::CompletionArgs),
    /// Start of an upload of 10,000 parts, which is then aborted: a row of a table.
    Start(start::StartArgs),
    /// Lists of a million files, and folders with many of them: rows of a table.
    Lists(lists::ListsArgs),
    /// Searches whose clients go away, and another workspace's requests meanwhile: rows of a table.
    Abandoned(abandoned::AbandonedArgs),
    /// Connections that do nothing: a row of a table.
    Idle(idle::IdleArgs),
    /// Files that many take at once: a row of a table.
    Downloads(downloads::DownloadsArgs),
    /// Makes one table of the JSON lines on standard input.
    Table(report::TableArgs),
}

/// The server that is measured.
#[derive(Debug, Args)]
struct ServerArgs {
    /// The kind of server at the address.
    #[arg(long)]
    target: targets::Kind,
    /// Its address; must be loopback.
    #[arg(long)]
    address: std::net::SocketAddr,
    /// API key of Partway, or `ID:SECRET` of an S3 store.
    #[arg(long, default_value = "")]
    key: String,
    /// Process ids of the server, for its memory and processor time.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    /// Connections, each a thread of its own.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Makes this run's bytes differ from every other run's.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A name for the row in the table.
    #[arg(long)]
    label: String,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Parts(args) => run::parts(&args),
        Command::Files(args) => run::files(&args),
        Command::Completion(args) => completion::completion(&args),
        Command::Start(args) => start::start(&args),
        Command::Lists(args) => lists::lists(&args),
        Command::Abandoned(args) => abandoned::abandoned(&args),
        Command::Idle(args) => idle::idle(&args),
        Command::Downloads(args) => downloads::downloads(&args),
        Command::Table(args) => report::table(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("partway-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
