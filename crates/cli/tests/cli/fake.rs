//! A server that says what a test wants it to say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How it answers: status and headers, and the body, which may be longer than declared.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
    /// Whether the body comes again and again until the client has enough.
    pub is_endless: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: String::new(), body: body.into(), is_endless: false }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).header("Content-Type: application/json")
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        self.headers.push_str(header);
        self.headers.push_str("\r\n");
        self
    }
}

/// A running one.
pub(crate) struct Fake {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
    headers: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `answer` gets its URL, and method and path with a space in between.
    pub(crate) fn answering(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, headers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (own_url, seen, answer) = (url.clone(), (Arc::clone(&requests), Arc::clone(&headers)), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (url, seen, answer) = (own_url.clone(), seen.clone(), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &seen, &|request| answer(&url, request)));
            }
        });
        Self { url, requests, headers }
    }

    /// Whether any request had this header.
    pub(crate) fn was_sent(&self, header: &str) -> bool {
        self.headers.lock().unwrap().iter().any(|name| name == header)
    }

    /// How many requests of this method there were.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(method)).count()
    }
}

/// The lists of the requests and of the names of their headers.
type Seen = (Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>);

/// Answers one request, and closes the connection.
fn serve(stream: &TcpStream, (requests, headers): &Seen, answer: &dyn Fn(&str) -> Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let length = head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    std::io::copy(&mut reader.by_ref().take(length.unwrap_or(0)), &mut std::io::sink()).ok()?;
    let request = head.first()?.rsplit_once(' ')?.0.to_owned();
    let names = head.iter().skip(1).filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase()));
    headers.lock().unwrap().extend(names);
    requests.lock().unwrap().push(request.clone());
    let Answer { status, headers, body, is_endless } = answer(&request);
    let length = if is_endless { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} So\r\n{headers}{length}Connection: close\r\n\r\n").ok()?;
    stream.write_all(&body).ok()?;
    if is_endless {
        std::iter::repeat_with(|| stream.write_all(&body)).find(Result::is_err)?.ok()?;
    }
    Some(())
}
