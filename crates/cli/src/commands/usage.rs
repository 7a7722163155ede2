//! `partway usage`

use clap::Args;
use indicatif::HumanBytes;
use partway_server::db::usage::Amount;
use partway_server::service::usage::{WorkspaceUsage, disk_of};
use partway_server::storage::DiskState;
use serde_json::json;

use super::database::administer;
use crate::settings::StoreArgs;
use crate::{Failure, output, table};

/// Arguments of `partway usage`.
#[derive(Debug, Args)]
#[command(after_help = "The limit is that of the workspace, or the one in the settings given to this command.")]
pub(crate) struct UsageArgs {
    /// Print JSON, one object per workspace.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Shows the bytes of each workspace by kind, and the free space of the disk.
pub(crate) fn usage(args: &UsageArgs) -> Result<(), Failure> {
    let config = args.store.config()?;
    let rows = administer(&config, async |admin| admin.usage.list().await)?;
    if args.json {
        rows.iter().try_for_each(print_json)?;
    } else {
        print(&rows)?;
    }
    let disk = disk_of(&config.storage);
    Ok(disk.map_or(Ok(()), |disk| print_disk(disk, args.json))?)
}

/// Scripts that read JSON get a message only when the disk is full.
fn print_disk(disk: DiskState, as_json: bool) -> std::io::Result<()> {
    let (free, kept) = (HumanBytes(disk.free_bytes), HumanBytes(disk.kept_bytes));
    if disk.is_full() {
        output::say(format_args!(
            "partway: the disk is full: {free} ({} bytes) are free, {kept} ({} bytes) are kept free; uploads are refused",
            disk.free_bytes, disk.kept_bytes
        ));
        return Ok(());
    }
    match as_json {
        true => Ok(()),
        false => output::line(format_args!("Disk: {free} free, of which {kept} are kept free.")),
    }
}

fn print_json(row: &WorkspaceUsage) -> std::io::Result<()> {
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

fn print(rows: &[WorkspaceUsage]) -> std::io::Result<()> {
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
