//! `partway db migrate`

use std::io;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use partway_server::db::import::Content;
use partway_server::db::{DatabaseLocation, Db};
use partway_server::process::data_dir::DataDir;
use serde_json::json;

use super::database::usable;
use crate::settings::StoreArgs;
use crate::{Failure, output, table};

/// `partway db`
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Copy all records from the SQLite file in the data directory to an empty PostgreSQL database. Stop the server first.
    Migrate(MigrateArgs),
}

/// Arguments of `partway db migrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "All records are copied in one transaction, and compared by counts and checksums before it is committed. Then \
                  the SQLite file is renamed, so that no server starts with it by mistake. Nothing else in the data \
                  directory changes: with local storage, the files stay where they are."
)]
pub(crate) struct MigrateArgs {
    /// The empty database, as `postgres://user:password@host/database`. Default: `database.url` of the settings.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command.
pub(crate) fn db(command: DbCommand) -> Result<(), Failure> {
    let DbCommand::Migrate(args) = command;
    let config = args.store.config()?;
    let url = args.to.or_else(|| config.database.url.as_ref().map(|url| url.as_str().to_owned()));
    let url = url.ok_or("--to is missing, and database.url is not set; give the target database with one of them")?;
    let data_dir = &config.storage.data_dir;
    let file = DataDir::existing_database(data_dir)?;
    // Held until the file is renamed, so that no server writes to it.
    let lock = DataDir::lock(data_dir)?;
    // Upgrades the schema of the file, and merges the write-ahead log into it.
    drop(Db::open(&DatabaseLocation::Sqlite(file.clone()))?);
    let target = DatabaseLocation::Postgres { url, max_connections: 2 };
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::no_length() };
    bar.set_style(ProgressStyle::with_template("{spinner} {human_pos} rows {msg}")?);
    let (shown, source) = (bar.clone(), file.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let copied = runtime.block_on(async {
        let target = usable(Db::open(&target), &target)?;
        let copy = target.copy_from(source, move |table, rows| {
            shown.inc(rows as u64);
            shown.set_message(table);
        });
        Ok::<_, Failure>(copy.await?)
    })?;
    bar.finish_and_clear();
    let kept = lock.set_database_aside()?;
    let kept = kept.display().to_string();
    output::needed(
        print(&copied, &kept, args.json),
        format_args!("the records were copied, and {kept} was kept, but this could not be shown"),
    )
}

fn print(copied: &[Content], kept: &str, as_json: bool) -> io::Result<()> {
    if as_json {
        let tables: Vec<_> = copied
            .iter()
            .map(|content| json!({"table": content.table, "rows": content.rows, "checksum": content.checksum}))
            .collect();
        return output::json(&json!({"tables": tables, "kept": kept}));
    }
    let rows: Vec<_> = copied
        .iter()
        .map(|content| [content.table.to_owned(), content.rows.to_string(), content.checksum[..16].to_owned()])
        .collect();
    table::print(["TABLE", "ROWS", "CHECKSUM (EQUAL ON BOTH SIDES)"], &rows)?;
    output::line("")?;
    output::line(format_args!("The SQLite file was renamed to {kept}. Start the server with `database.url` now."))
}
