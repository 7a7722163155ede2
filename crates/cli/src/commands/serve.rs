//! `partway serve`

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use partway_server::config::BaseUrl;
use partway_server::process::runtime;
use partway_server::service::bootstrap::FirstRun;
use partway_server::{App, Config, Listeners};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::allocator;
use crate::settings::ServeArgs;
use crate::{Failure, logging, output};

/// Upper bound of the wait for background work after the last request.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the server until SIGTERM or SIGINT.
pub(crate) fn serve(args: ServeArgs) -> Result<(), Failure> {
    let checks_only = args.check_config;
    let config = args.config()?;
    if checks_only {
        return check(&config);
    }
    logging::start(&config.log)?;
    raise_file_limit();
    // New files are for the server's user alone. Files with secrets or with bytes of users have such modes in any case.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(runtime::worker_threads()).enable_all().build()?;
    let served = runtime.block_on(serve_until_signal(config));
    // The verification of parts can take hours, and is repeated at the next start.
    runtime.shutdown_timeout(STOP_TIMEOUT);
    served
}

/// Checks the settings beyond their own syntax, and starts nothing.
fn check(config: &Config) -> Result<(), Failure> {
    let filter = logging::filter(&config.log).err().map(|error| error.to_string());
    let combination = App::check_settings(config).err().map(|error| error.to_string());
    let problems: Vec<_> = filter.into_iter().chain(combination).collect();
    if !problems.is_empty() {
        return Err(problems.join("\n").into());
    }
    Ok(show("the settings are valid\n")?)
}

async fn serve_until_signal(config: Config) -> Result<(), Failure> {
    let listeners = Listeners::bind(&config)?;
    let listening_on = listeners.http.local_addr()?;
    let metrics_on = listeners.metrics.as_ref().map(TcpListener::local_addr).transpose()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let database = config.database().to_string();
    let were_shown = Arc::new(AtomicBool::new(false));
    let opened = App::open_showing(config, listening_on, {
        let were_shown = Arc::clone(&were_shown);
        move |first_run, url| {
            show(&format!("{}{}", listens(listening_on, url), keys(first_run, &database)))?;
            were_shown.store(true, Ordering::Relaxed);
            Ok(())
        }
    });
    let (app, first_run) = opened.await.inspect_err(|_| {
        if were_shown.load(Ordering::Relaxed) {
            output::say("partway: the start failed after the keys were shown; the next start shows new ones, unless these were stored");
        }
    })?;
    let stop = CancellationToken::new();
    // A failure to print is ignored. The line to try comes last, so the keys are committed when it appears.
    let _ = match &first_run {
        None => show(&listens(listening_on, app.urls.public())),
        Some(first_run) => show(&line_to_try(first_run, app.urls.public())),
    };
    if let Some(metrics_on) = metrics_on {
        tracing::info!("metrics are served at http://{metrics_on}/metrics");
    }
    if listening_on.ip().is_unspecified() && app.config.http.public_url.is_none() {
        tracing::warn!("listening on every address without public_url: returned URLs begin with {}", app.urls.public());
    }
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: new requests are refused, and running ones may finish");
        stopping.cancel();
    });
    let trimming = tokio::spawn(allocator::keep_trimmed());
    partway_server::run(app, listeners, stop).await;
    trimming.abort();
    tracing::info!("stopped");
    Ok(())
}

/// Raises the limit of open files: every open session and connection has one. The soft limit, often 1024, protects programs that
/// use `select`; each process may raise it to the hard limit.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        tracing::warn!(limit = ?limit.current, "cannot raise the limit of open files");
    }
}

fn listens(listening_on: SocketAddr, url: &BaseUrl) -> String {
    format!("Partway listens on {listening_on}; clients reach it at {url}\n")
}

/// Prints without the panic of `println!` on a closed standard output.
fn show(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn keys(first_run: &FirstRun, database: &str) -> String {
    let FirstRun { workspace, private_key, public_key } = first_run;
    format!(
        "
First start: made a workspace and its keys in {database}. The keys are shown only now.

  workspace    {number}
  private key  {private}   everything in the workspace: for your servers
  public key   {public}   uploads only: for browsers and apps

",
        number = workspace.workspace_no,
        private = private_key.key,
        public = public_key.key,
    )
}

fn line_to_try(first_run: &FirstRun, url: &BaseUrl) -> String {
    let private = &first_run.private_key.key;
    format!(
        "Try it:

  curl --url {url}/api/v1/multipart/start --header 'Authorization: Bearer {private}' --header 'Content-Type: application/json' --data '{{\"file_name\":\"hello.txt\",\"size\":5,\"format\":\"text/plain\"}}'

"
    )
}
