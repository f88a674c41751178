//! How a plugin that runs has been doing: what operators see of it, and which failures are news.
//!
//! A failure is news when it is the first of its operation, or another one than the last. A plugin that goes on
//! failing in the same way is counted, and not told of again until it has succeeded in between.

use std::collections::HashMap;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::error::{CallError, FailureKind, Operation};

/// How a plugin that runs has been doing.
#[derive(Debug, Clone)]
pub struct InstanceStatus {
    /// What the next call may expect.
    pub state: InstanceState,
    /// The last failure of the plugin itself, however long ago; calls that it was spared do not count.
    pub last_error: Option<LastError>,
    /// Calls asked for since it was started, those included that it was spared.
    pub calls: u64,
    /// How many of them failed. Those that their caller gave up did not.
    pub failures: u64,
    /// Linear memory that its instances hold together.
    pub memory_bytes: u64,
}

/// What the next call of a plugin may expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceState {
    /// Nothing bad: whatever was called last has succeeded.
    Running,
    /// No answer: the plugin failed repeatedly and is left alone for a while.
    Suspended,
    /// A new attempt: the last call failed.
    Failed,
    /// No answer: an operator has paused it.
    Paused,
}

impl InstanceState {
    /// One word, as the API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Failed => "failed",
            Self::Paused => "paused",
        }
    }
}

/// A failure that is over.
#[derive(Debug, Clone)]
pub struct LastError {
    /// When it was.
    pub at: SystemTime,
    /// What failed: what was called, or the start of a new instance for it.
    pub operation: Operation,
    /// Of which kind it was.
    pub kind: FailureKind,
    /// What happened, in one line.
    pub message: String,
    /// What the guest wrote to its standard error during the call; the end of it where it was long.
    pub stderr: String,
}

/// What is remembered of an instance's calls.
#[derive(Default)]
pub(crate) struct Health {
    calls: u64,
    failures: u64,
    last_error: Option<LastError>,
    /// What fails at present, by what was asked: operation, kind and message of the last failure.
    failing: HashMap<Operation, (Operation, &'static str, String)>,
    /// Not before this moment will the plugin be called again.
    resting_until: Option<Instant>,
}

impl Health {
    /// Notes that a call was asked for.
    pub(crate) fn called(&mut self) {
        self.calls += 1;
    }

    /// Notes a success, and says whether it comes after failures.
    pub(crate) fn succeeded(&mut self, asked: Operation) -> bool {
        self.resting_until = None;
        self.failing.remove(&asked).is_some()
    }

    /// Notes a failure of what was asked, and until when the plugin rests because of it; says whether it is news.
    pub(crate) fn failed(
        &mut self,
        asked: Operation,
        error: &CallError,
        resting_until: Option<Instant>,
    ) -> bool {
        self.failures += 1;
        // What happened is what led to the suspension.
        if matches!(error.kind, FailureKind::Suspended { .. } | FailureKind::Paused) {
            return false;
        }
        self.resting_until = resting_until;
        self.last_error = Some(LastError {
            at: SystemTime::now(),
            operation: error.operation,
            kind: error.kind.clone(),
            message: error.message.clone(),
            stderr: error.stderr.clone(),
        });
        let failure = (error.operation, error.kind.as_str(), error.message.clone());
        self.failing.insert(asked, failure.clone()).is_none_or(|previous| previous != failure)
    }

    pub(crate) fn status(&self, now: Instant) -> InstanceStatus {
        let state = if self.resting_until.is_some_and(|until| until > now) {
            InstanceState::Suspended
        } else if self.failing.is_empty() {
            InstanceState::Running
        } else {
            InstanceState::Failed
        };
        InstanceStatus {
            state,
            last_error: self.last_error.clone(),
            calls: self.calls,
            failures: self.failures,
            memory_bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn error(operation: Operation, kind: FailureKind, message: &str) -> CallError {
        let (plugin, version) = (Arc::from("p"), Arc::from("1"));
        CallError { plugin, version, operation, kind, message: message.to_owned(), stderr: String::new() }
    }

    #[test]
    fn only_what_is_new_is_news() {
        let mut health = Health::default();
        let boom = error(Operation::Collect, FailureKind::Trap, "boom");
        assert!(!health.succeeded(Operation::Collect));
        assert!(health.failed(Operation::Collect, &boom, None), "the first");
        assert!(!health.failed(Operation::Collect, &boom, None), "the same again");
        let other = error(Operation::Init, FailureKind::Trap, "boom");
        assert!(health.failed(Operation::Collect, &other, None), "another step of the same call");
        assert!(health.failed(Operation::Collect, &boom, None), "another than the last");
        assert!(!health.succeeded(Operation::Poll), "what polls is not what collects");
        assert!(!health.failed(Operation::Collect, &boom, None));
        assert!(health.succeeded(Operation::Collect));
        assert!(health.failed(Operation::Collect, &boom, None), "the first after a success");
    }

    #[test]
    fn the_state_follows_the_last_calls() {
        let (mut health, now) = (Health::default(), Instant::now());
        let state = |health: &Health, now| health.status(now).state;
        assert_eq!(state(&health, now), InstanceState::Running);
        health.failed(Operation::Poll, &error(Operation::Poll, FailureKind::Trap, "boom"), None);
        assert_eq!(state(&health, now), InstanceState::Failed);
        let until = now + Duration::from_secs(1);
        health.failed(Operation::Poll, &error(Operation::Poll, FailureKind::Trap, "boom"), Some(until));
        let suspended = FailureKind::Suspended { retry_after: Duration::from_secs(1) };
        assert!(!health.failed(Operation::Poll, &error(Operation::Poll, suspended, "resting"), None));
        assert_eq!(state(&health, now), InstanceState::Suspended);
        assert_eq!(state(&health, until), InstanceState::Failed);
        health.succeeded(Operation::Poll);
        assert_eq!(state(&health, now), InstanceState::Running);
        let status = health.status(now);
        assert_eq!((status.failures, status.last_error.unwrap().message.as_str()), (3, "boom"));
    }
}
