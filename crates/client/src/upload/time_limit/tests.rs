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

    /// Three cuts after the same time, one after the other. Returns the last verdict.
    fn judge_three(&mut self, began: f64, seconds: f64) -> Verdict {
        [0.0, 1.0, 2.0].map(|round| self.judge(began + round * (seconds + 1.0), seconds))[2]
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
    assert_eq!(clock.judge(60.3, 60.5), Verdict::Unrelated, "two may be chance");
    assert_eq!(clock.judge(60.1, 61.0), Verdict::Unrelated, "and these ended at the same moment");
    assert_eq!(clock.judge(121.3, 60.5), Verdict::FewerAtOnce(2));
    assert_eq!(clock.judge(121.1, 61.0), Verdict::Again, "it began with four");
    // The limit is known: one round is enough.
    assert_eq!(clock.judge(182.5, 59.0), Verdict::FewerAtOnce(1));
    assert_eq!(clock.judge(182.4, 60.0), Verdict::Again);
    assert_eq!(clock.judge(243.0, 60.0), Verdict::TooLong);
    clock.limit.smaller_parts(clock.at(303.0));
    assert_eq!(clock.judge(303.5, 60.0), Verdict::TooLong);
    assert!(is_about(clock.limit.limit.unwrap(), Duration::from_secs(60)));
}

#[test]
fn where_little_got_through_fewer_than_half_are_sent_next() {
    let mut clock = Clock::new(4);
    let little = |began| Cut { sent_bytes: 3 * MIB, ..clock.cut(began, 60.0) };
    let rounds = [0.0, 61.0, 122.0];
    let [one, two, three] = rounds.map(little);
    assert_eq!(clock.limit.judge(one, 4, one.ended()), Verdict::Unrelated);
    assert_eq!(clock.limit.judge(two, 4, two.ended()), Verdict::Unrelated);
    assert_eq!(clock.limit.judge(three, 4, three.ended()), Verdict::FewerAtOnce(1));
    // Without evidence of how much got through, by halves.
    let all_taken = |began| Cut { sent_bytes: 10 * MIB, ..clock.cut(began, 60.0) };
    let cuts = rounds.map(all_taken);
    let judged = |peak| {
        let mut limit = TimeLimit::new(8);
        (cuts.map(|cut| limit.judge(cut, peak, cut.ended()))[2], limit.at_once())
    };
    assert_eq!(judged(5), (Verdict::FewerAtOnce(2), 2), "five is all that there was to send");
    assert_eq!(judged(1), (Verdict::TooLong, 1));
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
fn connections_that_break_after_any_time_seldom_look_like_a_limit() {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    let mut taken_for_limits = |cuts: usize| {
        let is_taken = |_: &u32| {
            let (mut clock, mut began) = (Clock::new(4), 0.0);
            let mut verdicts = (0..cuts).map(|_| {
                let seconds = 1.0 + 119.0 * random();
                began += seconds + 1.0;
                clock.judge(began - seconds, seconds)
            });
            verdicts.any(|verdict| verdict != Verdict::Unrelated)
        };
        (0..1000_u32).filter(is_taken).count()
    };
    let (of_six, of_twelve) = (taken_for_limits(6), taken_for_limits(12));
    println!("of 1000 uploads: {of_six} after six cuts, {of_twelve} after twelve");
    assert!(of_six <= 30 && of_twelve <= 200, "of 1000 uploads: {of_six} after six cuts, {of_twelve} after twelve");
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
    assert_eq!(clock.judge_three(0.0, 20.0), Verdict::FewerAtOnce(2));
    // A little longer is the time until the answer.
    assert_eq!((clock.limit.arrived(Duration::from_secs(25)), clock.limit.at_once()), (None, 2));
    assert_eq!(clock.limit.arrived(Duration::from_secs(35)), Some(4));
    assert_eq!((clock.limit.at_once(), clock.limit.limit), (4, None));
    assert_eq!(clock.judge_three(100.0, 20.0), Verdict::Unrelated, "longer ones pass");
}

#[test]
fn a_cut_after_a_longer_time_refutes_the_limit_and_the_right_one_is_found() {
    let mut clock = Clock::new(4);
    assert_eq!(clock.judge_three(0.0, 20.0), Verdict::FewerAtOnce(2));
    assert_eq!(clock.judge(70.0, 60.0), Verdict::Refuted(Some(4)));
    assert_eq!(clock.judge(131.0, 20.0), Verdict::Unrelated, "one lasted longer");
    assert_eq!(clock.judge(152.0, 60.0), Verdict::Unrelated);
    assert_eq!(clock.judge(213.0, 60.0), Verdict::FewerAtOnce(2), "the third of 60 s");
}
