//! The other side of outgoing requests: servers that the tests' own server fetches from and tells, and a name server.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use partway_server::Config;
use tokio::net::{TcpListener, UdpSocket};

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

type Answer = dyn Fn(&Asked) -> Response + Send + Sync;

/// An HTTP server that answers as configured and records its requests.
#[derive(Clone)]
pub(crate) struct Peer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Arc<Answer>>>,
}

impl Peer {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            answer: Arc::new(Mutex::new(Arc::new(answer))),
        };
        let router = Router::new().fallback(handle).with_state(peer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        peer
    }

    /// Answers 200 to everything.
    pub(crate) async fn obliging() -> Self {
        Self::start(|_| StatusCode::OK.into_response()).await
    }

    pub(crate) fn answers(&self, answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn handle(State(peer): State<Peer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default().to_vec();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let asked = Asked { path, headers: head.headers, body };
    let answer = Arc::clone(&peer.answer.lock().unwrap());
    peer.asked.lock().unwrap().push(asked.clone());
    answer(&asked)
}

/// An answer with these bytes and headers.
pub(crate) fn file(bytes: impl Into<Body>, headers: &[(&str, &str)]) -> Response {
    let mut response = Response::new(bytes.into());
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

pub(crate) fn redirect(to: &str) -> Response {
    (StatusCode::FOUND, [("location", to.to_owned())]).into_response()
}

/// Opens loopback to outgoing requests.
pub(crate) fn allow_loopback(config: &mut Config) {
    allow(config, "127.0.0.0/8, ::1");
}

pub(crate) fn allow(config: &mut Config, hosts: &str) {
    let source = partway_server::config::SettingsReader::default().with_flag(
        "",
        "outgoing.allowed_hosts",
        Some(hosts.to_owned()),
    );
    config.outgoing.allowed_hosts = Config::read(source).unwrap().outgoing.allowed_hosts;
}

/// A name server. A name's addresses are given out in turns: the first look-up gets the first, the next the second, and so
/// on; the last one stays. Nothing may be kept: the time to live is 0.
#[derive(Clone)]
pub(crate) struct NameServer {
    pub address: SocketAddr,
    names: Arc<Mutex<HashMap<String, Turns>>>,
}

/// Number of look-ups of a name, and its addresses at each.
type Turns = (usize, Vec<Vec<IpAddr>>);

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: socket.local_addr().unwrap(), names: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = serving.answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        server
    }

    /// Addresses of the name at each look-up of it.
    pub(crate) fn set(&self, name: &str, turns: &[&[&str]]) {
        let turns = turns.iter().map(|turn| turn.iter().map(|address| address.parse().unwrap()).collect()).collect();
        self.names.lock().unwrap().insert(name.to_owned(), (0, turns));
    }

    /// How often the name was looked up.
    pub(crate) fn look_ups(&self, name: &str) -> usize {
        self.names.lock().unwrap().get(name).map_or(0, |(turn, _)| *turn)
    }

    /// RFC 1035, section 4: a question, and as answers the addresses of its kind.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
        let question = query.get(12..at + 4)?;
        let mut names = self.names.lock().unwrap();
        let mut addresses = Vec::new();
        let known = names.get_mut(&labels.join("."));
        let is_known = known.is_some();
        if let Some((turn, turns)) = known {
            // The server asks for both kinds at once; those of version 4 count the look-ups.
            let now = (*turn).min(turns.len() - 1);
            addresses = turns[now].clone();
            if kind == 1 {
                *turn += 1;
            }
        }
        let records: Vec<Vec<u8>> = addresses
            .iter()
            .filter_map(|address| match (kind, address) {
                (1, IpAddr::V4(address)) => Some(Ipv4Addr::octets(address).to_vec()),
                (28, IpAddr::V6(address)) => Some(Ipv6Addr::octets(address).to_vec()),
                _ => None,
            })
            .collect();
        let mut answer = query[..2].to_vec();
        answer.extend([0x84, if is_known { 0x80 } else { 0x83 }, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(question);
        for record in records {
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0, 0, record.len() as u8]);
            answer.extend(record);
        }
        Some(answer)
    }
}
