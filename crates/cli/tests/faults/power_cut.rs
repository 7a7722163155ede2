//! Power cuts. The kernel keeps what was written and not synced in memory; a power cut loses any of it, block by block
//! and in any order. Here a library in the server's process (unsynced.c) journals what each write overwrites and what
//! each sync makes safe. To cut the power the server is killed, and of every block that was not synced the test keeps
//! the new bytes or brings back the old ones, by chance; likewise names of files whose directory was not synced.
//! Unlike a copy of the disk at one moment (device mapper, FUSE) this needs no rights, sees every write in the order it
//! was made, and hits SQLite's files as hard as the blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use partway_api::PartPlan;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::api::{Api, fsck, indices};
use crate::kills::setting;
use crate::server::{Server, bytes, free_address, fresh, run};

/// Disks write at least this much atomically.
const BLOCK: u64 = 4096;
const PART: usize = 10 * 1024 * 1024;

/// State of an upload as a test knows it from answers.
#[derive(Debug, Clone)]
struct Upload {
    id: String,
    urls: Vec<String>,
    seed: u64,
    size: usize,
    /// The URL of the file, once complete was answered.
    completed: Option<String>,
}

/// Builds the library.
fn library(directory: &Path) -> PathBuf {
    let library = directory.join("unsynced.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/unsynced.c");
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl"));
    library
}

#[test]
fn after_a_power_cut_what_was_promised_is_there_and_exactly_the_damaged_parts_are_missing() {
    let cuts = setting("PARTWAY_FAULT_POWER_CUTS", 10);
    let seed = setting("PARTWAY_FAULT_SEED", rand::rng().random_range(0..1_000_000_000));
    let mut terminal = std::io::stderr();
    writeln!(terminal, "power cuts: {cuts}, seed {seed}").unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let (directory, data_dir) = fresh();
    let library = library(directory.path());
    let address = free_address();
    let arguments = ["--listen", &address];
    let first = Server::start_with(&data_dir, &arguments, &[("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")]);
    let (base, key) = (first.url.clone(), first.private_key());
    drop(first);
    let data_dir = data_dir.canonicalize().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let api = Api::new(&base, &key);
    let (mut intact, mut damaged, mut completed, mut reverted) = (0, 0, 0, 0);
    // Whether the disk was asked to write a part early, with the setting off and on.
    let mut asked_early = [false; 2];
    let mut open: Vec<Upload> = Vec::new();
    let mut all: Vec<Upload> = Vec::new();
    for cut in 0..cuts {
        let boot_id = directory.path().join("boot_id");
        std::fs::write(&boot_id, format!("boot {cut}\n")).unwrap();
        let journal = directory.path().join("journal");
        let _ = std::fs::remove_file(&journal);
        // No promise depends on it.
        let early = cut % 2;
        let environment = [
            ("PARTWAY_STORAGE_EARLY_WRITEBACK", ["false", "true"][early as usize]),
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("UNSYNCED_ROOT", data_dir.to_str().unwrap()),
            ("UNSYNCED_JOURNAL", journal.to_str().unwrap()),
            ("UNSYNCED_BOOT_ID", boot_id.to_str().unwrap()),
            ("PARTWAY_STORAGE_MIN_FREE_BYTES", "1"),
            ("PARTWAY_LOG_FILTER", "off"),
        ];
        // Contents of the disk, before the server starts on it.
        let recorded = recorded_parts(&data_dir, directory.path());
        let mut server = Server::start_with(&data_dir, &arguments, &environment);
        runtime.block_on(async {
            for upload in &all {
                if let Some(url) = &upload.completed {
                    assert!(
                        api.fetch(url).await == bytes(upload.seed, upload.size),
                        "a completed file is wrong; seed {seed}"
                    );
                }
            }
            for upload in &open {
                let state = api.status(&upload.id).await;
                // Complete may have been committed without its answer.
                if state["status"] == "completed" {
                    continue;
                }
                let there = indices(&state, "uploaded_parts");
                let (good, bad) = judge(&data_dir, upload, recorded.get(&upload.id));
                assert_eq!(there, good, "seed {seed}, cut {cut}: recorded but damaged are {bad:?}");
                intact += good.len();
                damaged += bad.len();
            }
            // Those go on, others begin; the power goes while they do.
            let work = Arc::new(Mutex::new((open.clone(), Vec::new())));
            let clients = (0..4).map(|number| {
                let seed = seed.wrapping_mul(31).wrapping_add(cut * 10 + number);
                client(api.clone(), StdRng::seed_from_u64(seed), Arc::clone(&work))
            });
            let power = tokio::time::sleep(Duration::from_millis(rng.random_range(300..1500)));
            tokio::select! {
                () = power => {}
                _ = futures_util::future::join_all(clients) => {}
            }
            server.kill();
            let mut work = work.lock().unwrap();
            completed += work.1.len();
            all.append(&mut work.1);
            open = std::mem::take(&mut work.0);
        });
        // Requests of a client that was dropped in the middle may have been answered to nobody; that promises nothing.
        let records = read_journal(&journal);
        asked_early[early as usize] |= records.iter().any(|record| record.kind == b'r');
        reverted += cut_power(&records, &mut rng);
        let _ = std::fs::remove_file(data_dir.join("partway.db-shm"));
    }
    // The last one: everything is finished.
    let server = Server::start_with(&data_dir, &arguments, &[("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")]);
    runtime.block_on(async {
        for upload in &mut open {
            finish(&api, upload).await;
            all.push(upload.clone());
        }
        for upload in &all {
            let url = upload.completed.as_ref().unwrap();
            assert!(api.fetch(url).await == bytes(upload.seed, upload.size), "a completed file is wrong; seed {seed}");
        }
    });
    drop(server);
    let (_, report) = fsck(&data_dir, &[]);
    writeln!(
        terminal,
        "power cuts: {cuts}, blocks taken back {reverted}, files completed {}, recorded parts intact {intact}, damaged {damaged}",
        all.len()
    )
    .unwrap();
    assert_eq!(report["findings"], json!([]), "seed {seed}");
    assert_eq!(asked_early, [false, true], "storage.early_writeback has no effect; seed {seed}");
    assert!(intact > 0 && damaged > 0 && completed > 0 && reverted > 0, "the cuts hit nothing; seed {seed}");
}

/// Goes on with open uploads and begins others, until the power goes.
async fn client(api: Api, mut rng: StdRng, work: Arc<Mutex<(Vec<Upload>, Vec<Upload>)>>) {
    loop {
        let goes_on = {
            let mut work = work.lock().unwrap();
            if !work.0.is_empty() && rng.random_bool(0.5) { Some(work.0.swap_remove(0)) } else { None }
        };
        let mut upload = match goes_on {
            Some(upload) => upload,
            None => start(&api, &mut rng).await,
        };
        // Listed as open while it is worked on: the power may go at any moment.
        work.lock().unwrap().0.push(upload.clone());
        let data = bytes(upload.seed, upload.size);
        for (index, chunk) in data.chunks(PART).enumerate() {
            if rng.random_bool(0.8) {
                let _ = api.put(&upload.urls[index], chunk).await;
            }
        }
        if rng.random_bool(0.3) {
            let (status, record) = api.complete(&upload.id).await;
            if status == 201 {
                upload.completed = Some(record["url"].as_str().unwrap().to_owned());
                let mut work = work.lock().unwrap();
                work.0.retain(|open| open.id != upload.id);
                work.1.push(upload);
            }
        }
    }
}

async fn start(api: &Api, rng: &mut StdRng) -> Upload {
    let size = match rng.random_range(0..4) {
        0 => rng.random_range(1..10_000),
        1 => rng.random_range(10_000..2_000_000),
        _ => rng.random_range(PART..3 * PART),
    };
    let seed = rng.random();
    let body = json!({"file_name": format!("{seed}"), "size": size, "format": "bin", "ttl_seconds": 36_000});
    let started = api.start(&body, &format!("{seed}")).await;
    let urls = started["parts"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
    let id = started["session_id"].as_str().unwrap().to_owned();
    Upload { id, urls, seed, size, completed: None }
}

async fn finish(api: &Api, upload: &mut Upload) {
    let data = bytes(upload.seed, upload.size);
    for index in indices(&api.status(&upload.id).await, "missing_parts") {
        let sent = api.put(&upload.urls[index], data.chunks(PART).nth(index).unwrap()).await;
        assert_eq!(sent.unwrap().0, 200);
    }
    let (status, record) = api.complete(&upload.id).await;
    assert_eq!(status, 201, "{record}");
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
    upload.completed = Some(record["url"].as_str().unwrap().to_owned());
}

/// The parts that the database has of each open session, and its blob. Read from a copy: reading SQLite's files after
/// a crash changes them.
fn recorded_parts(data_dir: &Path, scratch: &Path) -> BTreeMap<String, (String, BTreeSet<usize>)> {
    let copy = scratch.join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    for name in ["partway.db", "partway.db-wal"] {
        let _ = std::fs::remove_file(copy.join(name));
        let _ = std::fs::copy(data_dir.join(name), copy.join(name));
    }
    let database = Connection::open_with_flags(copy.join("partway.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let mut sessions = BTreeMap::new();
    let mut rows = database.prepare("SELECT id, blob_id FROM sessions WHERE status = 'uploading'").unwrap();
    for row in rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap() {
        let (id, blob_id) = row.unwrap();
        sessions.insert(id, (blob_id, BTreeSet::new()));
    }
    let mut rows = database.prepare("SELECT session_id, part_index FROM parts").unwrap();
    for row in rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))).unwrap() {
        let (id, index) = row.unwrap();
        if let Some((_, parts)) = sessions.get_mut(&id) {
            parts.insert(index as usize);
        }
    }
    sessions
}

/// Which of the recorded parts have the bytes that were sent, and which have not.
fn judge(data_dir: &Path, upload: &Upload, recorded: Option<&(String, BTreeSet<usize>)>) -> (Vec<usize>, Vec<usize>) {
    let (blob_id, parts) = recorded.unwrap_or_else(|| panic!("session {} is gone", upload.id));
    let blob = std::fs::read(data_dir.join(format!("blobs/{}/{blob_id}", &blob_id[34..]))).unwrap_or_default();
    let plan = PartPlan::for_size(upload.size as u64);
    let data = bytes(upload.seed, upload.size);
    parts.iter().copied().partition(|index| {
        let range = plan.range(u32::try_from(*index).unwrap()).unwrap();
        let (begin, end) = (range.start as usize, range.end as usize);
        blob.get(begin..end).is_some_and(|stored| stored == &data[begin..end])
    })
}

#[derive(Debug)]
struct Record {
    kind: u8,
    path: PathBuf,
    offset: u64,
    size_before: u64,
    /// Bytes that were written, of which `old` has those that were there before.
    length: u64,
    old: Vec<u8>,
}

/// Bytes of a record before its path: its kind and five numbers.
const HEAD: usize = 41;

fn read_journal(path: &Path) -> Vec<Record> {
    let journal = std::fs::read(path).unwrap_or_default();
    let (mut records, mut rest) = (Vec::new(), &journal[..]);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    // A record that the kill cut in the middle was followed by no write.
    while rest.len() >= HEAD {
        let numbers: Vec<u64> = (0..5).map(|index| number(&rest[1 + index * 8..9 + index * 8])).collect();
        let (path_end, end) = (HEAD + numbers[0] as usize, HEAD + (numbers[0] + numbers[4]) as usize);
        if rest.len() < end {
            break;
        }
        let path = PathBuf::from(String::from_utf8(rest[HEAD..path_end].to_vec()).unwrap());
        let old = rest[path_end..end].to_vec();
        records.push(Record {
            kind: rest[0],
            path,
            offset: numbers[1],
            size_before: numbers[2],
            length: numbers[3],
            old,
        });
        rest = &rest[end..];
    }
    records
}

/// Undoes unsynced blocks, each by chance. Returns their number.
fn cut_power(records: &[Record], rng: &mut StdRng) -> usize {
    let mut unsynced: BTreeMap<&Path, Vec<&Record>> = BTreeMap::new();
    let mut unsafe_names: BTreeSet<&Path> = BTreeSet::new();
    for record in records {
        match record.kind {
            b'r' => {}
            b's' => {
                unsynced.remove(record.path.as_path());
            }
            b'd' => unsafe_names.retain(|path| path.parent() != Some(&record.path)),
            b'c' => {
                unsafe_names.insert(&record.path);
            }
            _ => unsynced.entry(&record.path).or_default().push(record),
        }
    }
    let mut reverted = 0;
    for (path, records) in unsynced {
        // Deleted meanwhile.
        let Ok(file) = std::fs::OpenOptions::new().read(true).write(true).open(path) else { continue };
        let mut fates: BTreeMap<u64, bool> = BTreeMap::new();
        // A disk that was quick has it all, one that was slow nothing, most are in between.
        let chance = [0.0, 0.02, 0.2, 0.5, 1.0][rng.random_range(0..5)];
        for record in records.iter().rev() {
            let mut before = record.old.clone();
            // Where there was nothing, zeros come back.
            before.resize(before.len().max(record.length as usize), 0);
            let end = record.offset + before.len() as u64;
            let mut begin = record.offset;
            while begin < end {
                let block_end = ((begin / BLOCK + 1) * BLOCK).min(end);
                if *fates.entry(begin / BLOCK).or_insert_with(|| rng.random_bool(chance)) {
                    let (from, to) = ((begin - record.offset) as usize, (block_end - record.offset) as usize);
                    file.write_all_at(&before[from..to], begin).unwrap();
                    reverted += 1;
                }
                begin = block_end;
            }
        }
        // A file that grew may be as short as it was.
        let shortest = records.iter().map(|record| record.size_before).min().unwrap();
        if rng.random_bool(chance) && shortest < file.metadata().unwrap().len() {
            file.set_len(shortest).unwrap();
            reverted += 1;
        }
    }
    for name in unsafe_names {
        // SQLite syncs the directory of its own files where it must.
        if name.components().any(|part| part.as_os_str() == "blobs") && rng.random_bool(0.3) {
            let _ = std::fs::remove_file(name);
        }
    }
    reverted
}
