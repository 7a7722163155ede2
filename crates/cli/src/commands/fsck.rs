//! `partway fsck`

use std::io;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use partway_server::process::data_dir::{DataDir, DataDirError};
use partway_server::service::admin::open_existing;
use partway_server::service::fsck::{Fsck, Outcome, Report, existing_stores};
use serde_json::{Value, json};

use crate::settings::StoreArgs;
use crate::{Failure, output, table};

/// No problem was found. The exit codes are those of fsck(8).
const CLEAN: u8 = 0;
/// All problems were repaired.
const REPAIRED: u8 = 1;
/// Problems are left.
const PROBLEMS: u8 = 4;
/// The check could not be finished.
const FAILED: u8 = 8;

/// Arguments of `partway fsck`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 no problem was found, 1 all problems were repaired, 4 problems are left, 8 the check failed."
)]
pub(crate) struct FsckArgs {
    /// Read all bytes and compare them with their hashes.
    #[arg(long)]
    deep: bool,
    /// Repair problems where no byte can be lost: the server deletes blobs without an owner, damaged parts of sessions are
    /// verified again (only while no server runs), and counters are counted again.
    #[arg(long)]
    repair: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Checks database and storages, next to the server if one is running.
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
    // Held only for repairs: a server that starts during a check does no harm.
    let lock = match (args.repair && data_dir.is_dir()).then(|| DataDir::lock(data_dir)).transpose() {
        Ok(lock) => lock,
        Err(DataDirError::InUse(_)) => None,
        Err(error) => return Err(error.into()),
    };
    // With a shared database, other nodes may run unnoticed.
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
    // A reader such as `head` may close the pipe: the exit code has the result. Any other failure to write the report is a failed
    // check.
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("the check has finished, but its report could not be shown: {error}").into())
        }
        _ => Ok(report),
    }
}

fn to_json(report: &Report, beside_server: bool) -> Result<Value, Failure> {
    let mut json = serde_json::to_value(report)?;
    json["beside_server"] = json!(beside_server);
    Ok(json)
}

fn print(report: &Report, beside_server: bool, is_deep: bool) -> io::Result<()> {
    let mode = if beside_server { ", next to a running server" } else { "" };
    output::line(format_args!(
        "Checked {} files, {} open sessions and {} blobs ({} of them waiting to be deleted){mode}; read {} bytes.",
        report.files, report.sessions, report.blobs, report.garbage, report.bytes_verified
    ))?;
    if is_deep {
        let files = report.files_verified;
        output::line(format_args!("All bytes of {files} files were read and compared with their hashes."))?;
    }
    if !report.files_without_hash.is_empty() {
        output::line(format_args!(
            "{} files have no hash to compare with; only their size and last byte were checked:",
            report.files_without_hash.len()
        ))?;
        report.files_without_hash.iter().try_for_each(|file| output::line(format_args!("  {file}")))?;
    }
    if report.findings.is_empty() {
        return output::line(match report.files_without_hash.is_empty() {
            true => "No problem was found.",
            false => "No problem was found in what was checked.",
        });
    }
    let rows: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let outcome = match finding.outcome {
                Outcome::Repaired => "repaired",
                Outcome::Repairable => "--repair fixes it",
                Outcome::RepairableWithoutServer => "--repair fixes it while no server runs",
                Outcome::Left => "no safe repair",
            };
            let problem = serde_json::to_value(finding.problem).ok();
            let problem = problem.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
            [problem, finding.subject.clone(), finding.detail.clone(), outcome.to_owned()]
        })
        .collect();
    table::print(["PROBLEM", "WHERE", "DETAIL", "REPAIR"], &rows)
}
