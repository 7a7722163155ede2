//! Files of several sizes that many connections take at once.

use std::time::Instant;

use clap::Args;

use crate::http::{Connections, Place};
use crate::payload::Payload;
use crate::run::on_connections;
use crate::targets::{Stored, Target};
use crate::{Failure, ServerArgs, process};

const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, Args)]
pub(crate) struct DownloadsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Size of the file in KiB.
    #[arg(long)]
    size_kib: u64,
    /// How often it is taken.
    #[arg(long)]
    count: u64,
}

/// Prints label, size, count, MiB per second, processor seconds of the server per GiB, and its peak memory in MiB.
pub(crate) fn downloads(args: &DownloadsArgs) -> Result<(), Failure> {
    let server = &args.server;
    let size = args.size_kib * 1024;
    let place = Place::parse(&upload(server, size)?)?;
    let payload = Payload::new(server.seed);
    let take_all = |count| {
        on_connections(server, count, &payload, |connections, _, _| {
            let mut taken = 0;
            connections.fetch(&place, &mut |bytes| taken += bytes.len() as u64)?.expect(200)?;
            if taken == size { Ok(()) } else { Err(format!("{taken} of {size} bytes came").into()) }
        })
    };
    take_all(server.connections as u64)?;
    process::reset_peak(&server.pids);
    let cpu_before = process::cpu_seconds(&server.pids);
    let began = Instant::now();
    take_all(args.count)?;
    let took = began.elapsed().as_secs_f64();
    let total_mib = (args.count * size) as f64 / MIB;
    println!(
        "| {} | {} KiB | {} | {:.0} | {:.2} | {:.0} |",
        server.label,
        args.size_kib,
        args.count,
        total_mib / took,
        (process::cpu_seconds(&server.pids) - cpu_before) / (total_mib / 1024.0),
        process::peak_mib(&server.pids)
    );
    Ok(())
}

/// The URL of a new file.
fn upload(server: &ServerArgs, size: u64) -> Result<String, Failure> {
    let target = Target::new(server)?;
    let (mut connections, mut payload) = (Connections::default(), Payload::new(server.seed));
    let upload = target.start(&mut connections, &format!("download-{size}.bin"), size)?;
    for part in upload.parts() {
        connections.put(&part.place, &mut payload, part.offset, part.length)?.expect(200)?;
    }
    let Stored { url, .. } = target.complete(&mut connections, &upload, &[])?;
    url.ok_or_else(|| "only Partway tells the URL of a file".into())
}
