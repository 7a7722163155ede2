//! One request through a proxy of the tests: read whole, forwarded over a connection of its own.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Connections that a proxy takes at most.
const MAX_CONNECTIONS: usize = 20_000;

/// Listens on a free port of 127.0.0.1 and has each connection dealt with on a thread of its own. Returns the URL.
pub fn serve(deal: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().take(MAX_CONNECTIONS).flatten() {
            let deal = deal.clone();
            std::thread::spawn(move || {
                // A client that disconnects needs no answer.
                let _ = deal(client);
            });
        }
    });
    url
}

/// A request whose body has a length.
#[derive(Debug)]
pub struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` where the client has nothing more to say.
    pub fn read(client: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if client.read(&mut byte)? == 0 {
                return Ok(None);
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
        Ok(Some(Self { head, body }))
    }

    /// The method, the target and the version.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Whether it has a header of this name.
    pub fn has_header(&self, name: &str) -> bool {
        self.head.lines().any(|line| is_header(line, name))
    }

    /// The same request without the header of this name.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        let kept: Vec<_> = self.head.split("\r\n").filter(|line| !is_header(line, name)).map(str::to_owned).collect();
        self.head = kept.join("\r\n");
        self
    }

    /// The whole answer of the server at `target` (host and port).
    pub fn send(&self, target: &str) -> io::Result<Vec<u8>> {
        self.send_as(target, "HTTP/1.1")
    }

    /// The same in version 1.0: the answer has no chunks.
    pub fn send_without_chunks(&self, target: &str) -> io::Result<Vec<u8>> {
        self.send_as(target, "HTTP/1.0")
    }

    fn send_as(&self, target: &str, version: &str) -> io::Result<Vec<u8>> {
        let mut lines: Vec<String> = self.head.trim_end().lines().map(str::to_owned).collect();
        lines[0] = lines[0].replace("HTTP/1.1", version);
        lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        // One request for each connection: the end of the answer is the end of the connection.
        let mut server = TcpStream::connect(target)?;
        server.write_all(format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n")).as_bytes())?;
        server.write_all(&self.body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}
