//! How often a plugin has lost its guest, and for how long it is left alone because of it.
//!
//! One loss may be an accident. From the second in a row on the plugin rests, for a time that doubles. When a rest is over
//! one call is let through, whoever else asks meanwhile: what becomes of it decides whether the plugin is back or rests again.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::call::Failure;

/// The first pause of a plugin that failed twice in a row.
const REST_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const REST_MAX: Duration = Duration::from_secs(60);

/// The losses of one plugin.
pub(crate) struct Losses {
    tally: Mutex<Tally>,
    /// The one trial that there may be at a time.
    trial: Semaphore,
}

#[derive(Default)]
struct Tally {
    /// In a row.
    count: u32,
    /// Not before this moment may there be a new guest.
    resting_until: Option<Instant>,
    /// What was lost last, for those who are turned away.
    last: String,
}

/// A call is let through to a new guest; while this lives, no other is where losses came before.
pub(crate) struct Admission<'a> {
    _trial: Option<SemaphorePermit<'a>>,
}

/// The plugin is left alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) retry_after: Duration,
    pub(crate) message: String,
}

impl Losses {
    pub(crate) fn none() -> Self {
        Self { tally: Mutex::default(), trial: Semaphore::new(1) }
    }

    /// Notes that a guest was lost, and how long to leave the plugin alone.
    pub(crate) fn lose(&self, failure: &Failure, now: Instant) {
        let mut tally = self.tally.lock();
        tally.count = tally.count.saturating_add(1);
        tally.last = format!("{} ({})", failure.message, failure.kind);
        tally.resting_until = match tally.count {
            0 | 1 => None,
            n => Some(now + REST_FIRST.saturating_mul(1 << (n - 2).min(16)).min(REST_MAX)),
        };
    }

    /// A guest has done its work and lives: what was before counts no more.
    pub(crate) fn forget(&self) {
        *self.tally.lock() = Tally::default();
    }

    /// Until when the plugin rests, if it has had to.
    pub(crate) fn resting_until(&self) -> Option<Instant> {
        self.tally.lock().resting_until
    }

    /// Whether there may be a new guest now.
    pub(crate) fn admit(&self, now: Instant) -> Result<Admission<'_>, Rest> {
        let tally = self.tally.lock();
        let Some(until) = tally.resting_until else { return Ok(Admission { _trial: None }) };
        let message = format!("failed {} times in a row, the last time: {}", tally.count, tally.last);
        let left = until.saturating_duration_since(now);
        if !left.is_zero() {
            return Err(Rest { retry_after: left, message });
        }
        match self.trial.try_acquire() {
            Ok(trial) => Ok(Admission { _trial: Some(trial) }),
            Err(_) => {
                let message = format!("{message}; another call finds out whether it works again");
                Err(Rest { retry_after: REST_FIRST, message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{FailureKind, Operation};

    fn failure() -> Failure {
        Failure {
            operation: Operation::Collect,
            kind: FailureKind::Trap,
            message: "boom".to_owned(),
            stderr: String::new(),
            lost_guest: true,
        }
    }

    /// For how long nobody is let through.
    fn rest(losses: &Losses, now: Instant) -> Option<Duration> {
        losses.admit(now).err().map(|rest| rest.retry_after)
    }

    #[test]
    fn a_plugin_that_keeps_failing_is_left_alone_for_longer_and_longer() {
        let (losses, mut now) = (Losses::none(), Instant::now());
        losses.lose(&failure(), now);
        assert_eq!(rest(&losses, now), None, "the first loss may be an accident");
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(pause);
            losses.lose(&failure(), now);
            assert_eq!(rest(&losses, now), Some(pause));
            now += pause;
            assert_eq!(rest(&losses, now), None);
        }
        losses.tally.lock().count = u32::MAX;
        losses.lose(&failure(), now);
        let message = format!("failed {} times in a row, the last time: boom (trap)", u32::MAX);
        assert_eq!(losses.admit(now).err(), Some(Rest { retry_after: REST_MAX, message }));
        losses.forget();
        assert_eq!(rest(&losses, now), None);
    }

    #[test]
    fn after_a_rest_one_call_is_let_through() {
        let (losses, now) = (Losses::none(), Instant::now());
        // Accidents of several guests at once are nobody's trial.
        losses.lose(&failure(), now);
        let accident = losses.admit(now);
        assert!(accident.is_ok() && losses.admit(now).is_ok());
        losses.lose(&failure(), now);

        let later = now + REST_FIRST;
        let trial = losses.admit(later);
        assert!(trial.is_ok());
        let message = "failed 2 times in a row, the last time: boom (trap); another call finds out whether it works again";
        let turned_away = Rest { retry_after: REST_FIRST, message: message.to_owned() };
        assert_eq!(losses.admit(later).err(), Some(turned_away));
        // One that its caller gave up decides nothing: the next may try.
        drop(trial);
        let trial = losses.admit(later);
        assert!(trial.is_ok());
        losses.forget();
        assert!(losses.admit(later).is_ok(), "it works again, for all");
        drop(trial);

        losses.lose(&failure(), later);
        losses.lose(&failure(), later);
        assert_eq!(rest(&losses, later), Some(REST_FIRST));
    }
}
