//! What start and complete of 10,000 parts cost, without moving 100 GB: the parts' records are written straight into
//! the database, and the blob is sparse, so that its sync has nothing to do.

use std::time::Instant;

use clap::Args;
use partway_server::config::StorageSettings;
use partway_server::db::{Durability, parts};
use partway_server::input::{JsonBody, StartUpload};
use partway_server::service::key;
use partway_server::storage::subtrees::PartHasher;
use partway_server::{App, Config};

use crate::Failure;

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// How many parts, of 10 MiB each.
    #[arg(long, default_value_t = 10_000)]
    parts: u64,
    /// How often.
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// Prints the median times in milliseconds.
pub(crate) fn completion(args: &CompletionArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut times = Vec::new();
    for _ in 0..args.runs {
        times.push(runtime.block_on(once(args.parts))?);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "complete of {} parts, nothing to sync, session not in memory: median {:.1} ms of {} runs",
        args.parts,
        times[times.len() / 2],
        args.runs
    );
    Ok(())
}

async fn once(part_count: u64) -> Result<f64, Failure> {
    let directory = tempfile::tempdir()?;
    let mut config = Config::with_data_dir(directory.path());
    config.storage = StorageSettings { reserve: false, ..config.storage };
    let address = config.http.listen;
    let size = part_count * 10 * 1024 * 1024;
    let body =
        JsonBody::parse(format!(r#"{{"file_name":"x","size":{size},"format":"bin","ttl_seconds":3600}}"#).as_bytes())?;
    let (identity, session_id) = {
        let (app, first_run) = App::open(config.clone(), address).await?;
        let private_key = first_run.ok_or("the directory was not new")?.private_key.key;
        let identity = key::identify(&app.db, &private_key).await?.ok_or("the key is not known")?;
        let started = app.uploads.start(&identity, StartUpload::read(&body, u64::MAX)?).await?;
        let (id, plan) = (started.session.id, started.plan);
        app.db
            .write(Durability::PowerLoss, move |tx| {
                for index in 0..plan.parts() {
                    // Any values of the right number: merging costs the same.
                    let range = plan.range(index).unwrap_or_default();
                    let subtrees = PartHasher::count(&range, plan.size_bytes());
                    parts::record(tx, id, index, &vec![7; subtrees * 32])?;
                }
                Ok(())
            })
            .await?;
        (identity, id)
    };
    let (app, _) = App::open(config, address).await?;
    let began = Instant::now();
    app.uploads.complete(&identity, &session_id.to_string(), None).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
