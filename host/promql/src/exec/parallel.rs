//! The series of a selector, evaluated by several threads and handed on in their order.
//!
//! What each series comes to depends on that series alone, and the operators above see the series one after
//! the other as if there were one thread: an answer is the same to the bit, however many there are.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;

use model::Labels;

use super::{Context, Grid, Series, Size};
use crate::error::QueryError;
use crate::read::{Columns, Select, SeriesReader};

/// A thread costs as much as decoding some dozens of series: fewer than this are not worth another one.
const SERIES_PER_THREAD_MIN: usize = 32;

/// Series that a thread evaluates between two looks at its channel: few where each has many steps, so that what
/// waits takes little memory, and many where a look costs as much as evaluating some of them.
const BATCH_SERIES: std::ops::RangeInclusive<usize> = 16..=512;

/// Steps of all series of a batch together.
const BATCH_STEPS: usize = 1 << 14;

/// How many batches a thread may be ahead of the operators above, which bounds the memory of what waits.
const BATCHES_AHEAD_MAX: usize = 2;

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

/// Evaluates every series that is selected and hands what comes of them to `sink`, in their order.
pub(crate) fn each<T: Held>(
    request: &Select<'_>,
    cx: &Context<'_>,
    grid: Grid,
    evaluate: &Evaluate<'_, T>,
    sink: &mut Take<'_, T>,
) -> Result<(), QueryError> {
    let (readers, held) = cx.select(request)?;
    let batch = (BATCH_STEPS / grid.count.max(1)).clamp(*BATCH_SERIES.start(), *BATCH_SERIES.end());
    run(&readers, batch, cx, evaluate, sink)?;
    cx.release(held);
    Ok(())
}

fn run<T: Held>(
    readers: &[Box<dyn SeriesReader>],
    batch_series: usize,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_, T>,
    sink: &mut Take<'_, T>,
) -> Result<(), QueryError> {
    // A thread without a batch of its own would find nothing to do.
    let batch_series = batch_series.min(readers.len() / cx.threads.max(1) / 4).max(*BATCH_SERIES.start());
    let threads = cx.threads.min(readers.len() / SERIES_PER_THREAD_MIN);
    if threads > 1
        && let Some(result) = threaded(readers, batch_series, threads, cx, evaluate, sink)
    {
        return result;
    }
    let mut columns = Columns::default();
    for reader in readers {
        cx.check()?;
        if let Some(series) = evaluate(&**reader, &mut columns)? {
            sink(series)?;
        }
    }
    Ok(())
}

/// `None` where the system gives no threads; nothing was handed on then.
fn threaded<T: Held>(
    readers: &[Box<dyn SeriesReader>],
    batch_series: usize,
    threads: usize,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_, T>,
    sink: &mut Take<'_, T>,
) -> Option<Result<(), QueryError>> {
    std::thread::scope(|scope| {
        let mut answers: Vec<Receiver<Answer<T>>> = Vec::with_capacity(threads);
        for thread in 0..threads {
            let (send, receive) = sync_channel(BATCHES_AHEAD_MAX);
            let work = move || {
                let mut columns = Columns::default();
                for batch in readers.chunks(batch_series).skip(thread).step_by(threads) {
                    let answer = batch_of(batch, cx, evaluate, &mut columns);
                    let failed = answer.is_err();
                    // Nobody listens once the query has ended early.
                    if send.send(answer).is_err() || failed {
                        return;
                    }
                }
            };
            Builder::new().name("promql".to_owned()).spawn_scoped(scope, work).ok()?;
            answers.push(receive);
        }
        for batch in 0..readers.len().div_ceil(batch_series) {
            // A thread ends before its last batch only by a panic, which the scope passes on.
            let Ok(answer) = answers[batch % threads].recv() else { break };
            let passed = answer.and_then(|all| {
                all.into_iter().try_for_each(|series| {
                    cx.release(series.size());
                    sink(series)
                })
            });
            if passed.is_err() {
                return Some(passed);
            }
        }
        Some(Ok(()))
    })
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
