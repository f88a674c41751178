//! How many requests are let through: `rate_limit` of the web configuration, a bucket of tokens for all clients together.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// See the module. A token comes every `interval`, and at most `burst` are kept.
pub(super) struct RateLimit {
    interval: Duration,
    burst: u32,
    state: Mutex<State>,
}

struct State {
    tokens: u32,
    /// When the latest token came.
    since: Instant,
}

impl RateLimit {
    /// Begins with all tokens. `interval` is above zero.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, state: Mutex::new(State { tokens: burst, since: Instant::now() }) }
    }

    /// Takes a token, if there is one.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let came = now.saturating_duration_since(state.since).as_nanos() / self.interval.as_nanos().max(1);
        if came >= u128::from(self.burst - state.tokens) {
            (state.tokens, state.since) = (self.burst, now);
        } else {
            // Less than the burst, which fits.
            let came = came as u32;
            state.tokens += came;
            state.since += self.interval * came;
        }
        let admitted = state.tokens > 0;
        state.tokens -= u32::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_one_by_one_and_are_kept_up_to_the_burst() {
        let limit = RateLimit::new(Duration::from_millis(100), 2);
        let began = Instant::now();
        for (after_ms, admitted) in [
            (0, true),
            (1, true),
            (2, false),
            (99, false),
            (110, true),
            (120, false),
            (205, true),
            (206, false),
            (5000, true),
            (5000, true),
            (5000, false),
        ] {
            assert_eq!(limit.admits(began + Duration::from_millis(after_ms)), admitted, "{after_ms}");
        }
    }
}
