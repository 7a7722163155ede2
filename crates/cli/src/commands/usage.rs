//! `partway usage`

use clap::Args;
use indicatif::HumanBytes;
use partway_server::Config;
use partway_server::db::garbage;
use partway_server::db::usage::{self, Amount, Usage};
use partway_server::model::StorageKind;
use partway_server::storage::{DiskState, LocalStore};
use serde_json::json;

use super::database::read;
use crate::settings::StoreArgs;
use crate::{Failure, output, table};

/// What `partway usage` takes.
#[derive(Debug, Args)]
#[command(after_help = "Limits are those of each workspace, or what the settings given to this command say.")]
pub(crate) struct UsageArgs {
    /// Print JSON, one object per workspace.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// What one workspace holds; without a workspace, what nobody's garbage is.
struct Row {
    workspace: Option<Usage>,
    garbage: Amount,
}

/// Shows the bytes of each workspace by what they are.
pub(crate) fn usage(args: &UsageArgs) -> Result<(), Failure> {
    let config = args.store.config()?;
    let default_limit = config.limits.workspace_storage.map(|limit| limit.0);
    let (workspaces, mut garbage) = read(&config, |tx| Ok((usage::list(tx)?, garbage::amounts(tx)?)))?;
    let mut rows: Vec<Row> = Vec::new();
    for mut workspace in workspaces {
        workspace.limits.storage_bytes = workspace.limits.storage_bytes.or(default_limit);
        let own = garbage.iter().position(|(id, _)| *id == Some(workspace.workspace_id));
        let garbage = own.map(|at| garbage.swap_remove(at).1).unwrap_or_default();
        rows.push(Row { workspace: Some(workspace), garbage });
    }
    rows.extend(garbage.into_iter().map(|(_, garbage)| Row { workspace: None, garbage }));
    if args.json {
        rows.iter().try_for_each(print_json)?;
    } else {
        print(&rows)?;
    }
    Ok(tell_of_disk(&config, args.json)?)
}

/// How much room the disk of local storage has. Scripts that read JSON hear of it only when it is full.
fn tell_of_disk(config: &Config, json: bool) -> std::io::Result<()> {
    if config.storage.kind != StorageKind::Local {
        return Ok(());
    }
    let Ok(disk) = LocalStore::existing(&config.storage.data_dir).disk() else { return Ok(()) };
    let disk = DiskState { kept_bytes: config.storage.min_free.0, ..disk };
    let (free, kept) = (HumanBytes(disk.free_bytes), HumanBytes(disk.kept_bytes));
    if disk.is_full() {
        output::say(format_args!(
            "partway: the disk is full: {free} ({} bytes) are free, {kept} ({} bytes) are kept free; no upload is taken",
            disk.free_bytes, disk.kept_bytes
        ));
        return Ok(());
    }
    match json {
        true => Ok(()),
        false => output::line(format_args!("Disk: {free} are free, {kept} of them are kept free.")),
    }
}

fn print_json(row: &Row) -> std::io::Result<()> {
    let amount = |amount: Amount| json!({"count": amount.count, "bytes": amount.bytes});
    let workspace = row.workspace.as_ref();
    output::json(&json!({
        "workspace_no": workspace.map(|usage| &usage.workspace_no),
        "name": workspace.map(|usage| &usage.name),
        "files": amount(workspace.map(|usage| usage.files).unwrap_or_default()),
        "sessions": amount(workspace.map(|usage| usage.sessions).unwrap_or_default()),
        "garbage": amount(row.garbage),
        "storage_limit_bytes": workspace.and_then(|usage| usage.limits.storage_bytes),
    }))
}

fn print(rows: &[Row]) -> std::io::Result<()> {
    let shown = |amount: Amount| format!("{} ({})", HumanBytes(amount.bytes.max(0) as u64), amount.count);
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let garbage = shown(row.garbage);
            let Some(usage) = &row.workspace else {
                return ["-".into(), "found by fsck".into(), "-".into(), "-".into(), garbage, "-".into()];
            };
            let limit = usage.limits.storage_bytes.map_or_else(|| "-".into(), |limit| HumanBytes(limit).to_string());
            let (files, sessions) = (shown(usage.files), shown(usage.sessions));
            [usage.workspace_no.clone(), usage.name.clone(), files, sessions, garbage, limit]
        })
        .collect();
    table::print(["WORKSPACE", "NAME", "FILES", "OPEN SESSIONS", "GARBAGE", "LIMIT"], &rows)
}
