//! The runs: one large file in parts, and many small files.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;

use crate::http::Connection;
use crate::payload::Payload;
use crate::report::{self, Row};
use crate::targets::{Target, Upload};
use crate::{Failure, ServerArgs, process};

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

#[derive(Debug, Args)]
pub(crate) struct PartsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Size of the file in MiB.
    #[arg(long, default_value_t = 1024)]
    size_mib: u64,
    /// Compare the hash that the server answers with that of the bytes sent.
    #[arg(long)]
    verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How many files.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Size of each in KiB.
    #[arg(long, default_value_t = 64)]
    size_kib: u64,
}

/// Runs `work` once per item, on as many connections as there are; the first failure ends it.
fn on_connections(
    server: &ServerArgs,
    items: u64,
    payload: &Payload,
    work: impl Fn(&mut Connection, &mut Payload, u64) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let next = AtomicU64::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..server.connections {
            scope.spawn(|| {
                let mut payload = payload.clone();
                let outcome = Connection::open(server.address).and_then(|mut connection| {
                    loop {
                        let item = next.fetch_add(1, Ordering::Relaxed);
                        if item >= items {
                            return Ok(());
                        }
                        work(&mut connection, &mut payload, item)?;
                    }
                });
                if let Err(error) = outcome {
                    next.store(items, Ordering::Relaxed);
                    if let Ok(mut failure) = failure.lock() {
                        failure.get_or_insert(error);
                    }
                }
            });
        }
    });
    match failure.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error),
        Err(_) => Err("a connection's thread panicked".into()),
    }
}

/// One large file.
pub(crate) fn parts(args: &PartsArgs) -> Result<(), Failure> {
    let server = &args.server;
    let target = Target::new(server)?;
    let size = args.size_mib * 1024 * 1024;
    let mut payload = Payload::new(server.seed);
    let mut control = Connection::open(server.address)?;
    process::warm_memory();
    process::reset_peak(&server.pids);
    let cpu_before = process::cpu_seconds(&server.pids);

    let began = Instant::now();
    // Always the same name: every run replaces the file of the one before, so that the disk and the page cache do not
    // fill up with what was measured already.
    let upload = target.start(&mut control, "bench.bin", size)?;
    let started = began.elapsed();
    let tags: Vec<Mutex<String>> = upload.parts().iter().map(|_| Mutex::default()).collect();
    on_connections(server, upload.parts().len() as u64, &payload, |connection, payload, index| {
        send_part(&upload, connection, payload, index, 0, &tags)
    })?;
    let uploaded = began.elapsed();
    let tags: Vec<String> = tags.into_iter().map(|tag| tag.into_inner().unwrap_or_default()).collect();
    let hash = target.complete(&mut control, &upload, &tags)?;
    let completed = began.elapsed();

    let cpu = process::cpu_seconds(&server.pids) - cpu_before;
    if args.verify && hash != Some(format!("blake3:{}", payload.hash(0, size)?)) {
        return Err(format!("the server answered the hash {hash:?}, which is not that of the bytes sent").into());
    }
    report::print(&Row {
        label: server.label.clone(),
        load: format!("{} MiB in {} parts, {} connections", args.size_mib, tags.len(), server.connections),
        upload_mib_s: size as f64 / MIB / (uploaded - started).as_secs_f64(),
        whole_mib_s: size as f64 / MIB / completed.as_secs_f64(),
        files_s: 0.0,
        start_ms: started.as_secs_f64() * 1e3,
        complete_ms: (completed - uploaded).as_secs_f64() * 1e3,
        cpu_s_per_gib: cpu / (size as f64 / GIB),
        peak_mib: process::peak_mib(&server.pids),
    })
}

fn send_part(
    upload: &Upload,
    connection: &mut Connection,
    payload: &mut Payload,
    index: u64,
    payload_offset: u64,
    tags: &[Mutex<String>],
) -> Result<(), Failure> {
    let part = &upload.parts()[usize::try_from(index)?];
    let answer = connection.put(&part.path, payload, payload_offset + part.offset, part.length)?;
    // nginx answers 201 for a new file.
    if !matches!(answer.status, 200 | 201) {
        answer.expect(200)?;
        return Ok(());
    }
    if let Ok(mut tag) = tags[usize::try_from(index)?].lock() {
        *tag = answer.entity_tag;
    }
    Ok(())
}

/// Many small files.
pub(crate) fn files(args: &FilesArgs) -> Result<(), Failure> {
    let server = &args.server;
    let target = Target::new(server)?;
    let size = args.size_kib * 1024;
    let payload = Payload::new(server.seed);
    process::reset_peak(&server.pids);
    let cpu_before = process::cpu_seconds(&server.pids);
    let began = Instant::now();
    on_connections(server, args.count, &payload, |connection, payload, item| {
        let upload = target.start(connection, &format!("bench-{}-{item}.bin", server.seed), size)?;
        let tags = [Mutex::default()];
        // A MiB apart, so that every file has a stamp of its own.
        send_part(&upload, connection, payload, 0, item * 1024 * 1024, &tags)?;
        let [tag] = tags;
        target.complete(connection, &upload, &[tag.into_inner().unwrap_or_default()])?;
        Ok(())
    })?;
    let took = began.elapsed().as_secs_f64();
    let total = (args.count * size) as f64;
    report::print(&Row {
        label: server.label.clone(),
        load: format!("{} files of {} KiB, {} connections", args.count, args.size_kib, server.connections),
        upload_mib_s: 0.0,
        whole_mib_s: total / MIB / took,
        files_s: args.count as f64 / took,
        start_ms: 0.0,
        complete_ms: 0.0,
        cpu_s_per_gib: (process::cpu_seconds(&server.pids) - cpu_before) / (total / GIB),
        peak_mib: process::peak_mib(&server.pids),
    })
}
