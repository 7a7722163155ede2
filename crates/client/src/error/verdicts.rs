//! Verdicts about an error: whether a retry may succeed, whether the server is reachable, and whether the session is still usable.

use partway_api::ErrorCode;

use super::Error;

impl Error {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Elsewhere { source, .. } => source.is_transient(),
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
            | Self::TimeLimit { .. }
            | Self::NotFound { .. }
            | Self::Target { .. }
            | Self::Changed { .. }
            | Self::WrongBytes { .. }
            | Self::Output(_)
            | Self::OldServer
            | Self::Mismatch { .. } => false,
            Self::Refused { body, .. } => is_transient_status(body.error_code.status()),
            Self::Unexpected { status, .. } => is_transient_status(*status),
            Self::UnknownHost { .. } | Self::Unreachable(_) | Self::Connection(_) | Self::Stalled(_) => true,
        }
    }

    /// Whether the server is unreachable, so that only time may help.
    pub fn is_away(&self) -> bool {
        matches!(self.at_its_address(), Self::UnknownHost { .. } | Self::Unreachable(_))
    }

    /// Whether only time may help, so that the number of attempts says nothing: the server is unreachable, or its disk is full.
    pub(crate) fn needs_time(&self) -> bool {
        let error = self.at_its_address();
        let is_full = error.code() == Some(ErrorCode::InsufficientStorage)
            || matches!(error, Self::Unexpected { status: 507, .. });
        error.is_away() || is_full
    }

    /// Whether the server is unreachable or not trusted, so that every other request would fail in the same way.
    pub fn is_of_connection(&self) -> bool {
        self.is_away() || matches!(self.at_its_address(), Self::Untrusted { .. } | Self::NoTls { .. })
    }

    /// Whether the failure of a part was seen by a proxy or as a broken connection, so that the server may know more.
    pub(crate) fn is_from_between(&self) -> bool {
        let error = self.at_its_address();
        matches!(error, Self::Unexpected { status: 408 | 500.., .. } | Self::Connection(_) | Self::Stalled(_))
    }

    /// Whether something in between may have ended the attempt to send a part for its duration.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self.at_its_address(), Self::Unexpected { status: 408 | 502..=504, .. } | Self::Connection(_))
    }

    /// Whether the request certainly had no effect, and a retry may succeed.
    pub(crate) fn had_no_effect(&self) -> bool {
        self.is_away() || matches!(self.code(), Some(ErrorCode::RateLimited | ErrorCode::ServiceUnavailable))
    }

    /// Whether the session is still usable: the upload can be resumed, now or after the cause is fixed.
    pub fn leaves_session(&self) -> bool {
        let by_others = matches!(
            self.at_its_address(),
            Self::TooLargeForProxy { .. }
                | Self::TimeLimit { .. }
                | Self::Untrusted { .. }
                | Self::NoTls { .. }
                | Self::Unexpected { status: 200..300, .. }
        );
        self.is_transient() || by_others
    }

    /// Whether the session cannot be resumed: it has ended, or it is another file's.
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

    /// Whether retrying a start may succeed. A full server is reported at once.
    pub(crate) fn is_transient_for_start(&self) -> bool {
        self.is_transient() && self.code() != Some(ErrorCode::InsufficientStorage)
    }

    /// Whether sending a part again may succeed: its bytes or its URL may have been damaged in transit.
    pub(crate) fn is_transient_for_part(&self) -> bool {
        let damaged = [ErrorCode::UrlExpired, ErrorCode::ChecksumMismatch, ErrorCode::PartSizeMismatch];
        self.is_transient() || self.code().is_some_and(|code| damaged.contains(&code))
    }

    /// Whether a part's URL was refused and a new one may be accepted: the server's secret was rotated without a grace period, or an
    /// S3 store answers that the URL has expired (403; 400 from Garage) or that its upload is gone (404).
    pub(crate) fn is_refused_url(&self) -> bool {
        self.code() == Some(ErrorCode::SignatureInvalid)
            || matches!(self, Self::Unexpected { status: 400 | 403 | 404, .. })
    }
}

fn is_transient_status(status: u16) -> bool {
    // 501 and 505 name something that is not implemented.
    matches!(status, 408 | 429 | 500 | 502..=504 | 506..)
}
