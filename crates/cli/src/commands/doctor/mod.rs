//! `partway doctor`: tests what a server with these settings needs, and reports what to change.

mod bucket;
mod data_dir;
mod database;
mod store_call;
mod trial;

use std::process::ExitCode;

use clap::Args;
use partway_server::Config;
use partway_server::model::StorageKind;
use partway_server::storage::S3Store;
use serde_json::json;

use crate::output;
use crate::settings::StoreArgs;

/// Arguments of `partway doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 when no problem was found, 1 when something must be changed. With a bucket, one object of 10 MiB is written and \
                  deleted."
)]
pub(crate) struct DoctorArgs {
    /// Replace the CORS rules of the bucket, so that browsers may send parts.
    #[arg(long)]
    fix_cors: bool,
    /// Print JSON, one object per check.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// The result of one check.
enum Health {
    Well(String),
    /// It works, with a drawback.
    Doubtful(String),
    /// It does not work.
    Ill {
        problem: String,
        /// The setting or thing to change.
        change: &'static str,
    },
}

struct Doctor {
    json: bool,
    ill: bool,
}

impl Doctor {
    fn report(&mut self, check: &str, health: Health) {
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
        // The text may come from a store or a proxy; `line` escapes it.
        let _ = output::line(format_args!("{state:8} {check:16} {text}"));
        if let Some(change) = change {
            let _ = output::line(format_args!("{:25} change: {change}", ""));
        }
    }
}

/// Tests the settings, and the database and storage that they name.
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
    doctor.report("settings", Health::Well("all are valid".to_owned()));
    data_dir::examine_database_files(doctor, config).await;
    database::examine(doctor, config).await;
    examine_urls(doctor, config);
    match config.storage.kind {
        StorageKind::Local => {
            doctor.report("data directory", data_dir::examine_disk(config));
            if let Some(open) = data_dir::examine_permissions(config) {
                doctor.report("permissions", open);
            }
            data_dir::examine_filesystem(doctor, config);
            if config.database.url.is_some() && !config.storage.single_node {
                doctor.report(
                    "storage",
                    Health::Ill {
                        problem: "local storage with a PostgreSQL database, which other nodes could share".to_owned(),
                        change: "storage.kind = \"s3\", or storage.single_node = true when this is the only node",
                    },
                );
            }
        }
        StorageKind::S3 => match config.storage.s3().map(|bucket| S3Store::new(&bucket)) {
            Some(Ok(store)) => bucket::examine(doctor, &store, fix_cors).await,
            Some(Err(error)) => doctor.report("bucket", ill(&error, "storage.endpoint and storage.public_endpoint")),
            None => {}
        },
    }
}

fn ill(error: &(dyn std::error::Error + 'static), change: &'static str) -> Health {
    Health::Ill { problem: partway_server::error_chain(error), change }
}

fn examine_urls(doctor: &mut Doctor, config: &Config) {
    let health = match (&config.http.public_url, config.http.listen.ip().is_unspecified()) {
        (Some(url), _) => Health::Well(format!("URLs begin with {url}")),
        (None, true) => Health::Ill {
            problem: format!(
                "the server listens on {} without public_url: returned URLs begin with that",
                config.http.listen
            ),
            change: "public_url, the URL by which clients reach this server",
        },
        (None, false) => Health::Well(format!("URLs begin with http://{}", config.http.listen)),
    };
    doctor.report("public_url", health);
}
