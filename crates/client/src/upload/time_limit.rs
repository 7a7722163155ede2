//! Decides whether a proxy bounds the time of requests, from the attempts that were cut: parts that are sent at the same time share the
//! line, so all of them may break at that bound, again and again. Fewer at once are faster each, and so are smaller parts.
//!
//! Three attempts are evidence if they took about the same time, were sending, and ended at different times, since one failure of a
//! network cuts everything at the same moment. Connections that break by chance may look like that: of uploads whose first six break one
//! after another, each within two minutes, about 2 % (a test counts them). The cost is that fewer or smaller parts are sent than could
//! be. Invariant: an attempt that lasts much longer than the supposed limit ends the supposition, so a wrong one bounds no right one.

use std::time::Duration;

use tokio::time::Instant;

/// Shorter attempts are no evidence: a restarting server breaks each after a moment.
const LEAST_DURATION: Duration = Duration::from_secs(1);
/// Durations differ from the known limit by this share of the longer one, at most.
const TOLERANCE: f64 = 0.15;
/// Durations that are evidence differ by this share of the longer one, at most, ...
const TOLERANCE_OF_EVIDENCE: f64 = 0.03;
/// ... and by the time that a busy machine or line may take to notice the end.
const DELAY: Duration = Duration::from_millis(250);
/// Cuts that are kept for comparison.
const MAX_CUTS: usize = 16;

/// An attempt to send a part that ended without an answer of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) began: Instant,
    pub(super) duration: Duration,
    /// Time since the last byte was handed to the network.
    pub(super) silent: Duration,
    pub(super) sent_bytes: u64,
    pub(super) part_bytes: u64,
}

impl Cut {
    fn ended(&self) -> Instant {
        self.began + self.duration
    }

    /// Whether bytes were moving. If all of the part was handed to the network, only the buffers know.
    fn was_sending(&self) -> bool {
        self.sent_bytes > 0 && (self.sent_bytes >= self.part_bytes || self.silent <= self.duration / 2)
    }

    fn is_like(&self, other: &Self) -> bool {
        let apart = self.ended().max(other.ended()) - self.ended().min(other.ended());
        let longer = self.duration.max(other.duration);
        let is_evidence = self.duration.abs_diff(other.duration) <= longer.mul_f64(TOLERANCE_OF_EVIDENCE) + DELAY;
        is_evidence && apart >= longer / 4
    }
}

/// The reaction to a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing says that a time limit was the cause.
    Unrelated,
    /// It was not: the attempt lasted much longer than the supposed limit. This many parts may be sent at the same time, if that changed.
    Refuted(Option<usize>),
    /// It was. Fewer parts are sent at the same time from now on: this many.
    FewerAtOnce(usize),
    /// It was, but more parts were sent at the same time when the attempt began than now.
    Again,
    /// It was, although no other part was sent at the same time.
    TooLong,
}

/// The history of an upload's attempts, and the conclusion.
#[derive(Debug)]
pub(super) struct TimeLimit {
    /// Parts that may be sent at the same time.
    at_once: usize,
    configured: usize,
    /// Time of the last change of `at_once`, or of the size of the parts.
    changed: Option<Instant>,
    cuts: Vec<Cut>,
    limit: Option<Duration>,
    /// The longest attempt that moved bytes until its end.
    longest: Duration,
}

impl TimeLimit {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, configured: at_once, changed: None, cuts: Vec::new(), limit: None, longest: Duration::ZERO }
    }

    pub(super) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Notes the cut of an attempt, and decides. `peak` is the highest number of parts that were sent at the same time since the last
    /// change.
    pub(super) fn judge(&mut self, cut: Cut, peak: usize, now: Instant) -> Verdict {
        if cut.duration < LEAST_DURATION || !cut.was_sending() || is_refuted(cut.duration, self.longest) {
            return Verdict::Unrelated;
        }
        let had_limit = self.limit.is_some();
        let lifted = self.arrived(cut.duration);
        if had_limit && self.limit.is_none() {
            self.cuts.push(cut);
            return Verdict::Refuted(lifted);
        }
        match self.limit {
            Some(limit) if !is_about(limit, cut.duration) => return Verdict::Unrelated,
            Some(_) => {}
            None if self.is_third(&cut) => self.limit = Some(cut.duration),
            None => {
                self.cuts.truncate(MAX_CUTS - 1);
                self.cuts.insert(0, cut);
                return Verdict::Unrelated;
            }
        }
        if self.changed.is_some_and(|changed| cut.began < changed) {
            return Verdict::Again;
        }
        let at_once = self.at_once.min(peak);
        if at_once <= 1 {
            self.at_once = 1;
            return Verdict::TooLong;
        }
        self.at_once = fewer(at_once, &cut);
        self.changed = Some(now);
        Verdict::FewerAtOnce(self.at_once)
    }

    /// Whether two earlier cuts are like this one, and like each other.
    fn is_third(&self, cut: &Cut) -> bool {
        let like: Vec<&Cut> = self.cuts.iter().filter(|earlier| earlier.is_like(cut)).collect();
        like.iter().enumerate().any(|(index, one)| like[..index].iter().any(|other| one.is_like(other)))
    }

    /// Notes the duration of a part that arrived. One that took much longer than the supposed limit refutes it. Returns how many parts may
    /// be sent at the same time, if that changed.
    pub(super) fn arrived(&mut self, duration: Duration) -> Option<usize> {
        self.longest = self.longest.max(duration);
        if !self.limit.is_some_and(|limit| is_refuted(limit, duration)) {
            return None;
        }
        self.limit = None;
        self.cuts.clear();
        let reduced = std::mem::replace(&mut self.at_once, self.configured);
        (reduced < self.configured).then_some(self.configured)
    }

    /// Notes that all parts are smaller from now on.
    pub(super) fn smaller_parts(&mut self, now: Instant) {
        self.changed = Some(now);
    }
}

/// About half as many, or less if what was sent until the cut shows that half would break, too.
fn fewer(at_once: usize, cut: &Cut) -> usize {
    let mut next = at_once / 2;
    let capacity = cut.sent_bytes.saturating_mul(at_once as u64);
    while next > 1 && capacity / (next as u64) < cut.part_bytes {
        next /= 2;
    }
    next
}

fn is_about(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= one.max(other).mul_f64(TOLERANCE)
}

/// Whether a request that lasted for `duration` shows that none is ended after `limit`. A proxy may wait for the answer for a while in
/// addition.
fn is_refuted(limit: Duration, duration: Duration) -> bool {
    duration > limit.mul_f64(1.5)
}

#[cfg(test)]
mod tests;
