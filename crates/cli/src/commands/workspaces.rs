//! `partway workspaces create|list|limit`

use std::sync::Arc;

use clap::{Args, Subcommand};
use partway_server::config::{Bytes, Setting};
use partway_server::db::workspaces::Workspace;
use partway_server::model::WorkspaceLimits;
use serde_json::json;

use super::database::administer;
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// `partway workspaces`
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// Create a workspace. It has no keys yet; `partway keys create` makes them.
    Create(CreateArgs),
    /// List all workspaces.
    List(OutputArgs),
    /// Set the limits of a workspace, or show them.
    Limit(LimitArgs),
}

#[derive(Debug, Args)]
#[group(id = "limits", multiple = true, args = ["limit", "max_file", "open_sessions", "requests_per_second"])]
pub(crate) struct LimitArgs {
    /// Number of the workspace.
    workspace: String,
    /// Quota of its files and open sessions together, such as 500GiB or 1TB. `default` removes this limit, so that the one of the
    /// settings holds; that goes for every limit here. Sessions of public keys count only for public keys.
    #[arg(value_name = "SIZE", value_parser = parse_size)]
    limit: Option<Limit>,
    /// Largest file that may be uploaded.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_file: Option<Limit>,
    /// Upper bound of open upload sessions.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    open_sessions: Option<Limit>,
    /// Upper bound of requests per second with one key.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    requests_per_second: Option<Limit>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A limit of the workspace; `None` removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u64>);

impl LimitArgs {
    /// The limits with those given replaced.
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

/// A size as in the settings, or `default`.
fn parse_size(text: &str) -> Result<Limit, String> {
    if text == "default" {
        return Ok(Limit(None));
    }
    let size = Bytes::parse(text).map(|bytes| Limit(Some(bytes)));
    size.ok_or_else(|| match Bytes::problem(text) {
        Some(problem) => format!("it {problem}"),
        None if is_zero(text) => {
            "a limit is at least 1 byte; to end the uploads of a workspace, revoke its keys (`partway keys revoke`)"
                .to_owned()
        }
        None => format!("it must be {}, or `default`", Bytes::ALLOWED),
    })
}

/// Whether the text is a size of no bytes, in any unit.
fn is_zero(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    !digits.is_empty() && digits.bytes().all(|digit| digit == b'0')
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

/// Runs the command on the database, next to the server if one is running.
pub(crate) fn workspaces(command: WorkspacesCommand) -> Result<(), Failure> {
    match command {
        WorkspacesCommand::Create(args) => create(args)?,
        WorkspacesCommand::Limit(args) => limit(args)?,
        WorkspacesCommand::List(args) => list(&args)?,
    }
    Ok(())
}

fn create(args: CreateArgs) -> Result<(), Failure> {
    let as_json = args.output.json;
    let show = |workspace: &Workspace| print(std::slice::from_ref(workspace), as_json);
    administer(&args.output.store.config()?, async |admin| admin.workspaces.create(args.name, show).await).map(drop)
}

fn list(args: &OutputArgs) -> Result<(), Failure> {
    let workspaces = administer(&args.store.config()?, async |admin| admin.workspaces.list().await)?;
    Ok(print(&workspaces, args.json)?)
}

/// Changes the limits that are given, if any are, and shows all.
fn limit(args: LimitArgs) -> Result<(), Failure> {
    let (config, as_json, number) = (args.output.store.config()?, args.output.json, args.workspace.clone());
    let (wanted, args) = (number.clone(), Arc::new(args));
    let change = move |limits| args.apply(limits);
    let limits = administer(&config, async |admin| admin.workspaces.change_limits(wanted, change).await)?;
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
    let shown = |limit: Option<u64>| limit.map_or_else(|| "as in the settings".to_owned(), |limit| limit.to_string());
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
    fn limits_are_read_as_the_sizes_of_settings() {
        for (text, bytes) in
            [("10", 10), ("500GiB", 500 << 30), ("1 TiB", 1 << 40), ("1GB", 1_000_000_000), ("5mb", 5_000_000)]
        {
            assert_eq!(parse_size(text), Ok(Limit(Some(bytes))), "{text}");
        }
        assert_eq!(parse_size("default"), Ok(Limit(None)));
        for (bad, named) in [
            ("", "`default`"),
            ("GiB", "`10MiB`"),
            ("-1", "`10MiB`"),
            ("5G", "`10MiB`"),
            ("1GiBs", "`10MiB`"),
            ("9000000TiB", "just under 8PiB"),
            ("1.5GiB", "`1536MiB` for 1.5 GiB"),
            ("0", "at least 1 byte"),
            ("0 GiB", "partway keys revoke"),
        ] {
            let problem = parse_size(bad).unwrap_err();
            assert!(problem.contains(named), "{bad}: {problem}");
        }
    }
}
