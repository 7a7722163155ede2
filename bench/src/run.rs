//! The runs: one large file in parts, and many small files.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;

use crate::http::{Connections, Place};
use crate::payload::Payload;
use crate::report::{self, Row};
use crate::targets::{Stored, Target, Upload};
use crate::{Failure, ServerArgs, process};

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

#[derive(Debug, Args)]
pub(crate) struct PartsArgs {
    /// Keep the file of the run before: a store that deletes what is replaced would do so during the next run, which may be
    /// another server's.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Size of the file in MiB.
    #[arg(long, default_value_t = 1024)]
    size_mib: u64,
    /// Compare the hash that the server answers with that of the bytes sent. Where it answers no BLAKE3, the file is
    /// downloaded and hashed, over one redirect if there is one.
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
pub(crate) fn on_connections(
    server: &ServerArgs,
    items: u64,
    payload: &Payload,
    work: impl Fn(&mut Connections, &mut Payload, u64) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let next = AtomicU64::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..server.connections {
            scope.spawn(|| {
                let (mut connections, mut payload) = (Connections::default(), payload.clone());
                let outcome = loop {
                    let item = next.fetch_add(1, Ordering::Relaxed);
                    if item >= items {
                        break Ok(());
                    }
                    if let Err(error) = work(&mut connections, &mut payload, item) {
                        break Err(error);
                    }
                };
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
    let mut control = Connections::default();
    control.connect(&Place::at(server.address, "/"))?;
    process::warm_memory();
    process::reset_peak(&server.pids);
    let cpu_before = process::cpu_seconds(&server.pids);

    let began = Instant::now();
    // The same name by default: every run replaces the file of the one before, so that the disk and the page
    // cache do not fill up with what was measured already.
    let name = if args.keep { format!("bench-{}.bin", server.seed) } else { "bench.bin".to_owned() };
    let upload = target.start(&mut control, &name, size)?;
    let started = began.elapsed();
    let tags: Vec<Mutex<String>> = upload.parts().iter().map(|_| Mutex::default()).collect();
    on_connections(server, upload.parts().len() as u64, &payload, |connections, payload, index| {
        send_part(&upload, connections, payload, index, 0, &tags)
    })?;
    let uploaded = began.elapsed();
    let tags: Vec<String> = tags.into_iter().map(|tag| tag.into_inner().unwrap_or_default()).collect();
    let stored = target.complete(&mut control, &upload, &tags)?;
    let completed = began.elapsed();

    let cpu = process::cpu_seconds(&server.pids) - cpu_before;
    if args.verify {
        verify(&mut control, &stored, payload.hash(0, size)?)?;
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
    connections: &mut Connections,
    payload: &mut Payload,
    index: u64,
    payload_offset: u64,
    tags: &[Mutex<String>],
) -> Result<(), Failure> {
    let part = &upload.parts()[usize::try_from(index)?];
    let answer = connections.put(&part.place, payload, payload_offset + part.offset, part.length)?;
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

/// Whether the server has what was sent, by the hash that it answered or by what it gives back.
fn verify(connections: &mut Connections, stored: &Stored, sent: blake3::Hash) -> Result<(), Failure> {
    let answered = stored.hash.as_deref().and_then(|hash| hash.strip_prefix("blake3:"));
    let received = match (answered, &stored.url) {
        (Some(hash), _) => hash.to_owned(),
        (None, Some(url)) => downloaded_hash(connections, url)?.to_string(),
        (None, None) => return Err("--verify: this target tells neither a hash nor a URL of the file".into()),
    };
    if received == sent.to_string() {
        return Ok(());
    }
    Err(format!("the server has the hash {received}, the bytes sent have {sent}").into())
}

/// The BLAKE3 of the file at a URL, or at the one that it redirects to.
fn downloaded_hash(connections: &mut Connections, url: &str) -> Result<blake3::Hash, Failure> {
    let mut hasher = blake3::Hasher::new();
    let mut take = |bytes: &[u8]| {
        hasher.update(bytes);
    };
    let mut answer = connections.fetch(&Place::parse(url)?, &mut take)?;
    if answer.status == 302 {
        answer = connections.fetch(&Place::parse(&answer.location)?, &mut take)?;
    }
    answer.expect(200)?;
    Ok(hasher.finalize())
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
    on_connections(server, args.count, &payload, |connections, payload, item| {
        let upload = target.start(connections, &format!("bench-{}-{item}.bin", server.seed), size)?;
        let tags = [Mutex::default()];
        // A MiB apart, so that every file has a stamp of its own.
        send_part(&upload, connections, payload, 0, item * 1024 * 1024, &tags)?;
        let [tag] = tags;
        target.complete(connections, &upload, &[tag.into_inner().unwrap_or_default()])?;
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
