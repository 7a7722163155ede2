//! Metrics in the texts of Prometheus: each group is declared in a file, and docs/METRICS.md is generated from the declarations.
//!
//! Rooms own their groups and count in them; [`Metrics`] registers the groups of one server. There is no global state: two servers
//! in one process have figures of their own. Counting a request takes no lock for long, and bytes are counted per system call.

mod database;
mod declaration;
mod http;
mod jobs;
mod latest_text;
mod process;
mod state;
mod store;
mod timing;
mod uploads;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

pub use database::DatabaseMetrics;
pub(crate) use database::Lane;
pub use declaration::MetricDoc;
pub use http::HttpMetrics;
pub use jobs::{CleanerMetrics, WebhookMetrics};
use latest_text::{LatestText, TextError};
pub use process::ProcessMetrics;
pub(crate) use state::State;
pub use state::StateMetrics;
pub use store::StoreMetrics;
pub(crate) use timing::InFlightGuard;
pub use uploads::UploadMetrics;

/// Declares the groups of a server, in the order of docs/METRICS.md.
macro_rules! groups {
    ($($field:ident: $group:ident),+ $(,)?) => {
        /// The groups of one server.
        #[derive(Debug, Clone, Default)]
        pub struct Groups {
            $(#[doc = "A group."] pub $field: Arc<$group>,)+
        }

        impl Groups {
            fn register(&self, registry: &mut Registry) {
                $(self.$field.register(registry);)+
            }
        }

        /// The documentation of every metric, by group.
        pub fn documentation() -> Vec<(&'static str, &'static [MetricDoc])> {
            vec![$(($group::ABOUT, $group::METRICS)),+]
        }
    };
}

groups! {
    http: HttpMetrics,
    uploads: UploadMetrics,
    state: StateMetrics,
    database: DatabaseMetrics,
    store: StoreMetrics,
    webhooks: WebhookMetrics,
    cleaner: CleanerMetrics,
    process: ProcessMetrics,
}

/// The metrics of one server. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

crate::opaque_debug::opaque_debug!(Metrics);

struct Inner {
    groups: Groups,
    registry: Registry,
    /// Held while the numbers of the process are read and written: two texts must not count its time twice.
    writing: Mutex<()>,
    prometheus: LatestText,
    openmetrics: LatestText,
}

/// A format in which metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own text, which every collector reads.
    Prometheus,
    /// OpenMetrics, which Prometheus asks for: its end shows that nothing is missing.
    OpenMetrics,
}

impl Format {
    /// `Content-Type` of the format.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Registers these groups.
    pub(crate) fn new(groups: Groups) -> Self {
        let mut registry = Registry::default();
        groups.register(&mut registry);
        let inner = Inner {
            groups,
            registry,
            writing: Mutex::default(),
            prometheus: LatestText::default(),
            openmetrics: LatestText::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// All metrics as text, which is at most a second old.
    ///
    /// # Errors
    /// When writing it panicked: writing into memory succeeds.
    pub(crate) async fn text(&self, format: Format) -> Result<Bytes, TextError> {
        let latest = match format {
            Format::Prometheus => &self.inner.prometheus,
            Format::OpenMetrics => &self.inner.openmetrics,
        };
        let inner = Arc::clone(&self.inner);
        latest.get(move || inner.write(format)).await
    }
}

impl Inner {
    /// Reads files of `/proc`, so no async task may wait for it.
    fn write(&self, format: Format) -> Result<String, fmt::Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.groups.process.refresh();
        let mut written = String::with_capacity(32 * 1024);
        match format {
            Format::Prometheus => prometheus_text::encode(&mut written, &self.registry)?,
            Format::OpenMetrics => text::encode(&mut written, &self.registry)?,
        }
        Ok(written)
    }
}

impl std::ops::Deref for Metrics {
    type Target = Groups;

    fn deref(&self) -> &Groups {
        &self.inner.groups
    }
}
