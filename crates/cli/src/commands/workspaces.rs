//! `partway workspaces create|list|limit`

use clap::{Args, Subcommand};
use partway_server::db::usage;
use partway_server::db::workspaces::{self, Workspace};
use partway_server::service::workspace::create_workspace;
use serde_json::json;

use super::database::{read, write};
use crate::settings::StoreArgs;
use crate::{Failure, output, table};

/// What can be done with workspaces.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// Make a workspace. It has no keys yet; `partway keys create` makes them.
    Create(CreateArgs),
    /// List all workspaces.
    List(OutputArgs),
    /// Set how much a workspace may hold, files and open sessions together.
    Limit(LimitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Number of the workspace.
    workspace: String,
    /// Bytes, also with KiB, MiB, GiB or TiB behind them; `default` for what the settings say.
    #[arg(value_name = "SIZE", value_parser = parse_limit)]
    limit: Limit,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u64>);

fn parse_limit(text: &str) -> Result<Limit, String> {
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

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A name for people.
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command on the database, beside the server if one is running.
pub(crate) fn workspaces(command: WorkspacesCommand) -> Result<(), Failure> {
    match command {
        WorkspacesCommand::Create(args) => {
            let name = args.name;
            let workspace = write(&args.output.store.config()?, move |tx| create_workspace(tx, &name))?;
            print(&[workspace], args.output.json)?;
        }
        WorkspacesCommand::Limit(args) => {
            let (number, Limit(limit)) = (args.workspace.clone(), args.limit);
            let changed = write(&args.output.store.config()?, move |tx| {
                let found = workspaces::find_by_no(tx, &number)?;
                if let Some(workspace) = &found {
                    usage::set_limit(tx, workspace.id, limit)?;
                }
                Ok(found)
            })?;
            let workspace = changed.ok_or_else(|| format!("there is no workspace {}", args.workspace))?;
            match limit {
                _ if args.output.json => {
                    println!("{}", json!({"workspace_no": workspace.workspace_no, "storage_limit_bytes": limit}));
                }
                Some(limit) => println!("Workspace {} may hold {limit} bytes.", workspace.workspace_no),
                None => println!("Workspace {} may hold what the settings say.", workspace.workspace_no),
            }
        }
        WorkspacesCommand::List(args) => print(&read(&args.store.config()?, workspaces::list)?, args.json)?,
    }
    Ok(())
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
        assert_eq!(parse_limit("default"), Ok(Limit(None)));
        assert_eq!(parse_limit("10"), Ok(Limit(Some(10))));
        assert_eq!(parse_limit("500GiB"), Ok(Limit(Some(500 << 30))));
        assert_eq!(parse_limit("1 TiB"), Ok(Limit(Some(1 << 40))));
        for bad in ["", "GiB", "-1", "1.5GiB", "1GB", "1GiBs", "99999999999999999999", "9000000TiB"] {
            assert!(parse_limit(bad).is_err(), "{bad}");
        }
    }
}
