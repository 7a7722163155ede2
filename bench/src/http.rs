//! As much of an HTTP/1.1 client as a measurement needs: kept-alive connections, one request at a time.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use url::{Position, Url};

use crate::Failure;
use crate::payload::Payload;

/// No answer takes this long; a hung server ends the run.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An answer with 10,000 URLs has megabytes: reading it in the usual 8 KiB would count.
const BUFFER_BYTES: usize = 64 * 1024;

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    address: SocketAddr,
    /// Host and port as the URL has them: a store signs its URLs for exactly this `Host`.
    host: String,
    /// Path and query.
    path: String,
}

impl Place {
    /// A path of a server whose address is known.
    pub(crate) fn at(address: SocketAddr, path: &str) -> Self {
        Self { address, host: address.to_string(), path: path.to_owned() }
    }

    /// A server on this machine, as an http URL names it.
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        let url = Url::parse(url)?;
        if url.scheme() != "http" {
            return Err(format!("{url} is not an http URL").into());
        }
        let addresses = url.socket_addrs(|| None)?;
        let local = addresses.into_iter().find(|address| address.ip().is_loopback());
        let address = local.ok_or_else(|| format!("{url} is not at a loopback address"))?;
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        let path = url[Position::BeforePath..Position::AfterQuery].to_owned();
        Ok(Self { address, host, path })
    }
}

/// The connections of one thread: one to each server that it meets.
#[derive(Default)]
pub(crate) struct Connections {
    open: Vec<Connection>,
}

impl Connections {
    /// Connects, so that the first request need not.
    pub(crate) fn connect(&mut self, place: &Place) -> Result<(), Failure> {
        self.to(place)?;
        Ok(())
    }

    /// Sends a request with a small body.
    pub(crate) fn send(&mut self, method: &str, place: &Place, headers: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.to(place)?.send(method, &place.path, headers, body)
    }

    /// PUTs `length` bytes of the payload from `offset` on.
    pub(crate) fn put(
        &mut self,
        place: &Place,
        payload: &mut Payload,
        offset: u64,
        length: u64,
    ) -> Result<Answer, Failure> {
        self.to(place)?.put(&place.path, payload, offset, length)
    }

    /// GETs; `take` has the body of a 200, the answer that of any other.
    pub(crate) fn fetch(&mut self, place: &Place, take: &mut dyn FnMut(&[u8])) -> Result<Answer, Failure> {
        self.to(place)?.fetch(&place.path, take)
    }

    fn to(&mut self, place: &Place) -> Result<&mut Connection, Failure> {
        let known = self.open.iter().position(|connection| connection.host == place.host);
        let index = match known {
            Some(index) => index,
            None => {
                self.open.push(Connection::open(place)?);
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[index])
    }
}

/// A kept-alive connection.
struct Connection {
    host: String,
    stream: BufReader<TcpStream>,
}

/// An answer, its body read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) entity_tag: String,
    pub(crate) location: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The answer, if it has this status.
    pub(crate) fn expect(self, status: u16) -> Result<Self, Failure> {
        if self.status == status {
            return Ok(self);
        }
        Err(format!("status {} instead of {status}: {}", self.status, String::from_utf8_lossy(&self.body)).into())
    }
}

/// Where a body ends.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunks,
}

impl Connection {
    /// Connects; only loopback addresses are ever measured.
    fn open(place: &Place) -> Result<Self, Failure> {
        let address = place.address;
        if !address.ip().is_loopback() {
            return Err(format!("{address} is not a loopback address").into());
        }
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { host: place.host.clone(), stream: BufReader::with_capacity(BUFFER_BYTES, stream) })
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer, Failure> {
        let head = self.head(method, path, headers, body.len() as u64);
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        self.answer()
    }

    fn put(&mut self, path: &str, payload: &mut Payload, offset: u64, length: u64) -> Result<Answer, Failure> {
        let head = self.head("PUT", path, "Content-Type: application/octet-stream\r\n", length);
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        payload.blocks(offset, length, |stamp, rest| {
            let mut slices = [IoSlice::new(stamp), IoSlice::new(rest)];
            let mut slices = &mut slices[..];
            while !slices.is_empty() {
                let written = stream.write_vectored(slices)?;
                if written == 0 {
                    return Err(std::io::ErrorKind::WriteZero.into());
                }
                IoSlice::advance_slices(&mut slices, written);
            }
            Ok(())
        })?;
        self.answer()
    }

    fn fetch(&mut self, path: &str, take: &mut dyn FnMut(&[u8])) -> Result<Answer, Failure> {
        let head = self.head("GET", path, "", 0);
        self.stream.get_mut().write_all(head.as_bytes())?;
        let (answer, framing) = self.answer_head()?;
        if answer.status != 200 {
            return self.with_body(answer, framing);
        }
        self.pass_body(framing, take)?;
        Ok(answer)
    }

    fn head(&self, method: &str, path: &str, headers: &str, length: u64) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {length}\r\n\r\n", self.host)
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        let (answer, framing) = self.answer_head()?;
        self.with_body(answer, framing)
    }

    fn answer_head(&mut self) -> Result<(Answer, Framing), Failure> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no HTTP answer")?;
        let mut answer = Answer { status, entity_tag: String::new(), location: String::new(), body: Vec::new() };
        let mut framing = Framing::Length(0);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => framing = Framing::Length(value.parse()?),
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => framing = Framing::Chunks,
                "etag" => value.clone_into(&mut answer.entity_tag),
                "location" => value.clone_into(&mut answer.location),
                _ => {}
            }
        }
        Ok((answer, framing))
    }

    fn with_body(&mut self, mut answer: Answer, framing: Framing) -> Result<Answer, Failure> {
        if let Framing::Length(length) = framing {
            answer.body.reserve_exact(length);
        }
        self.pass_body(framing, &mut |bytes: &[u8]| answer.body.extend_from_slice(bytes))?;
        Ok(answer)
    }

    fn pass_body(&mut self, framing: Framing, take: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        if let Framing::Length(length) = framing {
            return self.pass(length, take);
        }
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16)?;
            self.pass(length, take)?;
            line.clear();
            self.stream.read_line(&mut line)?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn pass(&mut self, length: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut left = length;
        while left > 0 {
            let bytes = self.stream.fill_buf()?;
            let here = bytes.len().min(left);
            if here == 0 {
                return Err(format!("the answer ends {left} bytes early").into());
            }
            take(&bytes[..here]);
            self.stream.consume(here);
            left -= here;
        }
        Ok(())
    }
}
