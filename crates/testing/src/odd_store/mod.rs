//! A store that behaves as stores other than Garage do: a proxy that changes some answers of a real store.

mod answers;
mod call;
mod gate;
mod manners;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use self::answers::{changed, own_answer};
use self::call::Call;
use self::gate::Gate;
pub use self::manners::{Lacks, Manners};
use crate::proxied::{self, Request};

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
    /// Whether it has every call from now on.
    lacks_nothing: bool,
    /// The part numbers that came for each upload.
    came: HashMap<(String, String), HashSet<u32>>,
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

    /// Has every call from now on.
    pub fn lack_nothing(&self) {
        self.seen.lock().unwrap().lacks_nothing = true;
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
    if manners.wants_lengths && call.method == "PUT" && !request.has_header("content-length") {
        return client.write_all(&answers::error(411, "MissingContentLength"));
    }
    if manners.fails_ranges && call.method == "GET" && request.has_header("range") {
        return client.write_all(&answers::error(409, "BrokenMPU"));
    }
    if let Some(answer) = own_answer(&call, manners, &mut seen.lock().unwrap()) {
        return client.write_all(&answer);
    }
    let request = if manners.ignores_ranges { request.without_header("range") } else { request };
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
