//! Series, or other items, evaluated by several threads and handed on in their order.
//!
//! What each item comes to depends on that item alone, and whoever takes what comes of them sees it one after
//! the other as if there were one thread: an answer is the same to the bit, however many there are.
//!
//! The thread of the query begins alone and measures. Others help where what is left would take it longer than a
//! thread costs; it goes on to evaluate beside them, whenever what it has to hand on next is not there yet.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use model::Labels;

use super::{Context, Grid, Series, Size};
use crate::error::QueryError;
use crate::read::{Columns, Select, SeriesReader};

/// Work for less time than this is not worth another thread: starting one and waiting for it takes a tenth of it.
const WORTH_A_THREAD: Duration = Duration::from_micros(500);

/// How many items are evaluated between two looks at the clock.
const TIMED_ITEMS: usize = 8;

/// Items that a thread evaluates before it hands them on: few where each has many steps, so that what waits takes
/// little memory, and many where handing on costs as much as evaluating some of them.
const BATCH_ITEMS: RangeInclusive<usize> = 4..=512;

/// Steps of all items of a batch together.
const BATCH_STEPS: usize = 1 << 14;

/// How many batches may be evaluated or wait for each thread, which bounds the memory of what waits.
const BATCHES_AHEAD_MAX: usize = 3;

/// Makes something of what a reader reads; `None` where nothing comes of it. Columns are scratch space.
pub(crate) type EvaluateSeries<'e, T> =
    dyn Fn(&dyn SeriesReader, &mut Columns) -> Result<Option<T>, QueryError> + Sync + 'e;

/// Makes something of the item at a place; `None` where nothing comes of it. The scratch space is the thread's own.
type Evaluate<'e, S, T> = dyn Fn(usize, &mut S) -> Result<Option<T>, QueryError> + Sync + 'e;

/// What comes of an item, with what it holds.
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
    evaluate: &EvaluateSeries<'_, T>,
    sink: &mut Take<'_, T>,
) -> Result<(), QueryError> {
    let (readers, held) = cx.select(request, ordered)?;
    let of_place = |place: usize, columns: &mut Columns| evaluate(&*readers[place], columns);
    over(readers.len(), grid.count, cx, &of_place, sink)?;
    cx.release(held);
    Ok(())
}

/// Evaluates so many items, each of so many steps, and hands what comes of them to `sink` in their order.
pub(crate) fn over<S: Default, T: Held>(
    count: usize,
    steps: usize,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_, S, T>,
    sink: &mut Take<'_, T>,
) -> Result<(), QueryError> {
    let batch = (BATCH_STEPS / steps.max(1)).clamp(*BATCH_ITEMS.start(), *BATCH_ITEMS.end());
    run(count, batch, WORTH_A_THREAD, cx, evaluate, sink)
}

fn run<S: Default, T: Held>(
    count: usize,
    batch_items: usize,
    worth: Duration,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_, S, T>,
    sink: &mut Take<'_, T>,
) -> Result<(), QueryError> {
    let mut started = None;
    let mut scratch = S::default();
    for place in 0..count {
        if place % TIMED_ITEMS == 0 && cx.threads > 1 {
            let started = *started.get_or_insert_with(Instant::now);
            let left = count - place;
            let expected = started.elapsed().as_secs_f64() * left as f64 / place.max(1) as f64;
            if place > 0 && expected > worth.as_secs_f64() {
                // A thread without a batch of its own would find nothing to do.
                let batch_items = batch_items.min(left / cx.threads / 4).max(*BATCH_ITEMS.start());
                return Batches::new(place..count, batch_items, cx.threads).run(
                    cx,
                    evaluate,
                    &mut scratch,
                    sink,
                );
            }
        }
        cx.check()?;
        if let Some(found) = evaluate(place, &mut scratch)? {
            sink(found)?;
        }
    }
    Ok(())
}

/// Items in batches that threads take as they come to them.
struct Batches<T> {
    items: Range<usize>,
    batch_items: usize,
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
    /// How many threads wait for a change.
    waiting: usize,
    /// The query goes no further.
    ended: bool,
}

impl<T: Held> Batches<T> {
    fn new(items: Range<usize>, batch_items: usize, threads: usize) -> Self {
        let progress = Progress { next: 0, passed: 0, ready: BTreeMap::new(), waiting: 0, ended: false };
        Self {
            count: items.len().div_ceil(batch_items),
            items,
            batch_items,
            threads,
            progress: Mutex::new(progress),
            changed: Condvar::new(),
        }
    }

    fn run<S: Default>(
        &self,
        cx: &Context<'_>,
        evaluate: &Evaluate<'_, S, T>,
        scratch: &mut S,
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
                let Some(answer) = self.answer(batch, cx, evaluate, scratch) else {
                    // The scope passes the panic on that has ended a thread.
                    return Ok(());
                };
                for found in answer? {
                    cx.release(found.size());
                    sink(found)?;
                }
            }
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Progress<T>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, mut guard: MutexGuard<'g, Progress<T>>) -> MutexGuard<'g, Progress<T>> {
        guard.waiting += 1;
        let mut guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        guard.waiting -= 1;
        guard
    }

    /// Changes the progress and wakes up who waits for that.
    fn change(&self, change: impl FnOnce(&mut Progress<T>)) {
        let mut progress = self.lock();
        change(&mut progress);
        self.tell(progress);
    }

    fn tell(&self, progress: MutexGuard<'_, Progress<T>>) {
        // To wake nobody up is a call to the system all the same.
        let anyone_waits = progress.waiting > 0;
        drop(progress);
        if anyone_waits {
            self.changed.notify_all();
        }
    }

    fn batch<S>(&self, batch: usize, cx: &Context<'_>, evaluate: &Evaluate<'_, S, T>, scratch: &mut S) {
        let from = self.items.start + batch * self.batch_items;
        let to = (from + self.batch_items).min(self.items.end);
        let answer = batch_of(from..to, cx, evaluate, scratch);
        self.change(|progress| {
            progress.ready.insert(batch, answer);
        });
    }

    /// Evaluates batches until there are no more.
    fn help<S: Default>(&self, cx: &Context<'_>, evaluate: &Evaluate<'_, S, T>) {
        let mut scratch = S::default();
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
            self.batch(batch, cx, evaluate, &mut scratch);
        }
    }

    /// What has come of a batch; until it is there, others are evaluated. `None` where it never will be.
    fn answer<S>(
        &self,
        wanted: usize,
        cx: &Context<'_>,
        evaluate: &Evaluate<'_, S, T>,
        scratch: &mut S,
    ) -> Option<Answer<T>> {
        let mut progress = self.lock();
        loop {
            if let Some(answer) = progress.ready.remove(&wanted) {
                progress.passed = wanted + 1;
                self.tell(progress);
                return Some(answer);
            }
            if progress.ended {
                return None;
            }
            if progress.next < self.count && !progress.is_far_ahead(self) {
                let batch = progress.next;
                progress.next += 1;
                drop(progress);
                self.batch(batch, cx, evaluate, scratch);
                progress = self.lock();
            } else {
                progress = self.wait(progress);
            }
        }
    }
}

impl<T> Progress<T> {
    fn is_far_ahead(&self, batches: &Batches<T>) -> bool {
        self.next < batches.count && self.next >= self.passed + BATCHES_AHEAD_MAX * batches.threads
    }
}

/// Ends the work of all threads when it is dropped: in any case, or by a panic alone.
struct Ending<'b, T: Held> {
    batches: &'b Batches<T>,
    always: bool,
}

impl<T: Held> Drop for Ending<'_, T> {
    fn drop(&mut self) {
        if self.always || std::thread::panicking() {
            self.batches.change(|progress| progress.ended = true);
        }
    }
}

fn batch_of<S, T: Held>(
    places: Range<usize>,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_, S, T>,
    scratch: &mut S,
) -> Answer<T> {
    let mut all = Vec::with_capacity(places.len());
    for place in places {
        cx.check()?;
        if let Some(found) = evaluate(place, scratch)? {
            // It waits until the operators above come to it.
            cx.hold(found.size())?;
            all.push(found);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
