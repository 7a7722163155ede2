//! Cost of start and complete with 10,000 parts, without moving 100 GB: the parts' records are written straight into
//! the database, and the blob is sparse, so that its sync has nothing to do.

use std::time::Instant;

use clap::Args;
use partway_api::PartPlan;
use partway_hash::PartHasher;
use partway_server::db::{Durability, parts};
use partway_server::input::{JsonBody, StartUpload};
use partway_server::service::upload::ExpectedHashes;
use partway_server::storage::PartDigests;
use partway_server::{App, Config};
use uuid::Uuid;

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
    for (in_memory, where_it_is) in [(true, "in memory"), (false, "only in the database")] {
        let times = (0..args.runs).map(|_| runtime.block_on(once(args.parts, in_memory)));
        let mut times = times.collect::<Result<Vec<_>, _>>()?;
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        println!("complete, {} parts, session {where_it_is}, nothing to sync: {median:.1} ms", args.parts);
    }
    Ok(())
}

async fn once(part_count: u64, in_memory: bool) -> Result<f64, Failure> {
    let directory = tempfile::tempdir()?;
    let mut config = Config::with_data_dir(directory.path());
    config.storage.reserve = false;
    let address = config.http.listen;
    // The last part has one byte, so that sending it leaves nothing to sync that would count.
    let size = (part_count - 1) * 10 * 1024 * 1024 + 1;
    let body = format!(r#"{{"file_name":"x","size":{size},"format":"bin"}}"#);
    let (identity, session_id, plan) = {
        let (app, first_run) = App::open(config.clone(), address).await?;
        let private_key = first_run.ok_or("the directory was not new")?.private_key.key;
        let identity = app.keys.identify(&private_key).await?.ok_or("the key is not known")?;
        let upload = StartUpload::read(&JsonBody::parse(body.as_bytes())?, &app.uploads.rules(&identity))?;
        let started = app.uploads.start(&identity, upload, None).await?;
        record_all(&app, started.session.id, started.plan).await?;
        (identity, started.session.id, started.plan)
    };
    let (app, _) = App::open(config, address).await?;
    if in_memory {
        let last = futures_util::stream::iter([Ok(vec![7].into())]);
        app.uploads.receive_part(session_id, plan.parts() - 1, PartDigests::default(), last).await?;
    }
    let began = Instant::now();
    app.uploads.complete(&identity, &session_id.to_string(), None, ExpectedHashes::default()).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// Any values of the right number: merging costs the same.
async fn record_all(app: &App, session_id: Uuid, plan: PartPlan) -> Result<(), Failure> {
    let recorded = app.db.write(Durability::PowerLoss, move |tx| {
        for index in 0..plan.parts() {
            let range = plan.range(index).unwrap_or_default();
            let subtrees = PartHasher::count(&range, plan.size_bytes());
            parts::record(tx, session_id, index, &vec![7; subtrees * 32])?;
        }
        Ok(())
    });
    Ok(recorded.await?)
}
