//! What the server has to say to whoever looks at it: that a reload has failed, that it is shutting down.

use std::sync::Arc;
use std::time::SystemTime;

use futures::{Stream, StreamExt as _};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

/// As Prometheus says it, since scripts look for it.
pub(crate) const RELOAD_FAILED: &str = "Configuration reload has failed.";
pub(crate) const SHUTTING_DOWN: &str = "The server is shutting down.";

/// Changes that a follower may be behind before it misses some.
const BACKLOG: usize = 64;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    text: &'static str,
    date: String,
    /// Whether it stands; one that no longer does is told once more.
    active: bool,
}

/// All that stand, and who follows them.
pub(crate) struct Notices {
    active: Mutex<Vec<Notice>>,
    changes: broadcast::Sender<Notice>,
    places: Arc<Semaphore>,
}

impl Notices {
    /// None yet, to be followed by at most `followers_max`.
    pub(crate) fn new(followers_max: usize) -> Self {
        Self {
            active: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
            places: Arc::new(Semaphore::new(followers_max.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub(crate) fn active(&self) -> Vec<Notice> {
        self.active.lock().clone()
    }

    /// Makes a notice stand, or stand no longer.
    pub(crate) fn set(&self, text: &'static str, active: bool) {
        let mut standing = self.active.lock();
        let known = standing.iter().position(|notice| notice.text == text);
        let notice = match (known, active) {
            (None, true) => {
                let date = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
                let date = date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                standing.push(Notice { text, date, active });
                standing.last().cloned()
            }
            (Some(at), false) => Some(Notice { active, ..standing.remove(at) }),
            _ => None,
        };
        // Under the lock, so that who begins to follow misses nothing and hears nothing twice.
        if let Some(notice) = notice {
            // Nobody may be listening.
            let _ = self.changes.send(notice);
        }
    }

    /// The notices that stand and every change from now on; nothing where too many follow already.
    pub(crate) fn follow(&self) -> Option<impl Stream<Item = Notice> + use<>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (standing, changes) = {
            let standing = self.active.lock();
            (standing.clone(), self.changes.subscribe())
        };
        Some(futures::stream::iter(standing).chain(follow(changes, place)))
    }
}

/// What changes, for as long as the place is held.
fn follow(
    changes: broadcast::Receiver<Notice>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Notice> + use<> {
    futures::stream::unfold((changes, place), |(mut changes, place)| async {
        loop {
            match changes.recv().await {
                Ok(notice) => return Some((notice, (changes, place))),
                // Whoever was too slow goes on with what is newest.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn followers_hear_what_stands_and_what_changes() {
        let notices = Notices::new(1);
        notices.set(RELOAD_FAILED, true);
        notices.set(RELOAD_FAILED, true);
        assert_eq!(notices.active().len(), 1);
        let mut first = Box::pin(notices.follow().unwrap());
        assert!(notices.follow().is_none());
        notices.set(SHUTTING_DOWN, true);
        notices.set(RELOAD_FAILED, false);
        notices.set(RELOAD_FAILED, false);
        let mut heard = Vec::new();
        for _ in 0..3 {
            let notice = first.next().await.unwrap();
            heard.push((notice.text, notice.active));
        }
        assert_eq!(heard, [(RELOAD_FAILED, true), (SHUTTING_DOWN, true), (RELOAD_FAILED, false)]);
        assert_eq!(notices.active().len(), 1);
        drop(first);
        assert!(notices.follow().is_some());
    }
}
