//! One server: its settings and services, which every handler can reach.

mod error;
mod foundation;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use uuid::Uuid;

pub use error::StartError;
use foundation::Foundation;

use crate::config::{BaseUrl, Config};
use crate::db::{Db, Durability};
use crate::metrics::{Groups, Metrics};
use crate::outgoing::Outgoing;
use crate::process::data_dir::DataDir;
use crate::rate_limits::RateLimits;
use crate::service::blob_retention::GracePolicy;
use crate::service::bootstrap::{FirstRun, ServerSecrets, bootstrap};
use crate::service::event::Events;
use crate::service::file::Files;
use crate::service::folder::Folders;
use crate::service::key::Keys;
use crate::service::part_urls::PartUrlSigner;
use crate::service::readiness::Readiness;
use crate::service::serve::Representations;
use crate::service::state_gauges::StateGauges;
use crate::service::upload::Uploads;
use crate::service::urls::Urls;
use crate::service::webhook_signer::WebhookSigner;
use crate::storage::Stores;

/// One server's state. Clones share it.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

crate::opaque_debug::opaque_debug!(App, Inner);

/// The contents of an [`App`].
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// The id of this process among all nodes.
    pub node: Uuid,
    /// The records.
    pub db: Db,
    /// The bytes.
    pub stores: Stores,
    /// Identifies callers by their keys.
    pub keys: Keys,
    /// The upload sessions.
    pub uploads: Uploads,
    /// The files of all workspaces.
    pub files: Files,
    /// Their folders.
    pub folders: Folders,
    /// Their files as URLs serve them.
    pub representations: Representations,
    /// Emits events to webhooks.
    pub events: Events,
    /// Requests to hosts that clients or operators named.
    pub outgoing: Outgoing,
    /// Signs the requests to webhooks.
    pub signer: WebhookSigner,
    /// Limits on requests per second.
    pub rate_limits: RateLimits,
    /// Whether database and storage answer.
    pub readiness: Readiness,
    /// The figures of this server.
    pub metrics: Metrics,
    /// Those of them that are read from database and disk.
    pub state_gauges: StateGauges,
    /// Every URL given to clients.
    pub urls: Arc<Urls>,
    /// The server's own secrets.
    pub secrets: ServerSecrets,
    /// Keeps other servers out of the data directory; `None` where none is used.
    pub data_dir: Option<DataDir>,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl App {
    /// Checks the settings that depend on each other. Opens nothing.
    ///
    /// # Errors
    /// [`StartError::LocalStorageIsNotShared`].
    pub fn check_settings(config: &Config) -> Result<(), StartError> {
        foundation::check_settings(config)
    }

    /// Opens database and storage, and makes those that are missing. Returns a `FirstRun` when the database is new.
    ///
    /// # Errors
    /// [`StartError`], among others when another server uses the data directory.
    pub async fn open(config: Config, listening_on: SocketAddr) -> Result<(Self, Option<FirstRun>), StartError> {
        Self::open_showing(config, listening_on, |_, _| Ok(())).await
    }

    /// Opens like [`open`](Self::open). `show` shows the operator the keys of a first start and the base of URLs. It is called
    /// when everything else is ready, and the keys are made only if it succeeds.
    ///
    /// # Errors
    /// Also when the keys could not be shown.
    pub async fn open_showing(
        config: Config,
        listening_on: SocketAddr,
        show: impl Fn(&FirstRun, &BaseUrl) -> io::Result<()> + Clone + Send + 'static,
    ) -> Result<(Self, Option<FirstRun>), StartError> {
        let Foundation { node, db, stores, local, data_dir } = Foundation::open(&config).await?;
        let db_failed = |source| StartError::db(&config, source);
        foundation::check_paths(&config, &db).await?;
        let outgoing = Outgoing::new(&config)?;
        let signer = db.write_to_free(Durability::PowerLoss, WebhookSigner::open).await.map_err(db_failed)?;
        // Keys are shown once: nothing after this can fail.
        let public = Urls::public_of(&config.http, listening_on);
        let shown = bootstrap(&db, move |first_run| show(first_run, &public)).await;
        let (secrets, first_run) = shown.map_err(db_failed)?;
        let part_url_signer = PartUrlSigner::new(&secrets.part_urls.value);
        crate::jobs::follow_part_urls(&part_url_signer, &secrets.part_urls);
        let urls = Arc::new(Urls::new(&config.http, listening_on, part_url_signer));
        let events = Events::new(Arc::clone(&urls));
        let store = stores.s3.as_ref().map(|store| Arc::clone(store.metrics())).unwrap_or_default();
        let metrics = Metrics::new(Groups { database: Arc::clone(db.metrics()), store, ..Groups::default() });
        let counted = Arc::clone(&metrics.uploads);
        let uploads = Uploads::new(db.clone(), &stores, local, events.clone(), outgoing.clone(), &config, counted);
        let grace = GracePolicy::new(config.storage.url_seconds.as_secs());
        let most_folders = config.limits.workspace_folders;
        let files = Files::new(db.clone(), events.clone(), uploads.garbage_bell(), grace, most_folders);
        let folders = Folders::new(db.clone(), uploads.garbage_bell(), most_folders);
        let representations = Representations::new(db.clone(), stores.clone(), &config);
        let keys = Keys::new(db.clone());
        let rate_limits = RateLimits::new(&config.limits);
        let readiness = Readiness::new(db.clone(), stores.clone());
        let state_gauges = StateGauges::new(db.clone(), &stores, Arc::clone(&metrics.state));
        let inner = Inner {
            config,
            node,
            db,
            stores,
            keys,
            uploads,
            files,
            folders,
            representations,
            events,
            outgoing,
            signer,
            rate_limits,
            readiness,
            metrics,
            state_gauges,
            urls,
            secrets,
            data_dir,
        };
        Ok((Self { inner: Arc::new(inner) }, first_run))
    }
}
