//! A write whose connection to PostgreSQL stands still while its request goes away and others come.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use partway_server::config::DatabaseUrl;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::{MIB, Session, TestApp};
use crate::services::Services;

/// Passes bytes between the server and PostgreSQL, and holds the first connection on which something is sent.
struct Holding {
    address: SocketAddr,
    state: Arc<State>,
    events: mpsc::Receiver<Event>,
}

struct State {
    /// Text that is looked for in a message to the database, and whether in writes alone. Nothing is held while it is empty.
    needle: Mutex<(String, bool)>,
    is_let_go: Mutex<bool>,
    let_go: Condvar,
    events: mpsc::Sender<Event>,
}

#[derive(Debug, PartialEq)]
enum Event {
    /// A connection stands still.
    Held,
    /// The held connection's transaction has ended: the answer to its end came.
    Ended,
}

impl Holding {
    fn of(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = mpsc::channel();
        let (needle, is_let_go, let_go) = (Mutex::default(), Mutex::default(), Condvar::new());
        let state = Arc::new(State { needle, is_let_go, let_go, events: sender });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let ends = Arc::new(AtomicBool::new(false));
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (asking, answering) = (Arc::clone(&shared), Arc::clone(&shared));
                let ended = Arc::clone(&ends);
                std::thread::spawn(move || asking.questions(client, server, &ends));
                std::thread::spawn(move || answering.answers(to, from, &ended));
            }
        });
        Self { address, state, events }
    }

    /// Holds the next connection on which this is sent, within a write or anywhere.
    fn hold(&self, needle: &str, in_writes_alone: bool) {
        *self.state.needle.lock().unwrap() = (needle.to_owned(), in_writes_alone);
    }

    /// The next event. It has a minute, which a loaded machine may need.
    async fn event(self) -> (Event, Self) {
        let waiting =
            tokio::task::spawn_blocking(|| (self.events.recv_timeout(Duration::from_secs(60)).unwrap(), self));
        waiting.await.unwrap()
    }

    fn let_go(&self) {
        *self.state.is_let_go.lock().unwrap() = true;
        self.state.let_go.notify_all();
    }
}

impl State {
    fn is_to_be_held(&self, message: &[u8], is_writing: bool) -> bool {
        let mut looked_for = self.needle.lock().unwrap();
        let (needle, in_writes_alone) = &mut *looked_for;
        let is_found = (is_writing || !*in_writes_alone)
            && !needle.is_empty()
            && message.windows(needle.len()).any(|found| found == needle.as_bytes());
        if is_found {
            needle.clear();
        }
        is_found
    }

    fn questions(&self, mut client: TcpStream, mut server: TcpStream, ends: &AtomicBool) {
        let (mut buffer, mut is_held, mut is_writing) = ([0; 64 * 1024], false, false);
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            let message = &buffer[..read];
            let has = |text: &str| message.windows(text.len()).any(|found| found == text.as_bytes());
            let is_end = has("COMMIT") || has("ROLLBACK");
            is_writing = has("BEGIN ISOLATION LEVEL READ COMMITTED") || is_writing && !is_end;
            if !is_held && self.is_to_be_held(message, is_writing) {
                is_held = true;
                self.events.send(Event::Held).unwrap();
                let held = self.is_let_go.lock().unwrap();
                drop(self.let_go.wait_while(held, |is_let_go| !*is_let_go).unwrap());
            }
            ends.store(is_held && is_end, Ordering::SeqCst);
            if server.write_all(message).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }

    fn answers(&self, mut server: TcpStream, mut client: TcpStream, ends: &AtomicBool) {
        let mut buffer = [0; 64 * 1024];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            if ends.swap(false, Ordering::SeqCst) {
                // Nobody hears it once the test is over.
                let _ = self.events.send(Event::Ended);
            }
            if client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}

/// A server that reaches its database through this.
async fn start() -> (TestApp, Holding) {
    let mut holding = None;
    let app = TestApp::start_on(Services { postgres: true, s3: false }, |config| {
        let url = config.database.url.clone().unwrap();
        let (_, rest) = url.as_str().split_once('@').unwrap();
        let (address, name) = rest.split_once('/').unwrap();
        let through = holding.insert(Holding::of(address.to_owned())).address;
        config.database.url = Some(DatabaseUrl::new(format!("postgres://partway@{through}/{name}")));
    })
    .await;
    (app, holding.unwrap())
}

/// A request for the first part of a session that has sent its head and not all of its body.
async fn begin_part(app: &TestApp, session: &Session) -> tokio::net::TcpStream {
    let mut connection = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let head = format!("PUT {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {MIB}\r\n\r\n", session.part_path(0));
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&[1; 1000]).await.unwrap();
    connection
}

#[tokio::test]
async fn a_request_that_was_held_up_takes_nothing_from_the_one_that_came_after_it() {
    let (app, holding) = start().await;
    let second = vec![2; MIB as usize];
    let session = app.upload(MIB, json!({})).await;
    // Whether its key is good is asked first.
    holding.hold(session.id(), false);
    let mut first = begin_part(&app, &session).await;
    let (event, holding) = holding.event().await;
    assert_eq!(event, Event::Held);
    assert_eq!(app.put(session.part_url(0), &second).await.status(), 200);
    holding.let_go();
    let mut answer = vec![0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 400");
    assert_eq!(app.count("parts"), 1);
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &second).await;
}

#[tokio::test]
async fn a_late_job_of_a_request_that_has_gone_takes_nothing_from_the_one_that_came_after_it() {
    let (mut app, holding) = start().await;
    let (first, second) = (vec![1; MIB as usize], vec![2; MIB as usize]);
    let session = app.upload(MIB, json!({})).await;
    assert_eq!(app.put(session.part_url(0), &first).await.status(), 200);

    // Before the part's bytes are overwritten its record goes, by a job whose connection stands still.
    holding.hold(session.id(), true);
    let cut = begin_part(&app, &session).await;
    let (event, holding) = holding.event().await;
    assert_eq!(event, Event::Held);
    drop(cut);
    assert_eq!(app.put(session.part_url(0), &second).await.status(), 200);
    assert_eq!(app.count("parts"), 1);

    holding.let_go();
    let (event, _holding) = holding.event().await;
    assert_eq!(event, Event::Ended);
    assert_eq!(app.count("parts"), 1, "the job of the request that has gone took the record of the next one");
    app.restart().await;
    let path = format!("/api/v1/multipart/{}", session.id());
    let found: Value = app.request(Method::GET, &path).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["uploaded_parts"], json!([0]), "{found}");
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &second).await;
}
