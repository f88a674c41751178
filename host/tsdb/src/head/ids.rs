//! Numbers for new series.
//!
//! Each batch that makes series takes a row of neighbours, so that its series share pages whatever other batches make
//! meanwhile: later batches of the same sender take few locks, and postings of what its series have in common are runs.
//! What is left of a row goes to the next batch. No number is ever used twice.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::page::PAGE_SERIES;

/// All numbers that were not given out.
#[derive(Debug)]
pub(super) struct Ids {
    next: AtomicU32,
    /// What is left of rows.
    left: Mutex<Vec<Range<u32>>>,
}

/// Numbers that one batch may use.
#[derive(Debug, Default)]
pub(crate) struct IdRow(Range<u32>);

impl Ids {
    pub(super) const fn new() -> Self {
        Self { next: AtomicU32::new(1), left: Mutex::new(Vec::new()) }
    }

    /// The next number of a row, which becomes a new one where nothing is left of it; `None` once all numbers are used.
    pub(super) fn next(&self, row: &mut IdRow) -> Option<u32> {
        if row.0.is_empty() {
            row.0 = self.take()?;
        }
        row.0.next()
    }

    fn take(&self) -> Option<Range<u32>> {
        if let Some(left) = self.left.lock().pop() {
            return Some(left);
        }
        // Up to the end of a page.
        let end = |next: u32| (next | (PAGE_SERIES as u32 - 1)).checked_add(1);
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end).ok()?;
        Some(start..end(start)?)
    }

    /// Takes back what a batch has not used.
    pub(super) fn give_back(&self, row: IdRow) {
        if !row.0.is_empty() {
            self.left.lock().push(row.0);
        }
    }

    /// Notes that a number is in use. Only while no batch takes any.
    pub(super) fn is_used(&self, id: u32) {
        self.next.fetch_max(id.saturating_add(1), Ordering::Relaxed);
    }
}

impl IdRow {
    /// Whether the batch has made series, and will probably make more.
    pub(super) fn is_begun(&self) -> bool {
        self.0.end != 0
    }
}
