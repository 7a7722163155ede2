//! Why a request, an upload or a download failed.

use std::path::PathBuf;
use std::time::Duration;

use partway_api::{ErrorBody, ErrorCode};

/// Why a request, an upload or a download failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's address is no http or https URL.
    #[error("{url:?} is not an address of a server: {problem}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The key cannot be sent.
    #[error("the API key has {character:?} at character {place} of {length}, which no HTTP header may have")]
    Key {
        /// The first of its characters that may not be sent. The others are a secret.
        character: char,
        /// Its place, from 1.
        place: usize,
        /// How many characters the key has.
        length: usize,
    },
    /// The request cannot be made, whoever is asked.
    #[error("the request cannot be made: {0}")]
    Unsendable(String),
    /// It failed at another address than the one that was asked for.
    #[error("{source} ({why})")]
    Elsewhere {
        /// Why that address was asked.
        why: String,
        /// The failure there.
        source: Box<Error>,
    },
    /// The file of certificate authorities has none.
    #[error("{0}")]
    Authorities(String),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be uploaded as it is.
    #[error("{path} {problem}")]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The server refused.
    #[error("{} ({})", body.message, body.error_code)]
    Refused {
        /// What it said.
        body: Box<ErrorBody>,
        /// How long it asks to wait, if it does.
        retry_after: Option<Duration>,
    },
    /// Something between here and the server answered, or the server is not Partway.
    #[error("{status} from {url}: {text}")]
    Unexpected {
        /// HTTP status.
        status: u16,
        /// What was asked, without its query: in a part URL that is a permission.
        url: String,
        /// The beginning of the answer.
        text: String,
    },
    /// Something in front of the server lets no body of this size through. The server itself never says 413 to a part.
    #[error(
        "a proxy in front of the server refused a part of {part_bytes} bytes for its size (413 from {url}); \
         raise or remove its limit (nginx: client_max_body_size 0; Caddy: no max_size in request_body)"
    )]
    TooLargeForProxy {
        /// Length of the part.
        part_bytes: u64,
        /// What was asked, without its query.
        url: String,
    },
    /// The session was completed with parts of which nobody knows whether they are this file's.
    #[error(
        "session {session_id} was completed with parts that were not all sent from this file as it is now, \
         and its store compares no hash"
    )]
    Doubtful {
        /// The session.
        session_id: String,
    },
    /// The session has ended while its parts were sent.
    #[error("session {session_id} has ended meanwhile: it is {status}")]
    Ended {
        /// The session.
        session_id: String,
        /// `completed`, `aborted` or `expired`.
        status: String,
    },
    /// The server has other bytes than the file.
    #[error("the server has {stored}, the file is {sent}")]
    Mismatch {
        /// Hash of the file.
        sent: String,
        /// Hash that the server answered.
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
    /// The server is older than this program: it answered more than the one file that was looked for.
    #[error(
        "the server knows no look-up by path: it is older than this program; name the file by its number, or upgrade it"
    )]
    OldServer,
    /// There is something at the place to which a file is downloaded.
    #[error("{path} {problem}")]
    Target {
        /// Which place.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file on the server is not the one that was expected, or not any more the one of which parts are there.
    #[error("the file at {url} has changed on the server")]
    Changed {
        /// Where it is served.
        url: String,
    },
    /// What was downloaded is not the file.
    #[error("what came from {url} is {found}, the file is {expected}")]
    WrongBytes {
        /// Where the file is served.
        url: String,
        /// Hash of what came.
        found: String,
        /// Hash of the file.
        expected: String,
    },
    /// What a download is written to fails.
    #[error("the output cannot be written: {0}")]
    Output(#[source] std::io::Error),
    /// The host's name leads nowhere.
    #[error("the name of {host} cannot be resolved: {text}")]
    UnknownHost {
        /// Host and port.
        host: String,
        /// Why.
        text: String,
    },
    /// Whoever answers at the server's address has no certificate that is trusted here.
    #[error("the certificate of {host} is not trusted: {text}")]
    Untrusted {
        /// Host and port.
        host: String,
        /// Why.
        text: String,
    },
    /// Whoever answers at an https address does not speak TLS.
    #[error("{host} does not speak TLS: {text}")]
    NoTls {
        /// Host and port.
        host: String,
        /// How that was seen.
        text: String,
    },
    /// There is no server to talk to.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("{0}")]
    Connection(String),
}

impl Error {
    /// Whether trying again may help.
    pub fn is_mendable(&self) -> bool {
        match self {
            Self::Elsewhere { source, .. } => source.is_mendable(),
            Self::Address { .. }
            | Self::Key { .. }
            | Self::Unsendable(_)
            | Self::Authorities(_)
            | Self::File { .. }
            | Self::Unfit { .. }
            | Self::Doubtful { .. }
            | Self::Ended { .. }
            | Self::Untrusted { .. }
            | Self::NoTls { .. }
            | Self::TooLargeForProxy { .. }
            | Self::NotFound { .. }
            | Self::Target { .. }
            | Self::Changed { .. }
            | Self::WrongBytes { .. }
            | Self::Output(_)
            | Self::OldServer
            | Self::Mismatch { .. } => false,
            Self::Refused { body, .. } => is_mendable_status(body.error_code.status()),
            Self::Unexpected { status, .. } => is_mendable_status(*status),
            Self::UnknownHost { .. } | Self::Unreachable(_) | Self::Connection(_) => true,
        }
    }

    /// Whether there is nobody to talk to: time is all that may help.
    pub fn is_away(&self) -> bool {
        matches!(self.at_its_address(), Self::UnknownHost { .. } | Self::Unreachable(_))
    }

    /// Whether there is nobody to talk to, or nobody to be trusted: every other request would fail in the same way.
    pub fn is_of_connection(&self) -> bool {
        self.is_away() || matches!(self.at_its_address(), Self::Untrusted { .. } | Self::NoTls { .. })
    }

    /// Whether it is not the server that says why a part did not arrive: something in between answered, or the connection
    /// broke. The server may know more.
    pub(crate) fn is_hearsay(&self) -> bool {
        matches!(self.at_its_address(), Self::Unexpected { status: 500.., .. } | Self::Connection(_))
    }

    /// Whether the server surely did nothing of what was asked, and doing it again may help.
    pub(crate) fn left_all_untouched(&self) -> bool {
        self.is_away() || matches!(self.code(), Some(ErrorCode::RateLimited | ErrorCode::ServiceUnavailable))
    }

    /// Whether the upload can go on, now or when what stands in its way is mended: its session is still of use.
    pub fn leaves_session(&self) -> bool {
        let by_others = matches!(
            self.at_its_address(),
            Self::TooLargeForProxy { .. } | Self::Untrusted { .. } | Self::NoTls { .. }
        );
        self.is_mendable() || by_others
    }

    /// The same, of a part of this length.
    pub(crate) fn of_part(self, part_bytes: u64) -> Self {
        match self {
            Self::Unexpected { status: 413, url, .. } => Self::TooLargeForProxy { part_bytes, url },
            other => other,
        }
    }

    /// The failure, wherever it was.
    fn at_its_address(&self) -> &Self {
        match self {
            Self::Elsewhere { source, .. } => source.at_its_address(),
            other => other,
        }
    }

    /// The code with which the server refused, if it did.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { body, .. } => Some(body.error_code),
            _ => None,
        }
    }

    /// Whether the session that was to go on cannot: it has ended, or it is another file's.
    pub fn is_session_of_no_use(&self) -> bool {
        let codes = [
            ErrorCode::SessionNotFound,
            ErrorCode::SessionExpired,
            ErrorCode::SessionAborted,
            ErrorCode::SessionCompleted,
            ErrorCode::ChecksumMismatch,
            ErrorCode::IdempotencyKeyReused,
        ];
        matches!(self, Self::Doubtful { .. } | Self::Ended { .. })
            || self.code().is_some_and(|code| codes.contains(&code))
    }

    /// Whether starting again may help: not when the server has no room, which a person must know at once.
    pub(crate) fn is_mendable_for_start(&self) -> bool {
        self.is_mendable() && self.code() != Some(ErrorCode::InsufficientStorage)
    }

    /// Whether sending a part again may help: its bytes or its URL may have been spoilt on the way.
    pub(crate) fn is_mendable_for_part(&self) -> bool {
        let spoilt = [ErrorCode::UrlExpired, ErrorCode::ChecksumMismatch, ErrorCode::PartSizeMismatch];
        self.is_mendable() || self.code().is_some_and(|code| spoilt.contains(&code))
    }

    /// Whether a part's URL was refused that may be replaced by another one: the server's secret was rotated without a grace,
    /// or an S3 store says in its own words that the URL has expired (403; 400 from Garage), or that its upload is not there any
    /// more (404).
    pub(crate) fn is_refused_url(&self) -> bool {
        self.code() == Some(ErrorCode::SignatureInvalid)
            || matches!(self, Self::Unexpected { status: 400 | 403 | 404, .. })
    }

    /// The parts that the server says are missing.
    pub(crate) fn missing_parts(&self) -> Option<&[u32]> {
        match self {
            Self::Refused { body, .. } => body.missing_parts.as_deref(),
            _ => None,
        }
    }

    /// How long the server asks to wait before the next try.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn is_mendable_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}
