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

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

pub use app::{App, StartError};
pub use config::Config;
pub use error_chain::error_chain;
pub use http::listen;
pub use router::DOCUMENTED as DOCUMENTED_ROUTES;

/// Serves `app` on `listener` until `stop`; then running requests get the time that the settings allow.
pub async fn run(app: App, listener: TcpListener, stop: CancellationToken) {
    let (stop_jobs, stop_holding) = (CancellationToken::new(), CancellationToken::new());
    let jobs = spawn_jobs(&app, &stop_jobs);
    let holding = hold_lease(&app, stop_holding.clone());
    http::serve(listener, router::router(&app), router::overloaded(), &app.config.http, stop).await;
    stop_jobs.cancel();
    for job in jobs {
        report_panic(job.await);
    }
    if let Some(data_dir) = app.data_dir.as_ref().filter(|_| app.stores.local.is_some())
        && let Err(error) = process::storage_epoch::establish(&app.db, data_dir).await
    {
        tracing::warn!(error = %error_chain(&error), "the next start will verify the parts of open sessions");
    }
    // The jobs have ended: another server may use the database.
    stop_holding.cancel();
    if let Some(holding) = holding {
        report_panic(holding.await);
    }
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
    };
    let dispatcher = jobs::WebhookDispatcher {
        lease: lease("webhooks"),
        db: app.db.clone(),
        outgoing: app.outgoing.clone(),
        signer: app.signer.clone(),
        bell: app.events.bell(),
        settings: app.config.webhooks.clone(),
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
