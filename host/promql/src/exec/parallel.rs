//! The series of a selector, evaluated by several threads and handed on in their order.
//!
//! What each series comes to depends on that series alone, and the operators above see the series one after
//! the other as if there were one thread: an answer is the same to the bit, however many there are.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;

use super::{Context, Grid, Series, Sink, Size};
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

/// Makes a series of what a reader reads; `None` where nothing comes of it. Columns are scratch space.
pub(crate) type Evaluate<'e> =
    dyn Fn(&dyn SeriesReader, &mut Columns) -> Result<Option<Series>, QueryError> + Sync + 'e;

type Answer = Result<Vec<Series>, QueryError>;

/// Evaluates every series that is selected and hands what comes of them to `sink`, in their order.
pub(crate) fn each(
    request: &Select<'_>,
    cx: &Context<'_>,
    grid: Grid,
    evaluate: &Evaluate<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let (readers, held) = cx.select(request)?;
    let batch = (BATCH_STEPS / grid.count.max(1)).clamp(*BATCH_SERIES.start(), *BATCH_SERIES.end());
    run(&readers, batch, cx, evaluate, sink)?;
    cx.release(held);
    Ok(())
}

fn run(
    readers: &[Box<dyn SeriesReader>],
    batch_series: usize,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_>,
    sink: &mut Sink<'_>,
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
fn threaded(
    readers: &[Box<dyn SeriesReader>],
    batch_series: usize,
    threads: usize,
    cx: &Context<'_>,
    evaluate: &Evaluate<'_>,
    sink: &mut Sink<'_>,
) -> Option<Result<(), QueryError>> {
    std::thread::scope(|scope| {
        let mut answers: Vec<Receiver<Answer>> = Vec::with_capacity(threads);
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
                    cx.release(Size::of_series(&series));
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

fn batch_of(
    readers: &[Box<dyn SeriesReader>],
    cx: &Context<'_>,
    evaluate: &Evaluate<'_>,
    columns: &mut Columns,
) -> Answer {
    let mut all = Vec::with_capacity(readers.len());
    for reader in readers {
        cx.check()?;
        if let Some(series) = evaluate(&**reader, columns)? {
            // It waits until the operators above come to it.
            cx.hold(Size::of_series(&series))?;
            all.push(series);
        }
    }
    Ok(all)
}
