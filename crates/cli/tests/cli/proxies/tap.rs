//! The line between a proxy and its server: it passes everything on as it comes, and knows what it passed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Connections that are taken at most.
const MAX_CONNECTIONS: usize = 20_000;
/// As many of the last bytes as are remembered.
const LAST_BYTES: usize = 64;
/// The end of a body in chunks, after another chunk.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

pub(super) struct Tap {
    /// Where the proxy reaches the server.
    pub address: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    passed: AtomicU64,
    /// Connections that the proxy has opened.
    opened: AtomicUsize,
    /// Connections that the server has closed after a last chunk.
    closed: AtomicUsize,
    /// Connections over which a last chunk has come.
    ended: AtomicUsize,
    loses_answers: AtomicBool,
}

impl Tap {
    /// To the server at `target`.
    pub(super) fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Seen> = Arc::default();
        let (target, shared) = (target.to_owned(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for proxy in listener.incoming().take(MAX_CONNECTIONS).flatten() {
                // A server that is away: the proxy sees a connection that closes.
                let Ok(server) = TcpStream::connect(&target) else { continue };
                pass_on(proxy, server, &shared);
            }
        });
        Self { address, seen }
    }

    /// Bytes that the proxy sent.
    pub(super) fn passed(&self) -> u64 {
        self.seen.passed.load(Ordering::SeqCst)
    }

    /// Connections that the proxy has opened.
    pub(super) fn opened(&self) -> usize {
        self.seen.opened.load(Ordering::SeqCst)
    }

    /// Times that the proxy has sent a last chunk.
    pub(super) fn ended(&self) -> usize {
        self.seen.ended.load(Ordering::SeqCst)
    }

    /// Connections that the server has closed after a last chunk.
    pub(super) fn closed(&self) -> usize {
        self.seen.closed.load(Ordering::SeqCst)
    }

    /// Whether connections close where the server answers.
    pub(super) fn lose_answers(&self, loses: bool) {
        self.seen.loses_answers.store(loses, Ordering::SeqCst);
    }
}

fn pass_on(proxy: TcpStream, server: TcpStream, seen: &Arc<Seen>) {
    let (mut answers, mut to_proxy) = (server.try_clone().unwrap(), proxy.try_clone().unwrap());
    let (mut requests, mut to_server) = (proxy, server);
    let (of_requests, of_answers) = (Arc::clone(seen), Arc::clone(seen));
    seen.opened.fetch_add(1, Ordering::SeqCst);
    // The end of what came over this connection.
    let last: Arc<Mutex<Vec<u8>>> = Arc::default();
    let last_of_requests = Arc::clone(&last);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = requests.read(&mut buffer) {
            {
                let mut last = last_of_requests.lock().unwrap();
                last.extend_from_slice(&buffer[..read]);
                let more = last.len().saturating_sub(LAST_BYTES);
                last.drain(..more);
                if last.ends_with(LAST_CHUNK) {
                    of_requests.ended.fetch_add(1, Ordering::SeqCst);
                }
            }
            if to_server.write_all(&buffer[..read]).is_err() {
                break;
            }
            of_requests.passed.fetch_add(read as u64, Ordering::SeqCst);
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = answers.read(&mut buffer) {
            if of_answers.loses_answers.load(Ordering::SeqCst) {
                let _ = to_proxy.shutdown(Shutdown::Both);
                break;
            }
            if to_proxy.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        if last.lock().unwrap().ends_with(LAST_CHUNK) {
            of_answers.closed.fetch_add(1, Ordering::SeqCst);
        }
        let _ = to_proxy.shutdown(Shutdown::Write);
    });
}
