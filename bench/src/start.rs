//! Cost of starting an upload of thousands of parts: one answer with a presigned URL for each. No byte is sent.

use std::time::Instant;

use clap::Args;
use serde_json::Value;

use crate::http::{Connections, Place};
use crate::partway::Partway;
use crate::targets::Kind;
use crate::{Failure, ServerArgs};

const PART_BYTES: u64 = 10 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How many parts, of 10 MiB each.
    #[arg(long, default_value_t = 10_000)]
    parts: u64,
    /// How often.
    #[arg(long, default_value_t = 5)]
    tries: u32,
}

/// Prints label, parts, tries, and the median and longest time in milliseconds, as a row of a Markdown table.
pub(crate) fn start(args: &StartArgs) -> Result<(), Failure> {
    let server = &args.server;
    if server.target != Kind::Partway {
        return Err("only Partway signs the URLs of parts: --target must be partway".into());
    }
    let partway = Partway::new(server);
    let mut connections = Connections::default();
    connections.connect(&Place::at(server.address, "/"))?;
    let times = (0..args.tries).map(|_| once(&partway, &mut connections, args.parts));
    let mut times = times.collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) else {
        return Err("--tries must be at least 1".into());
    };
    println!("| {} | {} | {} | {median:.1} | {longest:.1} |", server.label, args.parts, args.tries);
    Ok(())
}

/// From the request to the answer's last byte. The upload is aborted again.
fn once(partway: &Partway, connections: &mut Connections, parts: u64) -> Result<f64, Failure> {
    let began = Instant::now();
    let answer = partway.start(connections, "bench-start.bin", parts * PART_BYTES)?;
    let took = began.elapsed();
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let session_id = answer["session_id"].as_str().ok_or("no session_id")?;
    partway.abort(connections, session_id)?;
    let urls = answer["parts"].as_array().map_or(0, Vec::len);
    if urls as u64 != parts {
        return Err(format!("{urls} URLs for {parts} parts").into());
    }
    Ok(took.as_secs_f64() * 1e3)
}
