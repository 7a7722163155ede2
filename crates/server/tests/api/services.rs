//! The database and the storage of a run: `PARTWAY_TEST_DATABASE` is `sqlite` (or nothing) or `postgres`,
//! `PARTWAY_TEST_STORAGE` is `local` (or nothing) or `s3`. Servers of both are started once for each run; every test has a
//! database and a prefix of the bucket of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use partway_server::Config;
use partway_server::config::{DatabaseUrl, Secret};
use partway_server::model::S3Delivery;
use partway_server::model::StorageKind;
use partway_server::storage::{BlobStore, S3Settings, S3Store, Scanned};
use partway_testing::{Garage, Postgres};
use rusqlite::Connection;

static POSTGRES: OnceLock<Postgres> = OnceLock::new();
static BUCKET: OnceLock<(Garage, String)> = OnceLock::new();

/// Database and storage of a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Services {
    pub postgres: bool,
    pub s3: bool,
}

impl Services {
    pub(crate) fn of_this_run() -> Self {
        let is = |variable: &str, other: &str, this: &str| match std::env::var(variable) {
            Ok(value) if value == this => true,
            Ok(value) if value == other || value.is_empty() => false,
            Ok(value) => panic!("{variable} is {value:?}; allowed: {other}, {this}"),
            Err(_) => false,
        };
        Self {
            postgres: is("PARTWAY_TEST_DATABASE", "sqlite", "postgres"),
            s3: is("PARTWAY_TEST_STORAGE", "local", "s3"),
        }
    }

    /// Sets what a server on these services needs.
    pub(crate) fn configure(self, config: &mut Config, data_dir: &Path) -> Database {
        if self.s3 {
            let (garage, bucket) = garage();
            config.storage.kind = StorageKind::S3;
            config.storage.endpoint = Some(endpoint(&garage.endpoint(0)));
            config.storage.region = garage.region().to_owned();
            config.storage.bucket = Some(bucket.to_owned());
            config.storage.prefix = Some(format!("{}/", uuid::Uuid::new_v4()));
            config.storage.access_key_id = Some(Secret::new(garage.access_key_id().to_owned()));
            config.storage.secret_access_key = Some(Secret::new(garage.secret_access_key().to_owned()));
            config.storage.url_seconds = Duration::from_secs(1);
            config.storage.sweep_seconds = Duration::from_secs(1);
            config.storage.delivery = S3Delivery::Stream;
        }
        if !self.postgres {
            return Database::Sqlite(data_dir.join("partway.db"));
        }
        let url = postgres().create_database();
        config.database.url = Some(DatabaseUrl::new(url.clone()));
        config.database.max_connections = 8;
        config.storage.single_node = true;
        Database::Postgres(url)
    }
}

pub(crate) fn endpoint(text: &str) -> url::Url {
    text.parse().unwrap()
}

/// The PostgreSQL server of this run.
pub(crate) fn postgres() -> &'static Postgres {
    POSTGRES.get_or_init(Postgres::start)
}

/// The store of this run, and a bucket in it.
pub(crate) fn garage() -> (&'static Garage, &'static str) {
    let (garage, bucket) = BUCKET.get_or_init(|| {
        let garage = Garage::start(1);
        let bucket = garage.create_bucket();
        (garage, bucket)
    });
    (garage, bucket)
}

/// Ids of all objects and unfinished uploads under the prefix.
pub(crate) fn blobs_in(bucket: &S3Settings) -> BTreeSet<String> {
    let bucket = bucket.clone();
    elsewhere(move || {
        let store = S3Store::new(&bucket).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut found = BTreeSet::new();
            for entry in store.list_blobs().await.unwrap() {
                let Scanned::Blob(id) = entry else { panic!("{entry:?} is under the prefix") };
                found.insert(id.to_string());
            }
            found.extend(store.list_uploads(None).await.unwrap().into_iter().map(|upload| upload.blob_id.to_string()));
            found
        })
    })
}

/// A database, as another process than the server sees it.
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Database {
    fn sqlite(path: &Path) -> Connection {
        let database = Connection::open(path).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        database
    }

    /// The first column of all rows, as text.
    pub(crate) fn texts(&self, query: &str) -> BTreeSet<String> {
        match self {
            Self::Sqlite(path) => {
                let database = Self::sqlite(path);
                let mut statement = database.prepare(query).unwrap();
                statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            }
            Self::Postgres(url) => {
                let (url, query) = (url.clone(), query.to_owned());
                elsewhere(move || connect(&url).query(&query, &[]).unwrap().iter().map(|row| row.get(0)).collect())
            }
        }
    }

    /// All stored rows.
    pub(crate) fn everything(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Sqlite(path) => {
                [path.clone(), path.with_extension("db-wal")].map(|file| std::fs::read(file).unwrap()).into()
            }
            Self::Postgres(url) => {
                let dump = tempfile::NamedTempFile::new().unwrap();
                postgres().dump(url, dump.path());
                let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
                let rows = self
                    .texts(tables)
                    .into_iter()
                    .flat_map(|table| self.texts(&format!("SELECT t::text FROM {table} t")));
                rows.map(String::into_bytes).chain([std::fs::read(dump.path()).unwrap()]).collect()
            }
        }
    }

    /// Text that there is one of.
    pub(crate) fn text(&self, query: &str) -> String {
        let mut found = self.texts(query);
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        found.pop_first().unwrap()
    }

    /// A number.
    pub(crate) fn number(&self, query: &str) -> i64 {
        match self {
            Self::Sqlite(path) => Self::sqlite(path).query_row(query, [], |row| row.get(0)).unwrap(),
            Self::Postgres(url) => {
                let (url, query) = (url.clone(), query.to_owned());
                elsewhere(move || connect(&url).query_one(&query, &[]).unwrap().get(0))
            }
        }
    }

    /// Statements one after the other.
    pub(crate) fn execute_all(&self, statements: &str) {
        match self {
            Self::Sqlite(path) => Self::sqlite(path).execute_batch(statements).unwrap(),
            Self::Postgres(_) => self.execute(statements),
        }
    }

    pub(crate) fn execute(&self, statement: &str) {
        match self {
            Self::Sqlite(path) => drop(Self::sqlite(path).execute(statement, []).unwrap()),
            Self::Postgres(url) => {
                let (url, statement) = (url.clone(), statement.to_owned());
                elsewhere(move || connect(&url).batch_execute(&statement).unwrap());
            }
        }
    }
}

fn connect(url: &str) -> postgres::Client {
    postgres::Client::connect(url, postgres::NoTls).unwrap()
}

/// Runs what would not run inside the test's runtime.
fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}
