//! Queries that were asked lately: their trees, so that they are not read again, and how long they took.
//!
//! Dashboards and rules ask the same again and again. What is kept is bounded by the size of the texts, which the size
//! of the trees follows; when it is full, what was not asked for since it was half full goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahash::AHashMap;

use crate::engine::Times;
use crate::parser::Expr;
use crate::plan::Repeats;

/// How many bytes all texts of half of what is kept may have. A tree takes some ten to twenty times as much.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Longer ones are not kept: they are made by programs and rarely come twice.
const QUERY_BYTES_MAX: usize = 4 << 10;

/// Queries that were asked lately.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Halves>);

/// What was asked for since the young half was begun, and what was before.
#[derive(Debug, Default)]
struct Halves {
    young: AHashMap<Box<str>, Arc<Known>>,
    young_bytes: usize,
    old: AHashMap<Box<str>, Arc<Known>>,
}

/// A query that was asked before.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its tree, narrowed.
    pub(crate) expr: Expr,
    /// What it writes more than once.
    pub(crate) repeats: Repeats,
    /// Nanoseconds that it took the last time at one time; zero where it was not asked so.
    instant: AtomicU64,
    /// Nanoseconds that it took the last time as a range, for each step.
    step: AtomicU64,
}

impl Recent {
    pub(crate) fn get(&self, query: &str) -> Option<Arc<Known>> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = halves.young.get(query) {
            return Some(Arc::clone(known));
        }
        let (text, known) = halves.old.remove_entry(query)?;
        halves.put(text, Arc::clone(&known));
        Some(known)
    }

    /// Keeps a query, if it is not too long.
    pub(crate) fn put(&self, query: &str, expr: Expr) -> Arc<Known> {
        let repeats = Repeats::find(query, &expr);
        let (instant, step) = (AtomicU64::new(0), AtomicU64::new(0));
        let known = Arc::new(Known { expr, repeats, instant, step });
        if query.len() <= QUERY_BYTES_MAX {
            let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            halves.put(query.into(), Arc::clone(&known));
        }
        known
    }
}

impl Halves {
    fn put(&mut self, text: Box<str>, known: Arc<Known>) {
        if self.young_bytes + text.len() > TEXT_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += text.len();
        self.young.insert(text, known);
    }
}

impl Known {
    /// How long it will take, as far as the last time tells; `None` where it was not evaluated in that way.
    pub(crate) fn expected(&self, times: Times) -> Option<Duration> {
        let nanos = match steps(times) {
            None => self.instant.load(Ordering::Relaxed),
            Some(steps) => self.step.load(Ordering::Relaxed).saturating_mul(steps),
        };
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Notes how long it took.
    pub(crate) fn took(&self, times: Times, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        match steps(times) {
            None => self.instant.store(nanos, Ordering::Relaxed),
            Some(steps) => self.step.store((nanos / steps).max(1), Ordering::Relaxed),
        }
    }
}

/// How many steps a range has; `None` for an instant.
fn steps(times: Times) -> Option<u64> {
    match times {
        Times::Instant(_) => None,
        Times::Range { start, end, step_ms } => {
            Some(u64::try_from(end.since(start) / step_ms.max(1)).unwrap_or(0).saturating_add(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn tree() -> Expr {
        crate::parse("1").unwrap()
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let recent = Recent::default();
        recent.put("kept", tree());
        recent.put("forgotten", tree());
        let long = |number: usize| format!("{number}{}", "x".repeat(QUERY_BYTES_MAX - 10));
        for number in 0..3 * TEXT_BYTES_MAX / QUERY_BYTES_MAX {
            recent.put(&long(number), tree());
            assert!(recent.get("kept").is_some());
        }
        assert!(recent.get("forgotten").is_none());
        assert!(recent.get(&long(0)).is_none());
        recent.put(&"x".repeat(QUERY_BYTES_MAX + 1), tree());
        assert!(recent.get(&"x".repeat(QUERY_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn times_are_expected_as_they_were() {
        let known = Recent::default().put("1", tree());
        let instant = Times::Instant(Timestamp::EPOCH);
        let range = |steps: i64| Times::Range {
            start: Timestamp::EPOCH,
            end: Timestamp::from_millis(steps - 1),
            step_ms: 1,
        };
        known.took(instant, Duration::from_micros(3));
        assert_eq!(known.expected(instant), Some(Duration::from_micros(3)));
        assert_eq!(known.expected(range(10)), None);
        known.took(range(10), Duration::from_micros(20));
        assert_eq!(known.expected(range(5)), Some(Duration::from_micros(10)));
    }
}
