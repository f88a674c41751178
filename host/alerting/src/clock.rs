//! Wall time as a parameter, so that tests decide what time it is.
//!
//! Timers run on tokio's clock; only what is shown, stored or compared with samples comes from here.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use model::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now. May jump in both directions, as wall clocks do.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_system(SystemTime::now())
    }
}

/// How Go prints a time that was never set; tools compare with this very text.
pub(crate) const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// RFC 3339 in UTC, with as many decimals as needed, as Go writes times in JSON.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let Some(time) = DateTime::<Utc>::from_timestamp_millis(at.millis()) else {
        return ZERO_TIME.to_owned();
    };
    let text = time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string();
    format!("{}Z", text.trim_end_matches('0').trim_end_matches('.'))
}

/// RFC 3339 in UTC as Go writes it; nothing becomes Go's zero time, `0001-01-01T00:00:00Z`.
pub fn rfc3339_or_zero(at: Option<Timestamp>) -> String {
    at.map_or_else(|| ZERO_TIME.to_owned(), rfc3339)
}

#[cfg(test)]
pub(crate) mod testing {
    //! A wall clock that moves with tokio's, so that pausing one pauses both.

    use super::*;

    /// A wall clock tied to tokio's.
    pub(crate) struct TokioClock {
        start: tokio::time::Instant,
        base: Timestamp,
    }

    impl TokioClock {
        /// A clock that says `base_ms` now.
        pub(crate) fn starting_at(base_ms: i64) -> Self {
            Self { start: tokio::time::Instant::now(), base: Timestamp::from_millis(base_ms) }
        }
    }

    impl Clock for TokioClock {
        fn now(&self) -> Timestamp {
            self.base + self.start.elapsed()
        }
    }

    #[test]
    fn times_print_as_go_prints_them() {
        assert_eq!(rfc3339(Timestamp::from_millis(1_700_000_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(Timestamp::from_millis(1_700_000_000_120)), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339_or_zero(None), ZERO_TIME);
    }
}
