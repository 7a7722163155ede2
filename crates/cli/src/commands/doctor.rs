//! `partway doctor`: tries what a server with these settings would need, and says what to change.

mod database;
mod trial;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::HeaderMap;
use partway_server::Config;
use partway_server::db::{TrialError, try_database};
use partway_server::model::StorageKind;
use partway_server::permissions::{Exposure, exposure};
use partway_server::storage::{BlobStore, LocalStore, S3Store, StorageError, filesystem};
use serde_json::json;
use uuid::Uuid;

use crate::output;
use crate::settings::StoreArgs;

/// Clocks that differ by more make signatures look wrong (15 minutes, S3 documentation); this much is worth a word.
const SKEW: Duration = Duration::from_secs(60);
const MOST_SKEW: Duration = Duration::from_secs(900);

/// What `partway doctor` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 when all is well, 1 when something has to be changed. Writes and deletes one object of 5 MiB."
)]
pub(crate) struct DoctorArgs {
    /// Set the bucket's CORS rules, in the place of those it has, so that browsers may send parts.
    #[arg(long)]
    fix_cors: bool,
    /// Print JSON, one object per check.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// How one thing is.
enum Health {
    Well(String),
    /// It works, but.
    Doubtful(String),
    /// It does not: what is wrong, and what to change.
    Ill {
        problem: String,
        change: &'static str,
    },
}

struct Doctor {
    json: bool,
    ill: bool,
}

impl Doctor {
    fn tell(&mut self, check: &str, health: Health) {
        let (state, text, change) = match health {
            Health::Well(text) => ("ok", text, None),
            Health::Doubtful(text) => ("warning", text, None),
            Health::Ill { problem, change } => {
                self.ill = true;
                ("problem", problem, Some(change))
            }
        };
        if self.json {
            let _ = output::json(&json!({"check": check, "state": state, "detail": text, "change": change}));
            return;
        }
        // The text may be what a store or a proxy has said.
        let _ = output::line(format_args!("{state:8} {check:16} {text}"));
        if let Some(change) = change {
            let _ = output::line(format_args!("{:25} change: {change}", ""));
        }
    }
}

/// Examines the settings and what they name.
pub(crate) fn doctor(args: &DoctorArgs) -> ExitCode {
    let examined = args.store.config().and_then(|config| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut doctor = Doctor { json: args.json, ill: false };
        runtime.block_on(examine(&mut doctor, &config, args.fix_cors));
        Ok(doctor.ill)
    });
    match examined {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            output::say_lines(format_args!("partway: {}", partway_server::error_chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

async fn examine(doctor: &mut Doctor, config: &Config, fix_cors: bool) {
    doctor.tell("settings", Health::Well("all are allowed".to_owned()));
    examine_database_files(doctor, config).await;
    database::examine(doctor, config).await;
    examine_urls(doctor, config);
    match config.storage.kind {
        StorageKind::Local => {
            let local = examine_disk(config);
            doctor.tell("data directory", local);
            if let Some(open) = examine_permissions(config) {
                doctor.tell("permissions", open);
            }
            examine_filesystem(doctor, config);
            if config.database.url.is_some() && !config.storage.single_node {
                doctor.tell(
                    "storage",
                    Health::Ill {
                        problem: "local storage with a PostgreSQL database, which other nodes could share".to_owned(),
                        change: "storage.kind = \"s3\", or storage.single_node = true when this is the only node",
                    },
                );
            }
        }
        StorageKind::S3 => match config.storage.s3().map(|bucket| S3Store::new(&bucket)) {
            Some(Ok(store)) => examine_bucket(doctor, &store, fix_cors).await,
            Some(Err(error)) => doctor.tell("bucket", ill(&error, "storage.endpoint and storage.public_endpoint")),
            None => {}
        },
    }
}

/// Whether SQLite can work in the data directory. Makes a database of its own there for a moment.
async fn examine_database_files(doctor: &mut Doctor, config: &Config) {
    let data_dir = config.storage.data_dir.clone();
    if config.database.url.is_some() || !data_dir.is_dir() {
        return;
    }
    let tried = tokio::task::spawn_blocking(move || try_database(&data_dir)).await;
    let health = match tried {
        Ok(Ok(())) => {
            Health::Well("SQLite's write-ahead log and its shared memory work in the data directory".to_owned())
        }
        Ok(Err(error @ TrialError::Io { .. })) => ill(&error, "who may write into data_dir, or make room"),
        Ok(Err(error @ TrialError::Full { .. })) => ill(&error, "make room"),
        Ok(Err(error)) => ill(
            &error,
            "data_dir: a directory of a local filesystem (ext4, XFS, Btrfs, ZFS), or a mount without direct_io; or database.url",
        ),
        Err(error) => ill(&error, "tell its makers"),
    };
    doctor.tell("database files", health);
}

fn ill(error: &(dyn std::error::Error + 'static), change: &'static str) -> Health {
    Health::Ill { problem: partway_server::error_chain(error), change }
}

fn examine_urls(doctor: &mut Doctor, config: &Config) {
    let health = match (&config.http.public_url, config.http.listen.ip().is_unspecified()) {
        (Some(url), _) => Health::Well(format!("URLs begin with {url}")),
        (None, true) => Health::Ill {
            problem: format!("listening on {}, and no public_url: returned URLs begin with that", config.http.listen),
            change: "public_url, the address by which clients know this server",
        },
        (None, false) => Health::Well(format!("URLs begin with http://{}", config.http.listen)),
    };
    doctor.tell("public_url", health);
}

/// Whether others on the machine get into the data directory; nothing where they do not.
fn examine_permissions(config: &Config) -> Option<Health> {
    let path = config.storage.data_dir.display();
    match exposure(&config.storage.data_dir).ok()? {
        Exposure::None => None,
        Exposure::Readable => Some(Health::Doubtful(format!(
            "others on this machine may see what is in {path}; its files are closed to them when the server starts. chmod 700 closes it"
        ))),
        Exposure::Writable => Some(Health::Ill {
            problem: format!("others on this machine may put files into {path}, and replace those in it"),
            change: "chmod 700 on the data directory",
        }),
    }
}

fn examine_disk(config: &Config) -> Health {
    let data_dir = &config.storage.data_dir;
    if !data_dir.is_dir() {
        return Health::Well(format!("{} will be made by the first start", data_dir.display()));
    }
    match LocalStore::existing(data_dir).disk().map(|disk| disk.free_bytes) {
        Ok(free) if free <= config.storage.min_free.0 => Health::Ill {
            problem: format!(
                "{free} bytes are free, {} are kept free: nothing can be uploaded",
                config.storage.min_free.0
            ),
            change: "make room, or storage.min_free_bytes",
        },
        Ok(free) => Health::Well(format!("{}, {free} bytes free", data_dir.display())),
        Err(error) => ill(&error, "data_dir"),
    }
}

/// Limits of the filesystem. Makes a file without a name, or with one for a moment.
fn examine_filesystem(doctor: &mut Doctor, config: &Config) {
    let data_dir = &config.storage.data_dir;
    if !data_dir.is_dir() {
        return;
    }
    doctor.tell(
        "filesystem",
        match filesystem::doubt(data_dir) {
            Ok(None) => Health::Well("has locks, syncs and a journal as far as its kind tells".to_owned()),
            Ok(Some(doubt)) => Health::Doubtful(doubt),
            Err(error) => ill(&error, "data_dir"),
        },
    );
    doctor.tell(
        "reservation",
        match filesystem::can_reserve(data_dir) {
            Ok(true) if config.storage.reserve => Health::Well("room is reserved when an upload starts".to_owned()),
            Ok(true) => Health::Well("storage.reserve is off: files are sparse".to_owned()),
            Ok(false) => Health::Doubtful(
                "the filesystem cannot reserve room: files are sparse, and an upload may find the disk full in the middle"
                    .to_owned(),
            ),
            Err(error) => ill(&error, "who may write into data_dir"),
        },
    );
}

async fn examine_bucket(doctor: &mut Doctor, store: &S3Store, fix_cors: bool) {
    match S3Store::check(store).await {
        Ok(clock) => {
            doctor.tell("bucket", Health::Well("is there, and the keys open it".to_owned()));
            if let Some(clock) = clock {
                let skew = clock.store.duration_since(clock.ours).unwrap_or_else(|earlier| earlier.duration());
                doctor.tell("clock", skew_of(skew));
            }
        }
        Err(error) => {
            if error.is_code("RequestTimeTooSkewed") {
                doctor
                    .tell("clock", ill(&error, "this machine's clock: it differs from the store's by over 15 minutes"));
            }
            return doctor.tell("bucket", bucket_problem(&error));
        }
    }
    if fix_cors {
        match store.set_cors().await {
            Ok(()) => doctor.tell("fix CORS", Health::Well("the bucket's rules are set".to_owned())),
            Err(error) => doctor.tell("fix CORS", ill(&error, "the key's permission to change the bucket (owner)")),
        }
    }
    let blob_id = Uuid::now_v7();
    let tried = trial::try_upload(doctor, store, blob_id).await;
    if let Err(error) = tried {
        doctor.tell("trial upload", ill(&error, "the key's permission to read, write and list the bucket"));
    }
    if let Err(error) = store.delete_blob(blob_id).await {
        doctor.tell("trial deletion", ill(&error, "the key's permission to delete objects and abort uploads"));
    }
}

fn skew_of(skew: Duration) -> Health {
    let seconds = skew.as_secs();
    match skew {
        skew if skew >= MOST_SKEW => Health::Ill {
            problem: format!("differs from the store's by {seconds} s: signatures are refused"),
            change: "this machine's clock, by NTP",
        },
        skew if skew >= SKEW => Health::Doubtful(format!("differs from the store's by {seconds} s; set it by NTP")),
        _ => Health::Well("agrees with the store's".to_owned()),
    }
}

fn bucket_problem(error: &StorageError) -> Health {
    let change = match error {
        StorageError::Unavailable { .. } => "storage.endpoint: nothing answers there",
        error if error.is_code("NoSuchBucket") => "storage.bucket, or make the bucket",
        error if error.is_code("SignatureDoesNotMatch") => "storage.secret_access_key, or storage.region",
        error if error.is_code("AuthorizationHeaderMalformed") => "storage.region",
        error if error.is_code("InvalidAccessKeyId") || error.is_code("AccessDenied") => {
            "storage.access_key_id and secret_access_key, storage.region, or the key's permissions for the bucket"
        }
        _ => "storage.endpoint, storage.region, storage.bucket and the keys",
    };
    ill(error, change)
}

fn cors(preflight: &HeaderMap, answer: &HeaderMap) -> Health {
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
    };
    let methods = text(preflight, "access-control-allow-methods");
    let exposed = text(answer, "access-control-expose-headers");
    let change = "`partway doctor --fix-cors` sets rules that allow it";
    let missing = match () {
        () if text(preflight, "access-control-allow-origin").is_empty() => "pages of other origins may not ask",
        () if !methods.contains("put") && methods != "*" => "PUT is not allowed",
        () if !exposed.contains("etag") && exposed != "*" => "ETag is not exposed",
        () => return Health::Well("pages of any origin may PUT, and see ETag".to_owned()),
    };
    Health::Ill { problem: format!("{missing}: browsers cannot upload"), change }
}
