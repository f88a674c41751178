//! The queries under way: what `/api/v1/status/active_queries` shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use promql::Times;

/// A long query is shown up to here; texts of queries may be large.
const TEXT_BYTES_MAX: usize = 2_000;

/// All queries under way; clones share them.
#[derive(Clone, Default)]
pub(crate) struct ActiveQueries(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: u64,
    queries: BTreeMap<u64, ActiveQuery>,
}

/// A query under way.
#[derive(Debug, Clone)]
pub(crate) struct ActiveQuery {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) times: Times,
    /// Who asks; `None` for rules and detectors.
    pub(crate) client: Option<Arc<str>>,
    pub(crate) asked_at: SystemTime,
    pub(crate) asked: Instant,
    /// When its evaluation began; until then it waits.
    pub(crate) started: Option<Instant>,
}

/// Keeps a query in the list until it is dropped.
pub(crate) struct Listed {
    list: ActiveQueries,
    id: u64,
}

impl ActiveQueries {
    /// Puts a query on the list.
    pub(crate) fn add(&self, text: &str, times: Times, client: Option<Arc<str>>) -> Listed {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut state = self.0.lock();
        let id = state.next;
        state.next += 1;
        let query = ActiveQuery {
            id,
            text: text[..end].to_owned(),
            times,
            client,
            asked_at: SystemTime::now(),
            asked: Instant::now(),
            started: None,
        };
        state.queries.insert(id, query);
        Listed { list: self.clone(), id }
    }

    /// Those that are there now, the oldest first.
    pub(crate) fn list(&self) -> Vec<ActiveQuery> {
        self.0.lock().queries.values().cloned().collect()
    }
}

impl Listed {
    /// The evaluation begins.
    pub(crate) fn start(&self) {
        if let Some(query) = self.list.0.lock().queries.get_mut(&self.id) {
            query.started = Some(Instant::now());
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.list.0.lock().queries.remove(&self.id);
    }
}
