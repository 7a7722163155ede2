//! `partway fsck`

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use partway_server::Config;
use partway_server::db::{Db, blobs};
use partway_server::model::StorageKind;
use partway_server::process::data_dir::{DataDir, DataDirError};
use partway_server::service::fsck::{Fsck, Outcome, Report};
use partway_server::storage::{LocalStore, S3Store, Stores};
use serde_json::{Value, json};

use super::database::open_existing;
use crate::settings::StoreArgs;
use crate::{Failure, output, table};

/// Nothing is wrong.
const CLEAN: u8 = 0;
/// What was wrong is repaired. The numbers are those of fsck(8).
const REPAIRED: u8 = 1;
/// Something is wrong.
const PROBLEMS: u8 = 4;
/// The check could not be finished.
const FAILED: u8 = 8;

/// What can be said of a check.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 nothing is wrong, 1 everything wrong was repaired, 4 problems are left, 8 the check failed."
)]
pub(crate) struct FsckArgs {
    /// Read all bytes and compare them with their hashes.
    #[arg(long)]
    deep: bool,
    /// Repair what can be repaired without losing anything: blobs that nobody owns are freed by the server, sessions
    /// with damaged parts get them verified (only while no server runs), counters are counted anew.
    #[arg(long)]
    repair: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Checks the data directory, beside the server if one is running.
pub(crate) fn fsck(args: &FsckArgs) -> ExitCode {
    match check(args) {
        Ok(report) => {
            let left = report.findings.iter().any(|finding| finding.outcome != Outcome::Repaired);
            ExitCode::from(match (report.findings.is_empty(), left) {
                (true, _) => CLEAN,
                (false, false) => REPAIRED,
                (false, true) => PROBLEMS,
            })
        }
        Err(error) => {
            output::say_lines(format_args!("partway: {}", partway_server::error_chain(&*error)));
            ExitCode::from(FAILED)
        }
    }
}

fn check(args: &FsckArgs) -> Result<Report, Failure> {
    let config = args.store.config()?;
    let data_dir = &config.storage.data_dir;
    let db = open_existing(&config)?;
    // Held only for repairing: a server that starts in the middle of a check does no harm.
    let lock = match (args.repair && data_dir.is_dir()).then(|| DataDir::lock(data_dir)).transpose() {
        Ok(lock) => lock,
        Err(DataDirError::InUse(_)) => None,
        Err(error) => return Err(error.into()),
    };
    // Nobody can tell whether other nodes run.
    let is_alone = if args.repair { lock.is_some() } else { data_dir.is_dir() && !DataDir::is_locked(data_dir) };
    let beside_server = !is_alone || db.is_shared();
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::no_length() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} read, {bytes_per_sec}") {
        bar.set_style(style);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let fsck = Fsck {
            stores: existing_stores(&config, &db).await?,
            db,
            deep: args.deep,
            repair: args.repair,
            alone: !beside_server,
        };
        Ok::<_, Failure>(fsck.run(&|bytes| bar.inc(bytes)).await?)
    })?;
    bar.finish_and_clear();
    drop(lock);
    let printed = match args.json {
        true => output::json(&to_json(&report, beside_server)?),
        false => print(&report, beside_server, args.deep),
    };
    // Whoever has read enough learns the rest from the exit code; a report that cannot be written is a check that failed.
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("the check came to its end, but its report could not be shown: {error}").into())
        }
        _ => Ok(report),
    }
}

/// The storages that the settings name and the database uses.
pub(super) async fn existing_stores(config: &Config, db: &Db) -> Result<Stores, Failure> {
    let uses_local =
        config.storage.kind == StorageKind::Local || db.read(|tx| blobs::any_in(tx, StorageKind::Local)).await?;
    let local = uses_local.then(|| Arc::new(LocalStore::existing(&config.storage.data_dir)));
    let s3 = config.storage.s3().map(|bucket| S3Store::new(&bucket)).transpose()?.map(Arc::new);
    Ok(Stores { primary: config.storage.kind, local, s3 })
}

fn to_json(report: &Report, beside_server: bool) -> Result<Value, Failure> {
    let mut json = serde_json::to_value(report)?;
    json["beside_server"] = json!(beside_server);
    Ok(json)
}

fn print(report: &Report, beside_server: bool, is_deep: bool) -> io::Result<()> {
    let beside = if beside_server { ", beside a running server" } else { "" };
    output::line(format_args!(
        "Checked {} files, {} open sessions and {} blobs ({} of them waiting to be deleted){beside}; read {} bytes.",
        report.files, report.sessions, report.blobs, report.garbage, report.bytes_verified
    ))?;
    if is_deep {
        let files = report.files_verified;
        output::line(format_args!("All bytes of {files} files were read and compared with their hashes."))?;
    }
    if !report.files_without_hash.is_empty() {
        output::line(format_args!(
            "{} files have no hash that could be compared; only their size and last byte were looked at:",
            report.files_without_hash.len()
        ))?;
        report.files_without_hash.iter().try_for_each(|file| output::line(format_args!("  {file}")))?;
    }
    if report.findings.is_empty() {
        return output::line(match report.files_without_hash.is_empty() {
            true => "Nothing is wrong.",
            false => "Nothing is wrong with what was looked at.",
        });
    }
    let rows: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let outcome = match finding.outcome {
                Outcome::Repaired => "repaired",
                Outcome::Repairable => "--repair mends it",
                Outcome::RepairableWithoutServer => "--repair mends it while no server runs",
                Outcome::Left => "nothing can be done safely",
            };
            let problem = serde_json::to_value(finding.problem).ok();
            let problem = problem.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
            [problem, finding.subject.clone(), finding.detail.clone(), outcome.to_owned()]
        })
        .collect();
    table::print(["PROBLEM", "WHERE", "WHAT", "REPAIR"], &rows)
}
