//! Partway's API, as far as uploads need it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{Answer, Connections, Place};
use crate::{Failure, ServerArgs};

/// A Partway server. Where the parts go, its answers say: to itself, or to a store.
pub(crate) struct Partway {
    address: SocketAddr,
    key: String,
}

impl Partway {
    pub(crate) fn new(server: &ServerArgs) -> Self {
        Self { address: server.address, key: server.key.clone() }
    }

    /// Opens an upload. The answer is not parsed: with 10,000 URLs that takes long enough to count.
    pub(crate) fn start(&self, connections: &mut Connections, name: &str, size: u64) -> Result<Answer, Failure> {
        let body = json!({"file_name": name, "size": size, "format": "application/octet-stream"});
        self.post(connections, "/api/v1/multipart/start", &body)
    }

    /// Completes an upload, and answers the file's record.
    pub(crate) fn complete(&self, connections: &mut Connections, session_id: &str) -> Result<Value, Failure> {
        let body = json!({"session_id": session_id});
        let answer = self.post(connections, "/api/v1/multipart/complete", &body)?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Gives an upload up.
    pub(crate) fn abort(&self, connections: &mut Connections, session_id: &str) -> Result<(), Failure> {
        let place = Place::at(self.address, &format!("/api/v1/multipart/{session_id}"));
        let headers = format!("Authorization: Bearer {}\r\n", self.key);
        connections.send("DELETE", &place, &headers, b"")?.expect(204).map(drop)
    }

    fn post(&self, connections: &mut Connections, path: &str, body: &Value) -> Result<Answer, Failure> {
        let place = Place::at(self.address, path);
        let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.key);
        connections.send("POST", &place, &headers, body.to_string().as_bytes())?.expect(201)
    }
}
