//! Discoverers: asked at an interval, or when something has changed, for the targets there are.
//!
//! Each has a task of its own. Its groups are compared by source with what it said before, and only a change
//! reaches the jobs. An error keeps the last good groups: a registry that is down must not end the scraping of
//! everything it once listed.

pub(crate) mod file;
mod groups;
pub(crate) mod http;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::target::TargetGroup;
use crate::worker::Shared;

pub use groups::groups_of;

/// Discoverers are not asked more often than this, whatever they wish.
const POLL_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// All the targets a discoverer knows of.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Snapshot {
    /// All groups there are; a source that is missing is gone.
    pub groups: Vec<TargetGroup>,
    /// When to ask again; the configured interval where there is none.
    pub next_poll: Option<Duration>,
}

/// Finds targets.
#[async_trait]
pub trait Discover: Send + Sync {
    /// Looks once.
    ///
    /// # Errors
    /// A text for people; the groups found before stay.
    async fn poll(&self) -> Result<Snapshot, String>;

    /// Waits until looking again is worth it before its time; for ever, where nothing tells.
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }
}

/// A configured discoverer.
#[derive(Clone)]
pub struct Discoverer {
    /// What jobs call it; unique.
    pub name: String,
    /// How it finds targets: the word before `_sd_configs`.
    pub mechanism: String,
    /// How often it is asked.
    pub interval: Duration,
    /// Whom to ask.
    pub source: Arc<dyn Discover>,
}

/// Takes the groups of the discoverer of that name.
pub(crate) type Sink = Box<dyn Fn(&str, Vec<TargetGroup>) + Send + Sync>;

/// Asks until the other end of `discoverer` is gone. Another discoverer is asked at once, with the groups of
/// the one before kept until it answers.
pub(crate) async fn run(shared: Arc<Shared>, mut discoverer: watch::Receiver<Discoverer>, sink: Sink) {
    let mut known: Option<BTreeMap<String, TargetGroup>> = None;
    loop {
        let current = discoverer.borrow_and_update().clone();
        let began = Instant::now();
        let polled = tokio::select! {
            polled = current.source.poll() => polled,
            changed = discoverer.changed() => if changed.is_err() { return } else { continue },
        };
        shared.metrics.discovery.asked(&current.mechanism, &current.name, began.elapsed(), polled.is_ok());
        let mut wait = current.interval;
        match polled {
            Ok(snapshot) => {
                wait = snapshot.next_poll.unwrap_or(wait);
                let groups: BTreeMap<String, TargetGroup> =
                    snapshot.groups.into_iter().map(|group| (group.source.clone(), group)).collect();
                if known.as_ref() != Some(&groups) {
                    shared.metrics.discovery.found();
                    sink(&current.name, groups.values().cloned().collect());
                    known = Some(groups);
                }
            }
            Err(error) => {
                tracing::warn!(discoverer = current.name, error, "discovery failed; its last targets stay");
            }
        }
        tokio::select! {
            changed = discoverer.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait.max(POLL_INTERVAL_MIN)) => {}
            () = current.source.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests;
