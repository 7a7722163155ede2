//! Readers that stall or take a few bytes a second, while uploads and downloads go on: the stalled ones end in time, the
//! others are served, and afterwards everything is as it was.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::net::{AddressFamily, SocketType, sockopt};
use serde_json::json;

use crate::api::{Api, fsck};
use crate::full_disk::until_cleaned;
use crate::kills::setting;
use crate::server::{Server, bytes, fresh};

const FILE_BYTES: usize = 4 << 20;
const PART: usize = 10 * 1024 * 1024;
/// Half of the least rate of the server.
const SLOW_BYTES: usize = 100;
const SLOW_PAUSE: Duration = Duration::from_millis(200);
/// Memory of frames and threads that a process keeps after it was used (measured: up to 30 MiB).
const KEPT_BYTES: u64 = 48 << 20;

fn memory_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Paths of the server's open files.
fn open_paths(server: &Server) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets.map(|target| target.to_string_lossy().into_owned()).collect()
}

/// The file of clients that the server has open most often, and how often that is.
fn most_open(server: &Server) -> (String, usize) {
    let mut blobs: Vec<_> = open_paths(server).into_iter().filter(|path| path.contains("/blobs/")).collect();
    blobs.sort();
    let longest = blobs.chunk_by(|a, b| a == b).max_by_key(|same| same.len());
    longest.map_or((String::new(), 0), |same| (same[0].clone(), same.len()))
}

/// Asks for a file over a connection whose receive buffer is small: the kernel takes little that nobody reads.
fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    rustix::net::connect(&socket, &address).unwrap();
    let mut stream = TcpStream::from(socket);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream
}

/// Takes a few bytes of each now and then, until all of them are cut off. How many bytes the luckiest one got.
fn read_slowly(mut readers: Vec<TcpStream>) -> usize {
    let mut got = vec![0; readers.len()];
    let mut cut_off = vec![false; readers.len()];
    let mut buffer = [0; SLOW_BYTES];
    for reader in &readers {
        reader.set_nonblocking(true).unwrap();
    }
    while cut_off.iter().any(|cut_off| !cut_off) {
        for (index, reader) in readers.iter_mut().enumerate().filter(|(index, _)| !cut_off[*index]).collect::<Vec<_>>()
        {
            match reader.read(&mut buffer) {
                Ok(0) => cut_off[index] = true,
                Ok(read) => got[index] += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => cut_off[index] = true,
            }
        }
        std::thread::sleep(SLOW_PAUSE);
    }
    got.into_iter().max().unwrap_or_default()
}

/// Uploads in parts and in one request, and downloads, one after the other until `stop`: each of them succeeds.
async fn work(api: Api, name: String, stop: Arc<AtomicBool>, done: Arc<AtomicU64>, slowest: Arc<AtomicU64>) {
    let data = bytes(name.len() as u64, PART + 1000);
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let began = Instant::now();
        let whole = match round % 2 {
            0 => {
                let body = json!({"file_name": name, "size": data.len(), "format": "bin"});
                let started = api.start(&body, &format!("{:x}", rand::random::<u64>())).await;
                for (url, chunk) in started["parts"].as_array().unwrap().iter().zip(data.chunks(PART)) {
                    assert_eq!(api.put(url.as_str().unwrap(), chunk).await.unwrap().0, 200);
                }
                let (status, record) = api.complete(started["session_id"].as_str().unwrap()).await;
                assert_eq!(status, 201, "{record}");
                record
            }
            _ => {
                let (status, record) = api.upload_directly(&name, data.clone(), true).await.unwrap();
                assert_eq!(status, 201, "{record}");
                record
            }
        };
        assert_eq!(whole["hash"], json!(format!("blake3:{}", blake3::hash(&data))));
        assert!(api.fetch(whole["url"].as_str().unwrap()).await == data);
        let (status, answer) = api.call(Method::GET, "/files").await.unwrap();
        assert_eq!(status, 200, "{answer}");
        slowest.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

async fn until(what: &str, patience: Duration, ready: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < patience, "{what} did not happen in {patience:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stall_or_crawl_are_ended_while_others_work_and_leave_nothing() {
    let readers = usize::try_from(setting("PARTWAY_FAULT_SLOW_READERS", 200)).unwrap();
    // As long as it takes for all of them to come.
    let stall_seconds = 8 + readers as u64 / 250;
    let window_seconds = stall_seconds + 4;
    let connections = (2 * readers + 200).to_string();
    let settings = [
        ("PARTWAY_HTTP_STALL_TIMEOUT_SECONDS", stall_seconds.to_string()),
        ("PARTWAY_HTTP_MIN_RATE_WINDOW_SECONDS", window_seconds.to_string()),
        ("PARTWAY_HTTP_MAX_CONNECTIONS", connections.clone()),
        ("PARTWAY_HTTP_MAX_CONNECTIONS_PER_ADDRESS", connections),
        ("PARTWAY_LOG_FILTER", "warn".to_owned()),
    ];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (_directory, data_dir) = fresh();
    let server = Server::start_with(&data_dir, &[], &settings);
    let api = Api::new(&server.url, &server.private_key());
    let (status, record) = api.upload_directly("served", bytes(9, FILE_BYTES), true).await.unwrap();
    assert_eq!(status, 201, "{record}");
    let path = record["url"].as_str().unwrap().strip_prefix(&server.url).unwrap().to_owned();
    let address: SocketAddr = server.address.parse().unwrap();

    // The same work without them first: its memory and files are where everything has to come back to.
    let stop = Arc::new(AtomicBool::new(false));
    let (done, slowest) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let begin = |stop: &Arc<AtomicBool>| -> Vec<_> {
        let (done, slowest) = (&done, &slowest);
        let worker = |index: usize| {
            let (name, stop) = ("w".repeat(index), Arc::clone(stop));
            tokio::spawn(work(api.clone(), name, stop, Arc::clone(done), Arc::clone(slowest)))
        };
        (1..=4).map(worker).collect()
    };
    let alone = begin(&stop);
    until("work", Duration::from_secs(120), || done.load(Ordering::Relaxed) >= 60).await;
    stop.store(true, Ordering::Relaxed);
    for worker in alone {
        worker.await.unwrap();
    }
    until_cleaned(&data_dir).await;
    let (alone_ms, memory_before, files_before) =
        (slowest.swap(0, Ordering::Relaxed), memory_bytes(&server), open_paths(&server).len());
    done.store(0, Ordering::Relaxed);

    let began = Instant::now();
    let mut stalled: Vec<_> = (0..readers).map(|_| ask(address, &path)).collect();
    let crawling = stalled.split_off(readers / 2);
    let asked = began.elapsed();
    // One that is answered after the file was deleted would be no slow reader.
    until("answering", Duration::from_secs(60), || most_open(&server).1 >= readers).await;
    let deleted = format!("{} (deleted)", most_open(&server).0);
    let pins = || open_paths(&server).contains(&deleted);
    let crawl = std::thread::spawn(move || read_slowly(crawling));
    // They pin a file that is deleted for as long as they are there, and no longer.
    let file_no = record["file_no"].as_str().unwrap();
    assert_eq!(api.call(Method::DELETE, &format!("/files/{file_no}")).await.unwrap().0, 204);
    let gone_on = Arc::new(AtomicBool::new(false));
    let workers = begin(&gone_on);
    let held_bytes = memory_bytes(&server).saturating_sub(memory_before);
    until("deleting what they read", Duration::from_secs(60), &pins).await;
    let patience = Duration::from_secs(4 * (stall_seconds + window_seconds)) + asked;
    let let_go = until("letting them go", patience, || !pins()).await;
    // They worked all the time that the others were stalled, and once after it.
    let by_then = done.load(Ordering::Relaxed);
    assert!(by_then > 0, "nobody was served meanwhile");
    until("work after them", Duration::from_secs(120), || done.load(Ordering::Relaxed) > by_then + 4).await;
    gone_on.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    for mut reader in stalled {
        reader.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        // The end, or a reset: not a timeout, and not the whole file.
        let ended = reader.read_to_end(&mut rest);
        assert!(!ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "one is still open");
        assert!(rest.len() < FILE_BYTES, "one that took nothing for so long has got everything");
    }
    let crawled = tokio::task::spawn_blocking(move || crawl.join().unwrap());
    let most = match tokio::time::timeout(Duration::from_secs(120), crawled).await {
        Ok(crawled) => crawled.unwrap(),
        Err(_) => panic!("not all that crawled were cut off"),
    };
    assert!(most < FILE_BYTES, "one that crawled has got everything");
    until_cleaned(&data_dir).await;
    until("closing connections", patience, || open_paths(&server).len() <= files_before + 16).await;
    let most_bytes = KEPT_BYTES + readers as u64 * 1024;
    let memory = || memory_bytes(&server).saturating_sub(memory_before);
    until("memory coming back", Duration::from_secs(60), || memory() <= most_bytes).await;
    writeln!(
        std::io::stderr(),
        "slow readers: {readers}, half stalled and half crawling, came in {asked:?} and held {} KiB; let go after {let_go:?}; \
         work meanwhile at most {} ms (alone {alone_ms} ms), {} rounds; {} KiB more than before are left",
        held_bytes / 1024,
        slowest.load(Ordering::Relaxed),
        done.load(Ordering::Relaxed),
        memory() / 1024
    )
    .unwrap();
    let blobs = std::fs::read_dir(data_dir.join("blobs")).unwrap().map(|shard| shard.unwrap().path());
    let blobs = blobs.map(|shard| std::fs::read_dir(shard).unwrap().count()).sum::<usize>();
    assert_eq!(blobs, 4, "the last file of each worker, and nothing else");
    let (code, report) = fsck(&data_dir, &[]);
    assert_eq!((code, &report["findings"]), (0, &json!([])));
}
