//! The Partway server as a library: everything that `partway serve` runs.
//!
//! [`App::open`] opens database and storage, and [`run`] serves them on a listener until a token stops it. docs/ARCHITECTURE.md
//! follows a request through the modules.

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
mod hmac_keys;
mod http;
pub mod input;
mod jobs;
mod media;
mod middleware;
pub mod model;
pub mod openapi;
pub mod outgoing;
mod pace;
pub mod permissions;
pub mod process;
mod rate_limits;
mod router;
mod routes;
pub mod service;
mod serving;
pub mod storage;
mod turn;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use app::{App, StartError};
pub use config::Config;
pub use error_chain::error_chain;
pub use http::listen;
pub use router::DOCUMENTED as DOCUMENTED_ROUTES;

/// Serves `app` on `listener` until `stop`; then running requests get the time that the settings allow.
pub async fn run(app: App, listener: TcpListener, stop: CancellationToken) {
    let lease = |name| jobs::Lease::new(name, app.node, app.db.clone());
    let cleaner = jobs::Cleaner {
        lease: lease("cleaner"),
        db: app.db.clone(),
        stores: app.stores.clone(),
        uploads: app.uploads.clone(),
        files: app.files.clone(),
        sweep_interval: app.config.storage.sweep_interval.0,
        forget_sessions: app.config.limits.forget_sessions.0,
        event_bounds: jobs::EventBounds::new(&app.config.webhooks),
    };
    let stop_jobs = CancellationToken::new();
    let cleaning = tokio::spawn(cleaner.run(stop_jobs.clone()));
    let dispatcher = jobs::WebhookDispatcher {
        lease: lease("webhooks"),
        db: app.db.clone(),
        outgoing: app.outgoing.clone(),
        signer: app.signer.clone(),
        bell: app.events.bell(),
        settings: app.config.webhooks.clone(),
    };
    let dispatching = tokio::spawn(dispatcher.run(stop_jobs.clone()));
    let verifying = tokio::spawn(jobs::verify_untrusted(app.uploads.clone(), stop_jobs.clone()));
    let revoker = jobs::Revoker { lease: lease("revoker"), db: app.db.clone(), uploads: app.uploads.clone() };
    let revoking = tokio::spawn(revoker.run(stop_jobs.clone()));
    let (part_url_signer, signer) = (app.urls.part_url_signer().clone(), app.signer.clone());
    let follower = jobs::SecretsFollower { db: app.db.clone(), part_url_signer, signer };
    let following = tokio::spawn(follower.run(stop_jobs.clone()));
    let is_single = app.db.is_shared() && app.stores.local.is_some();
    // Until the last job has ended.
    let stop_holding = CancellationToken::new();
    let holding =
        is_single.then(|| tokio::spawn(process::single_node::hold(app.db.clone(), app.node, stop_holding.clone())));
    http::serve(listener, router::router(&app), router::overloaded(), &app.config.http, stop).await;
    stop_jobs.cancel();
    for ended in [cleaning.await, dispatching.await, verifying.await, revoking.await, following.await] {
        if let Err(error) = ended {
            tracing::error!(%error, "a job ended badly");
        }
    }
    if let Some(data_dir) = app.data_dir.as_ref().filter(|_| app.stores.local.is_some())
        && let Err(error) = process::storage_epoch::establish(&app.db, data_dir).await
    {
        tracing::warn!(error = %error_chain(&error), "the next start will verify the parts of open sessions");
    }
    stop_holding.cancel();
    if let Some(Err(error)) = futures_util::future::OptionFuture::from(holding).await {
        tracing::error!(%error, "a job ended badly");
    }
}
