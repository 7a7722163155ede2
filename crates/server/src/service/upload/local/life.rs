//! How long a session lives: parts that arrive renew it.
//!
//! Invariant: a renewal is written when less than half of the life is left, so a session has few of them however many parts it has.

use crate::db::Timestamp;
use crate::db::sessions::Session;

/// Pause after an attempt to renew, which may have failed.
const RETRY_SECONDS: u64 = 1;

/// The life of a session.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) expires_at: Timestamp,
    ttl_seconds: u64,
    renewed_from: Option<Timestamp>,
    /// No renewal is tried before.
    next_attempt_at: Timestamp,
}

impl Life {
    pub(super) fn of(session: &Session) -> Self {
        let Session { expires_at, ttl_seconds, renewed_from, .. } = *session;
        Self { expires_at, ttl_seconds, renewed_from, next_attempt_at: Timestamp::default() }
    }

    pub(super) fn write_to(&self, session: &mut Session) {
        session.expires_at = self.expires_at;
        session.renewed_from = self.renewed_from;
    }

    pub(super) fn extend(&mut self, expires_at: Timestamp, ttl_seconds: u64) {
        self.expires_at = self.expires_at.max(expires_at);
        self.ttl_seconds = self.ttl_seconds.max(ttl_seconds);
    }

    /// The end to which an arriving part renews the session, at most `latest`; `None` while more than half of its life is left, when it is
    /// over, and when another caller tries in this moment.
    pub(super) fn claim_renewal(&mut self, now: Timestamp, latest: Timestamp) -> Option<Timestamp> {
        let half = self.expires_at.minus_milliseconds(self.ttl_seconds.saturating_mul(500));
        if now < half || now < self.next_attempt_at || self.expires_at <= now {
            return None;
        }
        let renewed = now.plus_seconds(self.ttl_seconds).min(latest);
        if renewed <= self.expires_at {
            return None;
        }
        self.next_attempt_at = now.plus_seconds(RETRY_SECONDS);
        Some(renewed)
    }

    pub(super) fn renewed(&mut self, expires_at: Timestamp, renewed_from: Timestamp) {
        self.expires_at = self.expires_at.max(expires_at);
        self.renewed_from = Some(renewed_from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_milliseconds(seconds * 1000)
    }

    #[test]
    fn a_life_is_renewed_once_half_of_it_is_over_and_never_beyond_the_latest_end() {
        let mut life =
            Life { expires_at: at(100), ttl_seconds: 100, renewed_from: None, next_attempt_at: Timestamp::default() };
        let far = at(10_000);
        assert_eq!(life.claim_renewal(at(49), far), None);
        assert_eq!(life.claim_renewal(at(50), far), Some(at(150)));
        assert_eq!(life.claim_renewal(at(50), far), None, "another part tries");
        assert_eq!(life.claim_renewal(at(51), far), Some(at(151)), "the first attempt failed");
        life.renewed(at(151), at(100));
        assert_eq!(life.claim_renewal(at(100), far), None);
        assert_eq!(life.claim_renewal(at(140), at(160)), Some(at(160)));
        life.renewed(at(160), at(100));
        assert_eq!(life.claim_renewal(at(159), at(160)), None);
        assert_eq!(life.claim_renewal(at(160), far), None, "it is over");
        // A life that was asked for beyond the latest end stays.
        life.extend(at(500), 50);
        assert_eq!((life.expires_at, life.claim_renewal(at(460), at(160))), (at(500), None));
    }
}
