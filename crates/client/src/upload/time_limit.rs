//! Decides whether a proxy bounds the time of requests, from the attempts that were cut: parts that are sent at the same time share the
//! line, so all of them may break at that bound, again and again. Fewer at once are faster each, and so are smaller parts.
//!
//! Invariant: connections that break by chance change nothing. Two attempts are evidence only if they took about the same time, were
//! sending, and ended at different times, since one failure of a network cuts everything at the same moment.

use std::time::Duration;

use tokio::time::Instant;

/// Shorter attempts are no evidence: a restarting server breaks each after a moment.
const LEAST_DURATION: Duration = Duration::from_secs(1);
/// Durations are about the same within this share of the longer one.
const TOLERANCE: f64 = 0.15;
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
        is_about(self.duration, other.duration) && apart >= self.duration.max(other.duration) / 4
    }
}

/// The reaction to a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing says that a time limit was the cause.
    Unrelated,
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
    longest_success: Duration,
}

impl TimeLimit {
    pub(super) fn new(at_once: usize) -> Self {
        let longest_success = Duration::ZERO;
        Self { at_once, configured: at_once, changed: None, cuts: Vec::new(), limit: None, longest_success }
    }

    pub(super) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Notes the cut of an attempt, and decides. `peak` is the highest number of parts that were sent at the same time since the last
    /// change.
    pub(super) fn judge(&mut self, cut: Cut, peak: usize, now: Instant) -> Verdict {
        if cut.duration < LEAST_DURATION || !cut.was_sending() || is_refuted(cut.duration, self.longest_success) {
            return Verdict::Unrelated;
        }
        match self.limit {
            Some(limit) if !is_about(limit, cut.duration) => return Verdict::Unrelated,
            Some(_) => {}
            None if self.cuts.iter().any(|earlier| earlier.is_like(&cut)) => self.limit = Some(cut.duration),
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

    /// Notes a part that arrived. One that took much longer than the assumed limit refutes it.
    pub(super) fn arrived(&mut self, duration: Duration) {
        self.longest_success = self.longest_success.max(duration);
        if self.limit.is_some_and(|limit| is_refuted(limit, duration)) {
            self.limit = None;
            self.cuts.clear();
            self.at_once = self.configured;
        }
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

/// Whether a request that succeeded after `success` shows that none is ended after `limit`. A proxy may wait for the answer for a while
/// in addition.
fn is_refuted(limit: Duration, success: Duration) -> bool {
    success > limit.mul_f64(1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Cuts at given times, in seconds after the beginning.
    struct Clock {
        zero: Instant,
        limit: TimeLimit,
    }

    impl Clock {
        fn new(at_once: usize) -> Self {
            Self { zero: Instant::now(), limit: TimeLimit::new(at_once) }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.zero + Duration::from_secs_f64(seconds)
        }

        fn cut(&self, began: f64, seconds: f64) -> Cut {
            let duration = Duration::from_secs_f64(seconds);
            Cut { began: self.at(began), duration, silent: Duration::ZERO, sent_bytes: 6 * MIB, part_bytes: 10 * MIB }
        }

        fn judge(&mut self, began: f64, seconds: f64) -> Verdict {
            let cut = self.cut(began, seconds);
            self.limit.judge(cut, 4, self.at(began + seconds))
        }
    }

    #[test]
    fn attempts_that_end_after_the_same_time_halve_the_parts_at_once_until_there_is_one() {
        let mut clock = Clock::new(4);
        let first: Vec<_> = (0..4).map(|_| clock.judge(0.0, 60.0)).collect();
        assert_eq!(first, [Verdict::Unrelated; 4], "one break of the network cuts all of them");
        assert_eq!(clock.judge(60.3, 60.5), Verdict::FewerAtOnce(2));
        assert_eq!(clock.judge(60.1, 61.0), Verdict::Again, "it began with four");
        // The limit is known: one round is enough.
        assert_eq!(clock.judge(121.5, 59.0), Verdict::FewerAtOnce(1));
        assert_eq!(clock.judge(121.4, 60.0), Verdict::Again);
        assert_eq!(clock.judge(182.0, 60.0), Verdict::TooLong);
        clock.limit.smaller_parts(clock.at(242.0));
        assert_eq!(clock.judge(242.5, 60.0), Verdict::TooLong);
        assert!(is_about(clock.limit.limit.unwrap(), Duration::from_secs(60)));
    }

    #[test]
    fn where_little_got_through_fewer_than_half_are_sent_next() {
        let mut clock = Clock::new(4);
        let little = |began| Cut { sent_bytes: 3 * MIB, ..clock.cut(began, 60.0) };
        let (one, two) = (little(0.0), little(61.0));
        assert_eq!(clock.limit.judge(one, 4, one.ended()), Verdict::Unrelated);
        assert_eq!(clock.limit.judge(two, 4, two.ended()), Verdict::FewerAtOnce(1));
        // Without evidence of how much got through, by halves.
        let all_taken = |began| Cut { sent_bytes: 10 * MIB, ..clock.cut(began, 60.0) };
        let (one, two) = (all_taken(0.0), all_taken(61.0));
        let mut limit = TimeLimit::new(8);
        limit.judge(one, 5, one.ended());
        assert_eq!(limit.judge(two, 5, two.ended()), Verdict::FewerAtOnce(2), "five is all that there was to send");
        let mut limit = TimeLimit::new(8);
        limit.judge(one, 1, one.ended());
        assert_eq!((limit.judge(two, 1, two.ended()), limit.at_once()), (Verdict::TooLong, 1));
    }

    #[test]
    fn connections_that_break_at_random_are_no_limit() {
        let mut clock = Clock::new(4);
        let mut began = 0.0;
        for seconds in [60.0, 31.0, 44.0, 9.0, 20.0, 14.0, 76.0, 5.0] {
            assert_eq!(clock.judge(began, seconds), Verdict::Unrelated, "{seconds}");
            began += seconds + 1.0;
        }
        assert_eq!(clock.limit.at_once(), 4);
    }

    #[test]
    fn stalls_and_short_attempts_are_no_limit() {
        let mut clock = Clock::new(4);
        for round in 0..5 {
            let began = f64::from(round) * 61.0;
            let stalled = Cut { silent: Duration::from_secs(40), ..clock.cut(began, 60.0) };
            assert_eq!(clock.limit.judge(stalled, 4, stalled.ended()), Verdict::Unrelated);
            let unsent = Cut { sent_bytes: 0, ..clock.cut(began, 60.0) };
            assert_eq!(clock.limit.judge(unsent, 4, unsent.ended()), Verdict::Unrelated);
            assert_eq!(clock.judge(began, 0.2), Verdict::Unrelated);
        }
    }

    #[test]
    fn a_part_that_took_longer_refutes_the_limit() {
        let mut clock = Clock::new(4);
        clock.judge(0.0, 20.0);
        assert_eq!(clock.judge(21.0, 20.0), Verdict::FewerAtOnce(2));
        // A little longer is the time until the answer.
        clock.limit.arrived(Duration::from_secs(25));
        assert_eq!(clock.limit.at_once(), 2);
        clock.limit.arrived(Duration::from_secs(35));
        assert_eq!((clock.limit.at_once(), clock.limit.limit), (4, None));
        clock.judge(100.0, 20.0);
        assert_eq!(clock.judge(121.0, 20.0), Verdict::Unrelated, "longer ones pass");
    }
}
