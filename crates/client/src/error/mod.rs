//! Why a request, an upload or a download failed.

mod verdicts;

use std::path::PathBuf;
use std::time::Duration;

use partway_api::{ErrorBody, ErrorCode};

/// Why a request, an upload or a download failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's address is not an http or https URL.
    #[error("{url:?} is not an address of a server: {problem}")]
    Address {
        /// The address as given.
        url: String,
        /// Its problem, as the end of a sentence.
        problem: String,
    },
    /// The API key has a character that no header may have.
    #[error("the API key has {character:?} at character {place} of {length}, which no HTTP header may have")]
    Key {
        /// The first such character. The rest of the key stays secret.
        character: char,
        /// Its place, from 1.
        place: usize,
        /// Length of the key in characters.
        length: usize,
    },
    /// The request is invalid before it is sent.
    #[error("the request cannot be made: {0}")]
    Unsendable(String),
    /// The request failed at another address than the one requested: after a redirect, or at the store.
    #[error("{source} ({why})")]
    Elsewhere {
        /// Reason for the other address.
        why: String,
        /// The failure there.
        source: Box<Error>,
    },
    /// The text of certificate authorities has none.
    #[error("{0}")]
    Authorities(String),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file cannot be uploaded as it is.
    #[error("{path} {problem}")]
    Unfit {
        /// Path of the file.
        path: PathBuf,
        /// Its problem, as the end of a sentence that begins with the path.
        problem: &'static str,
    },
    /// The server refused.
    #[error("{} ({})", body.message, body.error_code)]
    Refused {
        /// The body of its answer.
        body: Box<ErrorBody>,
        /// Time to wait before a retry, where the server named one.
        retry_after: Option<Duration>,
    },
    /// A proxy answered instead of the server, or the server is not Partway.
    #[error("{status} from {url}: {text}")]
    Unexpected {
        /// HTTP status.
        status: u16,
        /// URL of the request without its query, which in a part URL is a permission.
        url: String,
        /// The beginning of the answer.
        text: String,
    },
    /// A proxy in front of the server refused a body of this size. The server itself never answers 413 to a part.
    #[error(
        "a proxy in front of the server refused a part of {part_bytes} bytes for its size (413 from {url}); \
         raise or remove its limit (nginx: client_max_body_size 0; Caddy: no max_size in request_body)"
    )]
    TooLargeForProxy {
        /// Length of the part.
        part_bytes: u64,
        /// URL of the request without its query.
        url: String,
    },
    /// A proxy ends requests after a time in which a part does not get through, although no other is sent at the same time.
    #[error(
        "a proxy in front of the server ends requests after about {} s, and a part of {part_bytes} bytes takes longer; raise its \
         limit (Traefik: respondingTimeouts.readTimeout; Apache: RequestReadTimeout body=…), or use a faster line",
        limit.as_secs_f64().round()
    )]
    TimeLimit {
        /// Duration of the attempt that it ended.
        limit: Duration,
        /// Length of the part.
        part_bytes: u64,
        /// Bytes of it that were sent until then. Some of them may not have left this machine.
        sent_bytes: u64,
    },
    /// The session was completed with parts that may not be this file's.
    #[error(
        "session {session_id} was completed with parts that were not all sent from this file as it is now, \
         and its store compares no hash"
    )]
    Doubtful {
        /// The session.
        session_id: String,
    },
    /// The session ended while its parts were sent.
    #[error("session {session_id} ended during the upload: it is {status}")]
    Ended {
        /// The session.
        session_id: String,
        /// `completed`, `aborted` or `expired`.
        status: String,
    },
    /// The server stored other bytes than the file has.
    #[error("the server stored {stored}, but the file is {sent}")]
    Mismatch {
        /// Hash of the file.
        sent: String,
        /// Hash of the stored bytes.
        stored: String,
    },
    /// The workspace has no such file or folder.
    #[error("there is no {kind} {wanted:?} in the workspace")]
    NotFound {
        /// `file` or `folder`.
        kind: &'static str,
        /// Number or path, as given.
        wanted: String,
    },
    /// The server is too old to look up a file by its path: it answered other files as well.
    #[error(
        "the server is older than this program and cannot look up a file by its path; upgrade it, or name the file by its number"
    )]
    OldServer,
    /// The target of a download cannot be written.
    #[error("{path} {problem}")]
    Target {
        /// Path of the target.
        path: PathBuf,
        /// Its problem, as the end of a sentence that begins with the path.
        problem: &'static str,
    },
    /// The file on the server has changed since it was looked up, or since an earlier run downloaded a part of it.
    #[error("the file at {url} has changed on the server")]
    Changed {
        /// URL of the file.
        url: String,
    },
    /// The downloaded bytes are not those of the file.
    #[error("the bytes from {url} are {found}, but the file is {expected}")]
    WrongBytes {
        /// URL of the file.
        url: String,
        /// Hash of the downloaded bytes.
        found: String,
        /// Hash of the file.
        expected: String,
    },
    /// The writer of a download failed.
    #[error("the output cannot be written: {0}")]
    Output(#[source] std::io::Error),
    /// The host's name cannot be resolved.
    #[error("the name of {host} cannot be resolved: {text}")]
    UnknownHost {
        /// Host and port.
        host: String,
        /// Cause.
        text: String,
    },
    /// The host's certificate is not trusted.
    #[error("the certificate of {host} is not trusted: {text}")]
    Untrusted {
        /// Host and port.
        host: String,
        /// Cause.
        text: String,
    },
    /// The host does not speak TLS at an https address.
    #[error("{host} does not speak TLS: {text}")]
    NoTls {
        /// Host and port.
        host: String,
        /// The TLS error.
        text: String,
    },
    /// The server is unreachable.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("{0}")]
    Connection(String),
    /// Nothing moved on the connection for too long.
    #[error("{0}")]
    Stalled(String),
}

impl Error {
    /// The code of the server's refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { body, .. } => Some(body.error_code),
            _ => None,
        }
    }

    /// The error of a part of this length: 413 is a proxy's.
    pub(crate) fn of_part(self, part_bytes: u64) -> Self {
        match self {
            Self::Unexpected { status: 413, url, .. } => Self::TooLargeForProxy { part_bytes, url },
            other => other,
        }
    }

    /// The failure at the address where it happened.
    pub(crate) fn at_its_address(&self) -> &Self {
        match self {
            Self::Elsewhere { source, .. } => source.at_its_address(),
            other => other,
        }
    }

    /// The parts that are missing according to the server.
    pub(crate) fn missing_parts(&self) -> Option<&[u32]> {
        match self {
            Self::Refused { body, .. } => body.missing_parts.as_deref(),
            _ => None,
        }
    }

    /// Time to wait before a retry, where the server named one.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
