//! A store with the manners of others than Garage: a proxy in front of a real one that changes some of its answers.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Behaviour of a store that Garage does not have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    /// ListMultipartUploads goes on listing what was completed, and giving such an upload up takes the object along, as
    /// SeaweedFS up to 4.47 does.
    pub lists_completed: bool,
    /// There is "no such key" where others say that there is no such upload, as Ceph RGW says.
    pub says_no_such_key: bool,
    /// An upload that was completed is open and has no parts, as with s3s-fs and SeaweedFS.
    pub completed_is_open_and_empty: bool,
    /// A completed upload cannot be completed again: 500, as Ceph RGW may say.
    pub completes_once: bool,
}

/// A running proxy.
pub struct OddStore {
    /// Where it is reached.
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

/// Requests that it was sent: uploads by their key and id, as they stand in URLs.
#[derive(Debug, Default)]
struct Seen {
    completed: HashSet<(String, String)>,
    given_up: HashSet<(String, String)>,
    destroyed: HashSet<String>,
}

/// One request.
struct Call {
    method: String,
    /// The path, still encoded, without the bucket.
    key: String,
    query: Vec<(String, String)>,
}

impl Call {
    fn new(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
        let query = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Some(Self { method, key, query: query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() })
    }

    fn value(&self, wanted: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    fn upload(&self) -> Option<(String, String)> {
        Some((self.key.clone(), self.value("uploadId")?.to_owned()))
    }
}

impl OddStore {
    /// In front of the store at `target`. Takes at most 20,000 connections.
    pub fn start(target: &str, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (target, seen) = (target.trim_start_matches("http://").to_owned(), Arc::<Mutex<Seen>>::default());
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().take(20_000).flatten() {
                let (target, seen) = (target.clone(), Arc::clone(&shared));
                std::thread::spawn(move || {
                    // Whoever goes away in the middle has nothing more to hear.
                    let _ = pass_on(client, &target, manners, &seen);
                });
            }
        });
        Self { url, seen }
    }

    /// Ids of the uploads that it was told to give up.
    pub fn given_up(&self) -> HashSet<String> {
        self.seen.lock().unwrap().given_up.iter().map(|(_, upload_id)| upload_id.clone()).collect()
    }

    /// Whether it lost the object of this name because its upload was given up.
    pub fn has_destroyed(&self, name: &str) -> bool {
        self.seen.lock().unwrap().destroyed.iter().any(|key| key.ends_with(name))
    }
}

fn pass_on(mut client: TcpStream, target: &str, manners: Manners, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let (head, body) = read_request(&mut client)?;
    let Some(call) = head.lines().next().and_then(Call::new) else { return Ok(()) };
    if let Some(answer) = own_answer(&call, manners, &mut seen.lock().unwrap()) {
        return client.write_all(answer.as_bytes());
    }
    // Version 1.0: the store sends no chunks, and closes behind its answer.
    let mut lines: Vec<String> = head.trim_end().lines().map(str::to_owned).collect();
    lines[0] = lines[0].replace("HTTP/1.1", "HTTP/1.0");
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut store = TcpStream::connect(target)?;
    store.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    store.write_all(&body)?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer)?;
    let is_ok = answer.get(9..12) == Some(b"200");
    let mut seen = seen.lock().unwrap();
    if let (true, "POST", Some(upload)) = (is_ok, call.method.as_str(), call.upload()) {
        seen.completed.insert(upload);
    }
    if manners.lists_completed && is_ok && call.method == "GET" && call.value("uploads").is_some() {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let prefix = call.value("prefix").unwrap_or_default().replace("%2F", "/");
        let wanted = seen.completed.iter().filter(|(key, _)| key.replace("%2F", "/").starts_with(&prefix));
        let listed: String = wanted.map(listed).collect();
        return client.write_all(
            xml(
                200,
                &body.replacen("</ListMultipartUploadsResult>", &format!("{listed}</ListMultipartUploadsResult>"), 1),
            )
            .as_bytes(),
        );
    }
    if manners.says_no_such_key && String::from_utf8_lossy(&answer).contains("NoSuchUpload") {
        return client.write_all(error(404, "NoSuchKey").as_bytes());
    }
    client.write_all(&answer)
}

fn listed((key, upload_id): &(String, String)) -> String {
    format!("<Upload><Key>{}</Key><UploadId>{upload_id}</UploadId></Upload>", key.replace("%2F", "/"))
}

/// Its answer without asking the store, if it has one.
fn own_answer(call: &Call, manners: Manners, seen: &mut Seen) -> Option<String> {
    if call.value("uploadId").is_none() && seen.destroyed.contains(&call.key) && matches!(&*call.method, "GET" | "HEAD")
    {
        return Some(error(404, "NoSuchKey"));
    }
    let upload = call.upload()?;
    let is_completed = seen.completed.contains(&upload);
    match call.method.as_str() {
        "DELETE" => {
            seen.completed.remove(&upload);
            seen.given_up.insert(upload);
            (manners.lists_completed && is_completed).then(|| {
                seen.destroyed.insert(call.key.clone());
                "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned()
            })
        }
        "GET" if manners.completed_is_open_and_empty && is_completed => {
            Some(xml(200, "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"))
        }
        "POST" if manners.completes_once && is_completed => Some(error(500, "InternalError")),
        _ => None,
    }
}

fn xml(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn error(status: u16, code: &str) -> String {
    xml(status, &format!("<Error><Code>{code}</Code><Message>as other stores say</Message></Error>"))
}

fn read_request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(Default::default());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    Ok((head, body))
}
