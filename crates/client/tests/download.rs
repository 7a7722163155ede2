//! Downloads from a server that misbehaves on request.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use partway_client::{Client, Download, DownloadEvent, Downloaded, Error, RetryPolicy, TransferOptions};

const MIB: usize = 1024 * 1024;

/// Behaviour of an answer with bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Ends the connection after this many bytes.
    Cut(usize),
    /// Sends nothing more after this many bytes, and keeps the connection.
    Stall(usize),
    /// Is an answer with this status instead, and no bytes.
    Status(u16),
    /// Delays its last byte by this.
    Late(Duration),
}

/// The server's file, and its behaviour.
struct Served {
    data: Vec<u8>,
    etag: String,
    knows_ranges: bool,
    judges_if_range: bool,
    /// Answers that are made before the file is replaced by this one.
    replaced_after: Option<(usize, Vec<u8>)>,
    /// Behaviour of the answers with bytes after the first look, in turn.
    faults: VecDeque<Option<Fault>>,
    /// Serves by a redirect to a URL that is good once; this many of them are refused all the same.
    redirects: Option<usize>,
    /// First byte and length of each answer.
    answers: Vec<(usize, usize)>,
}

#[derive(Clone)]
struct TestServer {
    url: String,
    served: Arc<Mutex<Served>>,
}

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn hash(data: &[u8]) -> Option<String> {
    Some(format!("blake3:{}", blake3::hash(data)))
}

impl TestServer {
    fn start(data: Vec<u8>) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), data)
    }

    fn start_on(listener: TcpListener, data: Vec<u8>) -> Self {
        let url = format!("http://{}/w/f%20%C3%A4", listener.local_addr().unwrap());
        let served = Served {
            etag: format!("\"{}\"", blake3::hash(&data)),
            data,
            knows_ranges: true,
            judges_if_range: true,
            replaced_after: None,
            faults: VecDeque::new(),
            redirects: None,
            answers: Vec::new(),
        };
        let served = Arc::new(Mutex::new(served));
        let shared = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&shared);
                std::thread::spawn(move || while answer(&stream, &served).is_some() {});
            }
        });
        Self { url, served }
    }

    fn set(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap()
    }

    fn replace(&self, data: Vec<u8>) {
        let mut served = self.set();
        served.etag = format!("\"{}\"", blake3::hash(&data));
        served.data = data;
    }

    fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.set().faults.extend(faults);
    }

    /// Bytes answered since the last call, without the one of the first look.
    fn answered(&self) -> usize {
        std::mem::take(&mut self.set().answers).iter().map(|(_, length)| length).filter(|length| **length > 1).sum()
    }
}

/// Answers one request. `None` when the connection ended.
fn answer(stream: &TcpStream, served: &Mutex<Served>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    assert!(header("authorization").is_none(), "the key was sent with a public URL");
    let mut stream = stream;
    let mut served = served.lock().unwrap();
    if let Some(refused) = served.redirects {
        if !path.contains("signature") {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: /store?signature=secret\r\nContent-Length: 0\r\n\r\n")
                .ok()?;
            return Some(());
        }
        if refused > 0 {
            served.redirects = Some(refused - 1);
            let text = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            write!(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{text}", text.len()).ok()?;
            return Some(());
        }
    }
    match served.replaced_after.take() {
        Some((0, data)) => {
            served.etag = format!("\"{}\"", blake3::hash(&data));
            served.data = data;
        }
        Some((left, data)) => served.replaced_after = Some((left - 1, data)),
        None => {}
    }
    let size = served.data.len();
    let range = header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let applies = !served.judges_if_range || header("if-range").is_none_or(|tag| tag == served.etag);
    let range = range.filter(|_| served.knows_ranges && applies).map(|(first, last)| {
        (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap_or(usize::MAX).min(size.wrapping_sub(1)))
    });
    let is_look = range == Some((0, 0)) || (header("range").is_some() && header("if-range").is_none());
    let fault = if is_look { None } else { served.faults.pop_front().flatten() };
    if let Some(Fault::Status(status)) = fault {
        write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").ok()?;
        return Some(());
    }
    let (status, bytes, more) = match range {
        Some((first, _)) if first >= size => {
            write!(stream, "HTTP/1.1 416 No\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n").ok()?;
            return Some(());
        }
        Some((first, last)) => {
            served.answers.push((first, last + 1 - first));
            let range = format!("Content-Range: bytes {first}-{last}/{size}\r\n");
            ("206 Partial Content", served.data[first..=last].to_vec(), range)
        }
        None => {
            served.answers.push((0, size));
            ("200 OK", served.data.clone(), String::new())
        }
    };
    let etag = served.etag.clone();
    drop(served);
    write!(stream, "HTTP/1.1 {status}\r\nETag: {etag}\r\n{more}Content-Length: {}\r\n\r\n", bytes.len()).ok()?;
    match fault {
        Some(Fault::Cut(after)) => {
            stream.write_all(&bytes[..after]).ok()?;
            let _ = stream.shutdown(std::net::Shutdown::Both);
            None
        }
        Some(Fault::Stall(after)) => {
            stream.write_all(&bytes[..after]).ok()?;
            std::thread::sleep(Duration::from_secs(60));
            None
        }
        Some(Fault::Late(time)) => {
            let (last, others) = bytes.split_last()?;
            stream.write_all(others).ok()?;
            std::thread::sleep(time);
            stream.write_all(&[*last]).ok()
        }
        _ => stream.write_all(&bytes).ok(),
    }
}

/// A place to download to, and the events on the way.
struct Place {
    directory: tempfile::TempDir,
    events: Mutex<Vec<String>>,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), events: Mutex::default() }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("f ä")
    }

    async fn get(&self, download: &Download) -> Result<Downloaded, Error> {
        let received = Mutex::new(0);
        let on_event = |event: DownloadEvent<'_>| match event {
            DownloadEvent::Received { bytes } => *received.lock().unwrap() += bytes,
            event => self.events.lock().unwrap().push(format!("{event:?}")),
        };
        let client = Client::new("http://127.0.0.1:1", "sk_x").unwrap();
        let outcome = download.to_file(&client, &self.target(), &on_event).await;
        self.events.lock().unwrap().push(format!("{} bytes received", received.into_inner().unwrap()));
        outcome
    }

    fn events(&self) -> String {
        std::mem::take(&mut *self.events.lock().unwrap()).join("\n")
    }

    #[track_caller]
    fn assert_has(&self, data: &[u8]) {
        assert!(std::fs::read(self.target()).unwrap() == data, "the file is not what was served");
        assert_eq!(self.names(), ["f ä"]);
    }

    fn names(&self) -> Vec<String> {
        names(self.directory.path())
    }
}

fn names(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn download(server: &TestServer) -> Download {
    download_with(server, |_| {})
}

fn download_one_by_one(server: &TestServer) -> Download {
    download_with(server, |options| options.concurrency = 1)
}

fn download_with(server: &TestServer, change: impl FnOnce(&mut TransferOptions)) -> Download {
    let retry = RetryPolicy {
        tries: 5,
        wait: Duration::from_secs(5),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
    };
    let hash = hash(&server.set().data);
    let stall_timeout = Duration::from_millis(500);
    let mut options = TransferOptions { retry, stall_timeout, ..TransferOptions::default() };
    change(&mut options);
    Download::of(&server.url).hash(hash).options(options)
}

#[tokio::test]
async fn a_file_comes_in_ranges_and_is_compared_with_its_hash() {
    for size in [1, 1000, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 70 * MIB + 3] {
        let data = bytes(1, size);
        let (server, place) = (TestServer::start(data.clone()), Place::new());
        let downloaded = place.get(&download(&server)).await.unwrap();
        assert_eq!(downloaded, Downloaded { size_bytes: size as u64, is_verified: true });
        place.assert_has(&data);
        let answers = server.set().answers.len();
        assert_eq!(answers, 1 + size.div_ceil(16 * MIB), "one look, and one answer for each piece of {size} bytes");
    }
}

/// The last byte comes at all times of the client's look at what it has to remember, so that now and then the last save
/// meets the one before.
#[tokio::test]
async fn no_download_fails_when_all_has_come() {
    let downloads = std::env::var("PARTWAY_TEST_DOWNLOADS").map_or(12, |number| number.parse().unwrap());
    // More than is remembered at once.
    let data = bytes(16, 65 * MIB);
    let server = TestServer::start(data.clone());
    let download = download_with(&server, |options| options.stall_timeout = Duration::from_secs(30));
    for number in 0..downloads {
        let place = Place::new();
        let late = Fault::Late(Duration::from_millis(50 + number * 37 % 250));
        server.fail([None, None, None, None, Some(late)]);
        place.get(&download).await.unwrap_or_else(|error| panic!("number {number} of {downloads}: {error}"));
        place.assert_has(&data);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_goes_on_from_there() {
    let data = bytes(2, 40 * MIB);
    let (server, place) = (TestServer::start(data.clone()), Place::new());
    let faults = [Fault::Cut(3_000_000), Fault::Cut(0), Fault::Status(503), Fault::Stall(2_000_000), Fault::Cut(700)];
    server.fail(faults.map(Some));
    place.get(&download(&server)).await.unwrap();
    place.assert_has(&data);
    let events = place.events();
    assert_eq!(events.matches("Retrying").count(), 5, "{events}");
    assert!(events.contains(&format!("{} bytes received", 40 * MIB)), "no byte came twice: {events}");
}

#[tokio::test]
async fn the_same_call_goes_on_where_a_failed_one_stopped() {
    let data = bytes(3, 60 * MIB);
    let (server, place) = (TestServer::start(data.clone()), Place::new());
    let download = download_one_by_one(&server);
    // Two pieces and a bit of the third, then the file is refused.
    server.fail([None, None, Some(Fault::Cut(5 * MIB)), Some(Fault::Status(401))]);
    let error = place.get(&download).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    assert_eq!(place.names(), ["f ä.partway-part", "f ä.partway-state"]);
    server.answered();
    place.get(&download).await.unwrap();
    place.assert_has(&data);
    let rest = server.answered();
    assert!((20 * MIB..=24 * MIB).contains(&rest), "{rest} bytes came again");
    assert!(!place.events().contains("Restarted"));
}

#[tokio::test]
async fn bytes_that_were_spoilt_in_between_are_found() {
    let data = bytes(4, 40 * MIB);
    let (server, place) = (TestServer::start(data.clone()), Place::new());
    let download = download_one_by_one(&server);
    server.fail([None, Some(Fault::Status(401))]);
    place.get(&download).await.unwrap_err();
    let part = std::fs::OpenOptions::new().write(true).open(place.directory.path().join("f ä.partway-part")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&part, b"spoilt", 1_000_000).unwrap();
    drop(part);
    let error = place.get(&download).await.unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
    assert!(place.names().is_empty(), "nothing of it is left: {:?}", place.names());
    place.get(&download).await.unwrap();
    place.assert_has(&data);
}

#[tokio::test]
async fn a_file_that_was_replaced_in_between_starts_over() {
    let (old, new) = (bytes(5, 40 * MIB), bytes(6, 40 * MIB));
    let (server, place) = (TestServer::start(old), Place::new());
    server.fail([None, Some(Fault::Status(401))]);
    place.get(&download_one_by_one(&server)).await.unwrap_err();
    server.replace(new.clone());
    server.answered();
    place.get(&download(&server)).await.unwrap();
    place.assert_has(&new);
    assert_eq!(server.answered(), 40 * MIB);
    assert!(place.events().contains("Restarted"));
}

#[tokio::test]
async fn a_file_that_is_replaced_meanwhile_is_never_mixed() {
    let (old, new) = (bytes(7, 80 * MIB), bytes(8, 80 * MIB));
    for judges_if_range in [true, false] {
        let (server, place) = (TestServer::start(old.clone()), Place::new());
        server.set().judges_if_range = judges_if_range;
        server.set().replaced_after = Some((3, new.clone()));
        let error = place.get(&download(&server).hash(None)).await.unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");
        assert!(place.names().is_empty(), "nothing of it is left: {:?}", place.names());
        place.get(&download(&server).hash(None)).await.unwrap();
        place.assert_has(&new);
    }
}

#[tokio::test]
async fn a_server_without_ranges_serves_files_all_the_same() {
    let data = bytes(9, 20 * MIB);
    for etag in ["\"strong\"", "W/\"weak\""] {
        let (server, place) = (TestServer::start(data.clone()), Place::new());
        server.set().knows_ranges = etag.starts_with('W');
        server.set().etag = etag.to_owned();
        server.fail([Some(Fault::Cut(3 * MIB)), Some(Fault::Cut(2 * MIB))]);
        let downloaded = place.get(&download(&server)).await.unwrap();
        assert_eq!(downloaded, Downloaded { size_bytes: 20 * MIB as u64, is_verified: true });
        place.assert_has(&data);
        assert!(place.events().contains("bytes_lost: 3145728"));
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    for knows_ranges in [true, false] {
        let (server, place) = (TestServer::start(Vec::new()), Place::new());
        server.set().knows_ranges = knows_ranges;
        let downloaded = place.get(&download(&server)).await.unwrap();
        assert_eq!(downloaded, Downloaded { size_bytes: 0, is_verified: true });
        place.assert_has(b"");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_and_a_url_that_expired_is_asked_for_again() {
    let data = bytes(10, 40 * MIB);
    let (server, place) = (TestServer::start(data.clone()), Place::new());
    server.set().redirects = Some(3);
    place.get(&download(&server)).await.unwrap();
    place.assert_has(&data);
    let events = place.events();
    assert!(events.contains("403") && !events.contains("secret"), "a presigned URL is a permission: {events}");
    // A store that always refuses is believed.
    server.set().redirects = Some(usize::MAX);
    std::fs::remove_file(place.target()).unwrap();
    assert!(place.get(&download(&server)).await.unwrap_err().to_string().contains("403"));
    assert!(place.names().is_empty());
}

#[tokio::test]
async fn another_file_than_the_expected_one_is_refused() {
    let (server, place) = (TestServer::start(bytes(11, 1000)), Place::new());
    let error = place.get(&download(&server).hash(hash(b"another"))).await.unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
    assert!(place.names().is_empty());
    // Only BLAKE3 can be compared.
    let downloaded = place.get(&download(&server).hash(Some("crc64nvme:00".to_owned()))).await.unwrap();
    assert!(!downloaded.is_verified);
}

#[tokio::test]
async fn existing_files_are_not_overwritten_unless_asked() {
    let data = bytes(12, 1000);
    let (server, place) = (TestServer::start(data.clone()), Place::new());
    std::fs::write(place.target(), "mine").unwrap();
    let error = place.get(&download(&server)).await.unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    place.assert_has(b"mine");
    assert!(server.set().answers.is_empty());
    place.get(&download(&server).overwrite(true)).await.unwrap();
    place.assert_has(&data);
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let data = bytes(13, 1000);
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let place = Place::new();
    let url = format!("http://{address}/w/f");
    let retry = RetryPolicy { first_pause: Duration::from_millis(50), ..RetryPolicy::default() };
    let download =
        Download::of(&url).hash(hash(&data)).options(TransferOptions { retry, ..TransferOptions::default() });
    let (outcome, ()) = tokio::join!(place.get(&download), async {
        while !place.events.lock().unwrap().iter().any(|event| event.contains("Unreachable")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        TestServer::start_on(TcpListener::bind(address).unwrap(), data.clone());
    });
    outcome.unwrap();
    place.assert_has(&data);
}

#[tokio::test]
async fn a_writer_gets_all_of_it_in_order_and_each_byte_once() {
    let data = bytes(14, 40 * MIB);
    let server = TestServer::start(data.clone());
    server.fail([Some(Fault::Cut(3 * MIB)), Some(Fault::Cut(0)), Some(Fault::Stall(MIB))]);
    let client = Client::new("http://127.0.0.1:1", "sk_x").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let writer = file.reopen().unwrap();
    let downloaded = download(&server).to_writer(&client, writer, &|_| {}).await.unwrap();
    assert_eq!(downloaded, Downloaded { size_bytes: 40 * MIB as u64, is_verified: true });
    assert!(std::fs::read(file.path()).unwrap() == data);
    // The failure is reported, though written bytes cannot be taken back.
    let wrong = download(&server).hash(hash(b"another")).to_writer(&client, std::io::sink(), &|_| {}).await;
    assert!(matches!(wrong, Err(Error::WrongBytes { .. })), "{wrong:?}");
    server.fail([Some(Fault::Cut(3 * MIB))]);
    server.set().replaced_after = Some((2, bytes(15, 40 * MIB)));
    let changed = download(&server).to_writer(&client, std::io::sink(), &|_| {}).await;
    assert!(matches!(changed, Err(Error::Changed { .. })), "{changed:?}");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = download(&server).to_writer(&client, full, &|_| {}).await.unwrap_err();
    assert!(full.to_string().contains("No space left"), "{full}");
}
