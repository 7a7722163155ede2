//! A store that behaves as stores other than Garage do: a proxy that changes some answers of a real store.

mod call;
mod gate;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use self::call::Call;
use self::gate::Gate;
use crate::proxied::{self, Request};

/// Behaviour of a store that Garage does not have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    /// ListMultipartUploads goes on listing what was completed, and aborting such an upload deletes the object, as in
    /// SeaweedFS up to 4.47.
    pub lists_completed: bool,
    /// Answers "no such key" where others answer "no such upload", as Ceph RGW does.
    pub says_no_such_key: bool,
    /// An upload that was completed is open and has no parts, as with s3s-fs and SeaweedFS.
    pub completed_is_open_and_empty: bool,
    /// An upload that was completed is open and has all of its parts still.
    pub completed_keeps_parts: bool,
    /// A completed upload cannot be completed again: 500, as Ceph RGW may say.
    pub completes_once: bool,
    /// A part whose URL was changed after signing is accepted.
    pub takes_any_length: bool,
    /// A part of a completed upload is accepted, as by Swift.
    pub takes_late_parts: bool,
    /// The highest number that a part may have, as Swift's setting `max_upload_part_num` says.
    pub last_part_number: Option<u32>,
    /// No checksums of whole objects are kept.
    pub keeps_no_checksums: bool,
}

/// A running proxy.
#[derive(Debug)]
pub struct OddStore {
    /// URL of the proxy.
    pub url: String,
    seen: Arc<Mutex<Seen>>,
    gate: Arc<Gate>,
}

/// Requests that it was sent: uploads by their key and id, as they stand in URLs.
#[derive(Debug, Default)]
struct Seen {
    completed: HashSet<(String, String)>,
    given_up: HashSet<(String, String)>,
    destroyed: HashSet<String>,
    /// The parts that the store listed last.
    parts: HashMap<(String, String), Vec<u8>>,
    /// How often the uploads of the whole bucket were listed.
    listings: usize,
    /// Connections that were closed without an answer, while it is away.
    away: Option<usize>,
    /// How often it was asked to complete an upload.
    completions: usize,
    /// Whether the answers to openings of uploads are not those of a store.
    garbles_openings: bool,
}

impl OddStore {
    /// In front of the store at `target`.
    pub fn start(target: &str, manners: Manners) -> Self {
        let (target, seen) = (target.trim_start_matches("http://").to_owned(), Arc::<Mutex<Seen>>::default());
        let gate = Arc::<Gate>::default();
        let shared = (Arc::clone(&seen), Arc::clone(&gate));
        let url = proxied::serve(move |client| pass_on(client, &target, manners, &shared.0, &shared.1));
        Self { url, seen, gate }
    }

    /// Holds parts with a number above this one (the first is 1) until [`Self::let_parts_go`].
    pub fn hold_parts_above(&self, number: u32) {
        self.gate.change(|held| held.parts_above = Some(number));
    }

    /// Passes on the parts that were held, but for those whose sender has gone.
    pub fn let_parts_go(&self) {
        self.gate.change(|held| held.parts_above = None);
    }

    /// Begins the answers to completions with 200 and a blank, and holds them then until [`Self::let_completions_go`].
    pub fn hold_completions(&self) {
        self.gate.change(|held| held.completions = true);
    }

    /// Passes on the completions that were held, but for those whose sender has gone.
    pub fn let_completions_go(&self) {
        self.gate.change(|held| held.completions = false);
    }

    /// How often it was asked to complete an upload.
    pub fn completions(&self) -> usize {
        self.seen.lock().unwrap().completions
    }

    /// Whether it answers openings of uploads, which the store opens, with a page that is not a store's.
    pub fn garble_openings(&self, garbles: bool) {
        self.seen.lock().unwrap().garbles_openings = garbles;
    }

    /// Ids of the uploads that it was asked to abort.
    pub fn given_up(&self) -> HashSet<String> {
        self.seen.lock().unwrap().given_up.iter().map(|(_, upload_id)| upload_id.clone()).collect()
    }

    /// Whether the object of this name was lost because its upload was aborted.
    pub fn has_destroyed(&self, name: &str) -> bool {
        self.seen.lock().unwrap().destroyed.iter().any(|key| key.ends_with(name))
    }

    /// Closes every connection without an answer from now on.
    pub fn go_away(&self) {
        self.seen.lock().unwrap().away = Some(0);
    }

    /// Answers again. How many connections it closed while it was away.
    pub fn come_back(&self) -> usize {
        self.seen.lock().unwrap().away.take().unwrap_or_default()
    }

    /// How often uploads were listed: every sweep does.
    pub fn listings(&self) -> usize {
        self.seen.lock().unwrap().listings
    }
}

fn pass_on(
    mut client: TcpStream,
    target: &str,
    manners: Manners,
    seen: &Mutex<Seen>,
    gate: &Gate,
) -> std::io::Result<()> {
    if let Some(closed) = &mut seen.lock().unwrap().away {
        *closed += 1;
        return Ok(());
    }
    let Some(request) = Request::read(&mut client)? else { return Ok(()) };
    let Some(call) = Call::new(request.line()) else { return Ok(()) };
    if let Some(number) = call.part_number() {
        gate.pass(|held| held.parts_above.is_some_and(|limit| number > limit));
        if has_gone(&client) {
            return Ok(());
        }
    }
    if call.completes_upload() {
        seen.lock().unwrap().completions += 1;
        if gate.holds_completions() {
            return complete_late(client, &request, target, gate);
        }
    }
    if let Some(answer) = own_answer(&call, manners, &mut seen.lock().unwrap()) {
        return client.write_all(&answer);
    }
    let answer = request.send_without_chunks(target)?;
    let answer = changed(&call, answer, manners, &mut seen.lock().unwrap());
    client.write_all(&answer)
}

/// Begins the answer, and ends it with that of the store when the gate is open.
fn complete_late(mut client: TcpStream, request: &Request, target: &str, gate: &Gate) -> std::io::Result<()> {
    client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\nconnection: close\r\n\r\n ")?;
    gate.pass(|held| held.completions);
    if has_gone(&client) {
        return Ok(());
    }
    let answer = request.send_without_chunks(target)?;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    client.write_all(&answer[body..])
}

/// Whether the sender of a whole request has closed its connection.
fn has_gone(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let peeked = client.peek(&mut [0]);
    client.set_nonblocking(false).unwrap();
    !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The store's answer as the proxy returns it.
fn changed(call: &Call, answer: Vec<u8>, manners: Manners, seen: &mut Seen) -> Vec<u8> {
    let is_ok = answer.get(9..12) == Some(b"200");
    seen.listings += usize::from(call.lists_uploads());
    if let (true, Some(upload)) = (is_ok, call.upload()) {
        match call.method.as_str() {
            "POST" => drop(seen.completed.insert(upload)),
            "GET" => drop(seen.parts.insert(upload, answer.clone())),
            _ => {}
        }
    }
    if seen.garbles_openings && call.opens_upload() {
        return xml(200, "<html>It works!</html>");
    }
    let text = String::from_utf8_lossy(&answer);
    if manners.lists_completed && is_ok && call.lists_uploads() {
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let prefix = call.value("prefix").unwrap_or_default().replace("%2F", "/");
        let wanted = seen.completed.iter().filter(|(key, _)| key.replace("%2F", "/").starts_with(&prefix));
        let listed: String = wanted.map(listed).collect();
        let end = "</ListMultipartUploadsResult>";
        return xml(200, &body.replacen(end, &format!("{listed}{end}"), 1));
    }
    if manners.says_no_such_key && text.contains("NoSuchUpload") {
        return error(404, "NoSuchKey");
    }
    if manners.takes_any_length && answer.get(9..12) == Some(b"403") && call.part_number().is_some() {
        return taken();
    }
    if manners.keeps_no_checksums && call.method == "HEAD" {
        let lines = text.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("x-amz-checksum"));
        return lines.collect::<Vec<_>>().join("\r\n").into_bytes();
    }
    answer
}

fn listed((key, upload_id): &(String, String)) -> String {
    format!("<Upload><Key>{}</Key><UploadId>{upload_id}</UploadId></Upload>", key.replace("%2F", "/"))
}

/// Its answer without asking the store, if it has one.
fn own_answer(call: &Call, manners: Manners, seen: &mut Seen) -> Option<Vec<u8>> {
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
                b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec()
            })
        }
        "PUT" if call.part_number() > manners.last_part_number.or(call.part_number()) => {
            Some(error(400, "InvalidArgument"))
        }
        "PUT" if manners.takes_late_parts && is_completed => Some(taken()),
        "GET" if manners.completed_is_open_and_empty && is_completed => {
            Some(xml(200, "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"))
        }
        "GET" if manners.completed_keeps_parts && is_completed => seen.parts.get(&upload).cloned(),
        "POST" if manners.completes_once && is_completed => Some(error(500, "InternalError")),
        _ => None,
    }
}

/// A part was taken.
fn taken() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\netag: \"odd\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
}

fn xml(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn error(status: u16, code: &str) -> Vec<u8> {
    xml(status, &format!("<Error><Code>{code}</Code><Message>as other stores say</Message></Error>"))
}
