//! The Partway server as a library: everything that `partway serve` runs.
//!
//! [`App::open`] opens database and storage, and [`run`] serves them on a listener until a token stops it. docs/ARCHITECTURE.md
//! follows a request through the modules.

#![cfg_attr(not(test), warn(clippy::too_many_lines))]
#![cfg_attr(
    not(all(feature = "fuzzing", feature = "openapi")),
    allow(unreachable_pub, reason = "some items are public for these features only")
)]

#[cfg(feature = "openapi")]
pub mod api_document;
pub mod app;
pub mod config;
pub mod db;
pub mod docs;
mod error;
mod error_chain;
mod extract;
mod failpoint;
pub mod file_modes;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hmac_keys;
mod http;
pub mod input;
mod jobs;
mod media;
pub mod metrics;
mod middleware;
pub mod model;
mod opaque_debug;
pub mod openapi;
pub mod outgoing;
mod pace;
pub mod process;
mod rate_limits;
mod router;
mod routes;
pub mod service;
mod serving;
pub mod storage;
mod turn;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

pub use app::{App, StartError};
pub use config::Config;
pub use error_chain::error_chain;
pub use http::listen;
pub use router::DOCUMENTED as DOCUMENTED_ROUTES;

/// The sockets of a server.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub http: TcpListener,
    /// For metrics, if the settings name an address for them.
    pub metrics: Option<TcpListener>,
}

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({setting})")]
pub struct ListenError {
    setting: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl Listeners {
    /// Binds the addresses of the settings.
    ///
    /// # Errors
    /// When one cannot be bound.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn bind(config: &Config) -> Result<Self, ListenError> {
        let bind = |setting, address| listen(address).map_err(|source| ListenError { setting, address, source });
        let http = bind("listen", config.http.listen)?;
        Ok(Self { http, metrics: config.metrics.listen.map(|address| bind("metrics.listen", address)).transpose()? })
    }
}

impl From<TcpListener> for Listeners {
    /// Without one for metrics.
    fn from(http: TcpListener) -> Self {
        Self { http, metrics: None }
    }
}

/// Serves `app` on `listeners` until `stop`; then running requests get the time that the settings allow. Metrics are served to the end.
pub async fn run(app: App, listeners: impl Into<Listeners>, stop: CancellationToken) {
    let Listeners { http: listener, metrics } = listeners.into();
    let (stop_jobs, stop_holding, stop_metrics) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let serving_metrics =
        metrics.map(|listener| tokio::spawn(serve_metrics(app.clone(), listener, stop_metrics.clone())));
    let jobs = spawn_jobs(&app, &stop_jobs);
    let holding = hold_lease(&app, stop_holding.clone());
    let (router, figures) = (router::router(&app), &app.metrics.http);
    http::serve(listener, router, router::overloaded(Arc::clone(figures)), &app.config.http, figures, stop).await;
    stop_jobs.cancel();
    for job in jobs {
        report_panic(job.await);
    }
    if let Some(data_dir) = app.data_dir.as_ref().filter(|_| app.stores.local.is_some())
        && let Err(error) = process::storage_epoch::establish(&app.db, data_dir).await
    {
        tracing::warn!(error = %error_chain(&error), "the next start will verify the parts of open sessions");
    }
    stop_metrics.cancel();
    if let Some(serving_metrics) = serving_metrics {
        report_panic(serving_metrics.await);
    }
    // The jobs have ended: another server may use the database.
    stop_holding.cancel();
    if let Some(holding) = holding {
        report_panic(holding.await);
    }
}

/// Serves `/metrics` alone, with the bounds and timeouts of clients. Its own connections are not among the figures.
async fn serve_metrics(app: App, listener: TcpListener, stop: CancellationToken) {
    let figures = Arc::default();
    let overloaded = router::overloaded(Arc::clone(&figures));
    http::serve(listener, router::metrics_router(&app), overloaded, &app.config.http, &figures, stop).await;
}

fn spawn_jobs(app: &App, stop: &CancellationToken) -> [JoinHandle<()>; 5] {
    let lease = |name| jobs::Lease::new(name, app.node, app.db.clone());
    let cleaner = jobs::Cleaner {
        lease: lease("cleaner"),
        db: app.db.clone(),
        stores: app.stores.clone(),
        uploads: app.uploads.clone(),
        files: app.files.clone(),
        sweep_interval: app.config.storage.sweep_seconds,
        forget_sessions: app.config.limits.forget_sessions_seconds,
        event_bounds: jobs::EventBounds::new(&app.config.webhooks),
        metrics: Arc::clone(&app.metrics.cleaner),
    };
    let dispatcher = jobs::WebhookDispatcher {
        lease: lease("webhooks"),
        db: app.db.clone(),
        outgoing: app.outgoing.clone(),
        signer: app.signer.clone(),
        bell: app.events.bell(),
        settings: app.config.webhooks.clone(),
        metrics: Arc::clone(&app.metrics.webhooks),
    };
    let revoker = jobs::Revoker { lease: lease("revoker"), db: app.db.clone(), uploads: app.uploads.clone() };
    let (part_url_signer, signer) = (app.urls.part_url_signer().clone(), app.signer.clone());
    let follower = jobs::SecretsFollower { db: app.db.clone(), part_url_signer, signer };
    [
        tokio::spawn(cleaner.run(stop.clone())),
        tokio::spawn(dispatcher.run(stop.clone())),
        tokio::spawn(jobs::verify_untrusted(app.uploads.clone(), stop.clone())),
        tokio::spawn(revoker.run(stop.clone())),
        tokio::spawn(follower.run(stop.clone())),
    ]
}

/// Renews the lease of a single node with a shared database.
fn hold_lease(app: &App, stop: CancellationToken) -> Option<JoinHandle<()>> {
    let is_single = app.db.is_shared() && app.stores.local.is_some();
    is_single.then(|| tokio::spawn(process::single_node::hold(app.db.clone(), app.node, stop)))
}

fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a job panicked and did not continue");
    }
}
