//! What the commands that talk to a server have in common: its address and the key, how Ctrl-C ends them, and what can be
//! done about a failure.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use partway_client::{Client, Error, ErrorCode, RetryPolicy, Workspace};
use tokio_util::sync::CancellationToken;

use crate::{Failure, output};

/// How a shell says that a command ended by Ctrl-C: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// The server of a first try.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// For commands that a person waits for: long enough for a restart of the server, short enough for a wrong address.
const PATIENCE: RetryPolicy = RetryPolicy {
    tries: 3,
    wait: Duration::from_secs(10),
    first_pause: Duration::from_millis(500),
    longest_pause: Duration::from_secs(3),
};

/// The server and the key to it.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Address of the server.
    #[arg(long, env = "PARTWAY_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// API key.
    #[arg(long, env = "PARTWAY_API_KEY", hide_env_values = true)]
    pub(crate) key: String,
}

impl ServerArgs {
    /// A client of the server.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.url, &self.key)?)
    }

    /// The workspace of the key, for a command that a person waits for.
    pub(crate) fn workspace(&self) -> Result<Workspace, Failure> {
        self.patient_workspace(PATIENCE)
    }

    /// The same, for a command that may wait for the server.
    pub(crate) fn patient_workspace(&self, retry: RetryPolicy) -> Result<Workspace, Failure> {
        let say = |error: &Error, pause: Duration| {
            eprintln!("partway: {error}; trying again in {:.1} s", pause.as_secs_f64());
        };
        Ok(Workspace::of(self.client()?).retry(retry).on_retry(say))
    }

    /// The option that names the server, as a shell takes it, where a command needs it to find the same one.
    pub(crate) fn url_option(&self) -> String {
        if self.url == DEFAULT_URL { String::new() } else { format!(" --url {}", quoted(&self.url)) }
    }
}

/// Runs a command, which Ctrl-C ends wherever it is.
pub(crate) fn run(command: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    block_on(async {
        let interrupted = interruption();
        tokio::select! {
            outcome = command => outcome,
            () = interrupted.cancelled() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// Runs a command that ends by itself.
pub(crate) fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&error.into()),
    };
    let outcome = runtime.block_on(command);
    // Whoever waits for the answer to a question is not waited for.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| tell(&error))
}

/// Cancelled by the first Ctrl-C. The second one ends the process whatever it does.
pub(crate) fn interruption() -> CancellationToken {
    let interrupted = CancellationToken::new();
    let token = interrupted.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if token.is_cancelled() {
                std::process::exit(INTERRUPTED.into());
            }
            token.cancel();
        }
    });
    interrupted
}

fn tell(error: &Failure) -> ExitCode {
    let advice = error.downcast_ref::<Error>().map(advice);
    if !output::is_closed(&**error) {
        eprintln!("partway: {}{}", error, advice.unwrap_or_default());
    }
    ExitCode::FAILURE
}

/// An error of the client with what can be done about it.
pub(crate) fn explained(error: &Error) -> impl Display {
    format!("{error}{}", advice(error))
}

/// What can be done about an error, to be put behind it.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Unreachable(_) => "; is the server running? --url or PARTWAY_URL is its address",
        Error::NotFound { kind: "folder", .. } => "; `partway folders ls --search NAME` finds folders by name",
        Error::NotFound { .. } => "; `partway files ls --search NAME` finds files by name",
        Error::Target { problem: "is there already", .. } => "; --force overwrites it",
        _ => match error.code() {
            Some(ErrorCode::Unauthorized) => "; --key or PARTWAY_API_KEY must be a key of this server",
            Some(ErrorCode::Forbidden) => "; a private key (sk_…) may do everything in its workspace",
            _ => "",
        },
    }
}

/// A `NAME=VALUE` of the metadata.
pub(crate) fn parse_meta(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

/// As a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
