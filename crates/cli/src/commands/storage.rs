//! `partway storage migrate`

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use partway_server::config::Config;
use partway_server::db::Db;
use partway_server::model::StorageKind;
use partway_server::service::admin::open_existing;
use partway_server::service::blob_retention::GracePolicy;
use partway_server::service::storage_migration::{MoveFiles, Moved};
use partway_server::storage::{LocalStore, S3Store, Stores};

use crate::settings::StoreArgs;
use crate::{Failure, human, output, table};

/// `partway storage`
#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Move all files to the other storage, also while servers run. Run it again to move the rest.
    Migrate(MigrateArgs),
}

/// Arguments of `partway storage migrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Before this command, every running server must serve both storages: to move to s3, restart it with the \
                  settings of the bucket; to move to local, set storage.kind = \"local\" as well. Each file is copied, \
                  read back and compared with its hash. Then the file uses the copy; until then it is served from the \
                  old storage. Open uploads are completed in the old storage: run the command again after them."
)]
pub(crate) struct MigrateArgs {
    /// The storage to move the files to.
    #[arg(long)]
    to: Kind,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Local,
    S3,
}

/// Runs the command.
pub(crate) fn storage(command: StorageCommand) -> Result<(), Failure> {
    let StorageCommand::Migrate(args) = command;
    let config = args.store.config()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let db = open_existing(&config)?;
    let moved = runtime.block_on(migrate(&config, db, &args))?;
    output::needed(print(&moved, args.json), "files were moved, but the result could not be shown")?;
    match moved.failed.len() {
        0 => Ok(()),
        failed => Err(format!("{failed} files were not moved; run the command again").into()),
    }
}

fn print(moved: &Moved, as_json: bool) -> io::Result<()> {
    if as_json {
        return output::json(moved);
    }
    let (files, bytes) = (human::count(moved.files, "file"), human::count(moved.bytes, "byte"));
    output::line(format_args!("Moved {files} of {bytes}."))?;
    if moved.gone > 0 {
        output::line(format_args!("Replaced or deleted during the move: {}.", human::count(moved.gone, "file")))?;
    }
    if moved.failed.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = moved.failed.iter().map(|(path, why)| [path.clone(), why.clone()]).collect();
    table::print(["NOT MOVED", "WHY"], &rows)
}

async fn migrate(config: &Config, db: Db, args: &MigrateArgs) -> Result<Moved, Failure> {
    let to = match args.to {
        Kind::Local => StorageKind::Local,
        Kind::S3 => StorageKind::S3,
    };
    let bucket =
        config.storage.s3().ok_or("the settings have no bucket; set storage.endpoint, storage.bucket and its keys")?;
    let settings = &config.storage;
    if to == StorageKind::S3 && !settings.data_dir.is_dir() {
        return Err(format!("{} does not exist; is it the data_dir of the server?", settings.data_dir.display()).into());
    }
    if to == StorageKind::Local && db.is_shared() && !settings.single_node {
        return Err(
            "the database is a PostgreSQL server, which other nodes could share, and they cannot serve files on \
                    this disk; allowed: storage.single_node = true when this node is the only one"
                .into(),
        );
    }
    if to == StorageKind::Local && settings.kind != StorageKind::Local {
        return Err("storage.kind is \"s3\": a server with it does not serve local files; set storage.kind = \"local\", restart \
                    the server, and run this again"
            .into());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.data_dir)?;
    let local = LocalStore::open(&settings.data_dir, settings.reserve, settings.min_free_bytes)?;
    let stores = Stores { primary: to, local: Some(Arc::new(local)), s3: Some(Arc::new(S3Store::new(&bucket)?)) };
    let moving = MoveFiles { db, stores, to, grace: GracePolicy::new(settings.url_seconds.as_secs()) };
    let (files, bytes) = moving.left().await?;
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(bytes) };
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg} eta {eta}");
    bar.set_style(style?);
    let arrived = AtomicU64::new(0);
    let on_moved = |bytes, has_arrived| {
        bar.inc(bytes);
        let done = arrived.fetch_add(u64::from(has_arrived), Ordering::Relaxed);
        bar.set_message(format!("{} of {files} files", done + u64::from(has_arrived)));
    };
    let moved = moving.run(&on_moved).await?;
    bar.finish_and_clear();
    Ok(moved)
}
