//! How far back samples still come, which decides when a block range may be cut.
//!
//! Once a range is cut, its samples are refused as out of bounds. A sender that is hours behind the newest sample of all,
//! as one is that backfills or works off what piled up while the network was away, would then lose samples although
//! its own come in order, and sooner the faster others write. So a range is cut only when nobody has sent any of it
//! for [`crate::Options::cut_after_quiet`].
//!
//! What a range waits is bounded: by its own length on the clock, so that a sender that never catches up does not keep
//! everybody's samples in memory for ever, and by memory, which ends the wait as soon as it is short.

use parking_lot::Mutex;

/// See the module.
#[derive(Debug)]
pub(super) struct Arrivals {
    quiet_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the present window began, which is as long as the quiet.
    began: i64,
    /// The oldest samples of the present window and of the one before.
    oldest: [i64; 2],
    /// The end of the range that waits, and since when.
    waiting: Option<(i64, i64)>,
}

impl State {
    fn turn(&mut self, now: i64, quiet_ms: i64) {
        let passed = now.saturating_sub(self.began);
        // A clock that went backwards begins anew, with what was seen.
        if (0..quiet_ms).contains(&passed) {
            return;
        }
        let [present, _] = self.oldest;
        let is_next = passed < quiet_ms.saturating_mul(2);
        (self.began, self.oldest) = (now, [i64::MAX, if is_next { present } else { i64::MAX }]);
    }
}

impl Arrivals {
    /// Whoever was sending when the process ended gets as long to come back as all others have.
    pub(super) fn new(quiet_ms: i64, now: i64) -> Self {
        let state = State { began: now, oldest: [i64::MAX, i64::MIN], waiting: None };
        Self { quiet_ms, state: Mutex::new(state) }
    }

    /// Notes that samples have come, the oldest of which is of that time.
    pub(super) fn note(&self, oldest: i64, now: i64) {
        if self.quiet_ms > 0 {
            let mut state = self.state.lock();
            state.turn(now, self.quiet_ms);
            state.oldest[0] = state.oldest[0].min(oldest);
        }
    }

    /// Whether samples from before `end` still come, and have for less than `wait_max_ms` since this was first asked.
    pub(super) fn awaits(&self, end: i64, wait_max_ms: i64, now: i64) -> bool {
        if self.quiet_ms <= 0 {
            return false;
        }
        let mut state = self.state.lock();
        state.turn(now, self.quiet_ms);
        if state.oldest.iter().all(|oldest| *oldest >= end) {
            state.waiting = None;
            return false;
        }
        let since = match state.waiting {
            // A clock that went backwards must not lengthen the wait.
            Some((of, since)) if of == end && since <= now => since,
            _ => now,
        };
        state.waiting = Some((end, since));
        now.saturating_sub(since) < wait_max_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_within_the_quiet_is_awaited_for_so_long() {
        let arrivals = Arrivals::new(10, 0);
        let check =
            |end, now, expected| assert_eq!(arrivals.awaits(end, 100, now), expected, "{end} at {now}");
        // Nothing is known of those who were there before.
        check(1000, 0, true);
        check(1000, 9, true);
        check(1000, 10, false);
        arrivals.note(500, 31);
        arrivals.note(2000, 39);
        check(1000, 40, true);
        check(500, 40, false);
        // In the next window it still counts, in the one after that it does not.
        arrivals.note(2000, 45);
        check(1000, 50, true);
        arrivals.note(2000, 56);
        check(1000, 57, false);
        // Nor does it after a long silence.
        arrivals.note(500, 60);
        check(1000, 90, false);
    }

    #[test]
    fn nothing_is_awaited_for_longer_than_the_bound() {
        let arrivals = Arrivals::new(10, 0);
        for now in (40..240).step_by(5) {
            arrivals.note(500, now);
            assert_eq!(arrivals.awaits(1000, 100, now), now < 140, "{now}");
        }
        // The next range waits anew.
        assert!(arrivals.awaits(1500, 100, 240));
    }

    #[test]
    fn a_clock_that_goes_backwards_ends_no_wait() {
        let arrivals = Arrivals::new(10, 1000);
        arrivals.note(500, 1005);
        arrivals.note(2000, 3);
        assert!(arrivals.awaits(1000, 100, 4));
        assert!(!arrivals.awaits(1000, 100, 24));
    }

    #[test]
    fn without_a_quiet_nothing_is_awaited() {
        let arrivals = Arrivals::new(0, 0);
        arrivals.note(500, 1);
        assert!(!arrivals.awaits(1000, 100, 1));
    }
}
