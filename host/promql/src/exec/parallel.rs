//! The series of a selector, evaluated by several threads and handed on in their order.
//!
//! What each series comes to depends on that series alone, and the operators above see the series one after
//! the other as if there were one thread: an answer is the same to the bit, however many there are.
//!
//! The thread of the query begins alone and measures. Others help where what is left would take it longer than a
//! thread costs; it goes on to evaluate beside them, whenever what it has to hand on next is not there yet.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use model::Labels;

use super::{Context, Grid, Series, Size};
use crate::error::QueryError;
use crate::read::{Columns, Select, SeriesReader};

/// Work for less time than this is not worth another thread: starting one and waiting for it takes a tenth of it.
const WORTH_A_THREAD: Duration = Duration::from_micros(500);

/// How many series are evaluated between two looks at the clock.
const TIMED_SERIES: usize = 8;

/// Series that a thread evaluates before it hands them on: few where each has many steps, so that what waits takes
/// little memory, and many where handing on costs as much as evaluating some of them.
const BATCH_SERIES: std::ops::RangeInclusive<usize> = 4..=512;

/// Steps of all series of a batch together.
const BATCH_STEPS: usize = 1 << 14;

/// How many batches may be evaluated or wait for each thread, which bounds the memory of what waits.
const BATCHES_AHEAD_MAX: usize = 3;

/// Makes something of what a reader reads; `None` where nothing comes of it. Columns are scratch space.
pub(crate) type Evaluate<'e, T> =
    dyn Fn(&dyn SeriesReader, &mut Columns) -> Result<Option<T>, QueryError> + Sync + 'e;

/// What comes of a series, with what it holds.
pub(crate) trait Held: Send {
    fn size(&self) -> Size;
}

impl Held for Series {
    fn size(&self) -> Size {
        Size::of_series(self)
    }
}

impl Held for (Labels, Columns) {
    fn size(&self) -> Size {
        Size::of_labels(&self.0) + Size::of_columns(&self.1)
    }
}

type Answer<T> = Result<Vec<T>, QueryError>;

type Take<'s, T> = dyn FnMut(T) -> Result<(), QueryError> + 's;

/// Evaluates every series that is selected and hands what comes of them to `sink`, in the order of their labels or in
/// any, which is always the same.
pub(crate) fn each<T: Held>(
    request: &Select<'_>,
    ordered: bool,
    cx: &Context<'_>,
    grid: Grid,
    evaluate: &Evaluate<'_, T>,
    sink: &mut Take<'_, T>,
) -> Result<(), QueryError> {
    let (readers, held) = cx.select(request, ordered)?;
    let batch = (BATCH_STEPS / grid.count.max(1)).clamp(*BATCH_SERIES.start(), *BATCH_SERIES.end());
    run(&readers, batch, WORTH_A_THREAD, cx, evaluate, sink)?;
    cx.release(held);
    Ok(())
}

fn run<T: Held>(
    readers: &[Box<dyn SeriesReader>],
    batch_series: usize,
    worth: Duration,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_, T>,
    sink: &mut Take<'_, T>,
) -> Result<(), QueryError> {
    let started = Instant::now();
    let mut columns = Columns::default();
    let mut done = 0;
    for some in readers.chunks(TIMED_SERIES) {
        if cx.threads > 1 && done > 0 {
            let left = readers.len() - done;
            let expected = started.elapsed().as_secs_f64() * left as f64 / done as f64;
            if expected > worth.as_secs_f64() {
                // A thread without a batch of its own would find nothing to do.
                let batch_series = batch_series.min(left / cx.threads / 4).max(*BATCH_SERIES.start());
                let batches = Batches::new(&readers[done..], batch_series, cx.threads);
                return batches.run(cx, evaluate, &mut columns, sink);
            }
        }
        for reader in some {
            cx.check()?;
            if let Some(series) = evaluate(&**reader, &mut columns)? {
                sink(series)?;
            }
        }
        done += some.len();
    }
    Ok(())
}

/// Series in batches that threads take as they come to it.
struct Batches<'r, T> {
    readers: &'r [Box<dyn SeriesReader>],
    batch_series: usize,
    count: usize,
    threads: usize,
    progress: Mutex<Progress<T>>,
    changed: Condvar,
}

struct Progress<T> {
    /// The first batch that no thread has taken.
    next: usize,
    /// How many have been handed on.
    passed: usize,
    /// Those that are evaluated and wait for the ones before them.
    ready: BTreeMap<usize, Answer<T>>,
    /// The query goes no further.
    ended: bool,
}

impl<'r, T: Held> Batches<'r, T> {
    fn new(readers: &'r [Box<dyn SeriesReader>], batch_series: usize, threads: usize) -> Self {
        let progress = Progress { next: 0, passed: 0, ready: BTreeMap::new(), ended: false };
        Self {
            readers,
            batch_series,
            count: readers.len().div_ceil(batch_series),
            threads,
            progress: Mutex::new(progress),
            changed: Condvar::new(),
        }
    }

    fn run(
        &self,
        cx: &Context<'_>,
        evaluate: &Evaluate<'_, T>,
        columns: &mut Columns,
        sink: &mut Take<'_, T>,
    ) -> Result<(), QueryError> {
        std::thread::scope(|scope| {
            for _ in 1..self.threads {
                let work = || self.help(cx, evaluate);
                // Where the system gives no threads, there is this one.
                if Builder::new().name("promql".to_owned()).spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            let _ending = Ending { batches: self, always: true };
            for batch in 0..self.count {
                let Some(answer) = self.answer(batch, cx, evaluate, columns) else {
                    // The scope passes the panic on that has ended a thread.
                    return Ok(());
                };
                for series in answer? {
                    cx.release(series.size());
                    sink(series)?;
                }
            }
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Progress<T>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, guard: MutexGuard<'g, Progress<T>>) -> MutexGuard<'g, Progress<T>> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    fn batch(&self, batch: usize, cx: &Context<'_>, evaluate: &Evaluate<'_, T>, columns: &mut Columns) {
        let from = batch * self.batch_series;
        let to = (from + self.batch_series).min(self.readers.len());
        let answer = batch_of(&self.readers[from..to], cx, evaluate, columns);
        self.lock().ready.insert(batch, answer);
        self.changed.notify_all();
    }

    /// Evaluates batches until there are no more.
    fn help(&self, cx: &Context<'_>, evaluate: &Evaluate<'_, T>) {
        let mut columns = Columns::default();
        // A batch that never comes must not be waited for.
        let _ending = Ending { batches: self, always: false };
        loop {
            let mut progress = self.lock();
            while !progress.ended && progress.is_far_ahead(self) {
                progress = self.wait(progress);
            }
            if progress.ended || progress.next >= self.count {
                return;
            }
            let batch = progress.next;
            progress.next += 1;
            drop(progress);
            self.batch(batch, cx, evaluate, &mut columns);
        }
    }

    /// What has come of a batch; until it is there, others are evaluated. `None` where it never will be.
    fn answer(
        &self,
        wanted: usize,
        cx: &Context<'_>,
        evaluate: &Evaluate<'_, T>,
        columns: &mut Columns,
    ) -> Option<Answer<T>> {
        let mut progress = self.lock();
        loop {
            if let Some(answer) = progress.ready.remove(&wanted) {
                progress.passed = wanted + 1;
                drop(progress);
                self.changed.notify_all();
                return Some(answer);
            }
            if progress.ended {
                return None;
            }
            if progress.next < self.count && !progress.is_far_ahead(self) {
                let batch = progress.next;
                progress.next += 1;
                drop(progress);
                self.batch(batch, cx, evaluate, columns);
                progress = self.lock();
            } else {
                progress = self.wait(progress);
            }
        }
    }
}

impl<T> Progress<T> {
    fn is_far_ahead(&self, batches: &Batches<'_, T>) -> bool {
        self.next < batches.count && self.next >= self.passed + BATCHES_AHEAD_MAX * batches.threads
    }
}

/// Ends the work of all threads when it is dropped: in any case, or by a panic alone.
struct Ending<'b, 'r, T: Held> {
    batches: &'b Batches<'r, T>,
    always: bool,
}

impl<T: Held> Drop for Ending<'_, '_, T> {
    fn drop(&mut self) {
        if self.always || std::thread::panicking() {
            self.batches.lock().ended = true;
            self.batches.changed.notify_all();
        }
    }
}

fn batch_of<T: Held>(
    readers: &[Box<dyn SeriesReader>],
    cx: &Context<'_>,
    evaluate: &Evaluate<'_, T>,
    columns: &mut Columns,
) -> Answer<T> {
    let mut all = Vec::with_capacity(readers.len());
    for reader in readers {
        cx.check()?;
        if let Some(series) = evaluate(&**reader, columns)? {
            // It waits until the operators above come to it.
            cx.hold(series.size())?;
            all.push(series);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
