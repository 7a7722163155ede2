//! `partway workspaces create|list|limit`

use clap::{Args, Subcommand};
use partway_server::db::usage::{self};
use partway_server::db::workspaces::{self, Workspace};
use partway_server::model::WorkspaceLimits;
use partway_server::service::workspace::draw_workspace;
use serde_json::json;

use super::database::{read, write, write_to_free};
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// What can be done with workspaces.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// Make a workspace. It has no keys yet; `partway keys create` makes them.
    Create(CreateArgs),
    /// List all workspaces.
    List(OutputArgs),
    /// Limit what a workspace may hold and ask for, or show its limits.
    Limit(LimitArgs),
}

#[derive(Debug, Args)]
#[group(id = "limits", multiple = true, args = ["limit", "max_file", "open_sessions", "requests_per_second"])]
pub(crate) struct LimitArgs {
    /// Number of the workspace.
    workspace: String,
    /// How much it may hold, files and open sessions together (those of public keys count for public keys alone): bytes, also with KiB, MiB, GiB or TiB behind them; `default`
    /// for what the settings say. The same goes for the others.
    #[arg(value_name = "SIZE", value_parser = parse_size)]
    limit: Option<Limit>,
    /// Largest file that may be uploaded.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_file: Option<Limit>,
    /// Most open upload sessions.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    open_sessions: Option<Limit>,
    /// Most requests in a second with one key.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    requests_per_second: Option<Limit>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A limit of the workspace's own, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u64>);

impl LimitArgs {
    /// The limits that there were, with those given in their place.
    fn apply(&self, limits: WorkspaceLimits) -> WorkspaceLimits {
        let or = |given: Option<Limit>, before: Option<u64>| given.map_or(before, |Limit(limit)| limit);
        WorkspaceLimits {
            storage_bytes: or(self.limit, limits.storage_bytes),
            max_file_bytes: or(self.max_file, limits.max_file_bytes),
            max_open_sessions: or(self.open_sessions, limits.max_open_sessions),
            requests_per_second: or(self.requests_per_second, limits.requests_per_second),
        }
    }
}

fn parse_size(text: &str) -> Result<Limit, String> {
    if text == "default" {
        return Ok(Limit(None));
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text[digits.len()..].trim() {
        "" => Some(1_u64),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    // 2^53 - 1, as for every size.
    let bytes = digits.parse().ok().zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
    let bytes = bytes.filter(|bytes| *bytes <= 9_007_199_254_740_991);
    bytes.map(|bytes| Limit(Some(bytes))).ok_or_else(|| "must be bytes, such as 500GiB, or `default`".to_owned())
}

fn parse_count(text: &str) -> Result<Limit, String> {
    if text == "default" {
        return Ok(Limit(None));
    }
    let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.map(|count| Limit(Some(count))).ok_or_else(|| "must be a number from 1 to 1000000, or `default`".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A name for people.
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command on the database, beside the server if one is running.
pub(crate) fn workspaces(command: WorkspacesCommand) -> Result<(), Failure> {
    match command {
        WorkspacesCommand::Create(args) => {
            let (config, name) = (args.output.store.config()?, args.name);
            let workspace = read(&config, move |tx| draw_workspace(tx, &name))?;
            let printed = print(std::slice::from_ref(&workspace), args.output.json);
            output::needed(printed, "no workspace was made, because its number could not be shown")?;
            write(&config, move |tx| workspaces::insert(tx, &workspace)).map_err(|error| {
                let error = partway_server::error_chain(&*error);
                format!("the workspace that was shown is not there, because it could not be stored: {error}")
            })?;
        }
        WorkspacesCommand::Limit(args) => limit(args)?,
        WorkspacesCommand::List(args) => print(&read(&args.store.config()?, workspaces::list)?, args.json)?,
    }
    Ok(())
}

/// Changes the limits that are given, if any are, and shows all.
fn limit(args: LimitArgs) -> Result<(), Failure> {
    let (config, as_json, number) = (args.output.store.config()?, args.output.json, args.workspace.clone());
    let args = std::sync::Arc::new(args);
    let changed = write_to_free(&config, move |tx| {
        let Some(workspace) = workspaces::find_by_no(tx, &args.workspace)? else { return Ok(None) };
        workspaces::lock(tx, workspace.id)?;
        let before = usage::find(tx, workspace.id)?.map(|usage| usage.limits).unwrap_or_default();
        let limits = args.apply(before);
        usage::set_limits(tx, workspace.id, limits)?;
        Ok(Some(limits))
    })?;
    let limits = changed.ok_or_else(|| format!("there is no workspace {number}"))?;
    let unsaid = format!("the limits of {number} are set, but could not be shown");
    if as_json {
        return output::needed(
            output::json(
                &json!({"workspace_no": number, "storage_limit_bytes": limits.storage_bytes, "max_file_bytes": limits.max_file_bytes,
                   "max_open_sessions": limits.max_open_sessions, "requests_per_second": limits.requests_per_second}),
            ),
            unsaid,
        );
    }
    let shown = |limit: Option<u64>| limit.map_or_else(|| "as the settings say".to_owned(), |limit| limit.to_string());
    let rows = [
        ["bytes of files and open sessions".to_owned(), shown(limits.storage_bytes)],
        ["bytes of one file".to_owned(), shown(limits.max_file_bytes)],
        ["open sessions".to_owned(), shown(limits.max_open_sessions)],
        ["requests a second with one key".to_owned(), shown(limits.requests_per_second)],
    ];
    output::needed(table::print([&format!("LIMIT OF {number}"), "AT MOST"], &rows), unsaid)
}

fn print(workspaces: &[Workspace], as_json: bool) -> std::io::Result<()> {
    if as_json {
        for Workspace { id, workspace_no, name, created_at } in workspaces {
            let id = id.to_string();
            output::json(
                &json!({"id": id, "workspace_no": workspace_no, "name": name, "created_at": created_at.to_iso8601()}),
            )?;
        }
        return Ok(());
    }
    let rows: Vec<_> = workspaces
        .iter()
        .map(|workspace| [workspace.workspace_no.clone(), workspace.name.clone(), workspace.created_at.to_iso8601()])
        .collect();
    table::print(["NUMBER", "NAME", "CREATED"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_and_without_units() {
        assert_eq!(parse_size("default"), Ok(Limit(None)));
        assert_eq!(parse_size("10"), Ok(Limit(Some(10))));
        assert_eq!(parse_size("500GiB"), Ok(Limit(Some(500 << 30))));
        assert_eq!(parse_size("1 TiB"), Ok(Limit(Some(1 << 40))));
        for bad in ["", "GiB", "-1", "1.5GiB", "1GB", "1GiBs", "99999999999999999999", "9000000TiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
