//! Threads beside one thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Timestamp, Value};

use super::*;
use crate::engine::{EngineOptions, QueryControl};
use crate::exec::Column;
use crate::memory::MemoryPool;
use crate::script::MemoryStorage;

fn storage(series: usize) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for number in 0..series {
        let labels = Labels::from_pairs([("n", format!("{number:05}"))]);
        storage.put(&labels, Timestamp::EPOCH, Value::Float(number as f64));
    }
    storage
}

/// What comes of all series with so many threads, which help from the start.
fn run_with(
    threads: usize,
    series: usize,
    batch_series: usize,
    options: EngineOptions,
    evaluate: &EvaluateSeries<'_, Series>,
) -> Result<Vec<f64>, QueryError> {
    let (storage, control) = (storage(series), QueryControl::default());
    let options = EngineOptions { threads, ..options };
    let cx = Context::new(&storage, &control, &options, MemoryPool::unlimited().lease(), true, None);
    let request = Select { matchers: &[], start: Timestamp::EPOCH, end: Timestamp::EPOCH, step_ms: None };
    let (readers, _) = cx.select(&request, true)?;
    let mut found = Vec::new();
    let of_place = |place: usize, columns: &mut Columns| evaluate(&*readers[place], columns);
    run(readers.len(), batch_series, Duration::ZERO, &cx, &of_place, &mut |series: Series| {
        found.push(series.column.floats[0]);
        Ok(())
    })?;
    Ok(found)
}

fn read(reader: &dyn SeriesReader, columns: &mut Columns) -> Result<Option<Series>, QueryError> {
    columns.clear();
    reader.read(Timestamp::EPOCH, Timestamp::EPOCH, columns)?;
    let floats = columns.values.clone();
    // Some series come to nothing.
    let kept = floats[0] % 7.0 != 3.0;
    Ok(kept.then(|| Series {
        labels: reader.labels().clone(),
        drop_name: false,
        column: Column::of_floats(floats),
    }))
}

const OPTIONS: EngineOptions = EngineOptions::prometheus_defaults();

#[test]
fn series_come_in_their_order() {
    for series in [0, 1, 8, 9, 100, 1000] {
        let alone = run_with(1, series, 16, OPTIONS, &read).unwrap();
        assert_eq!(alone.len(), (0..series).filter(|number| number % 7 != 3).count());
        for (threads, batch) in [(2, 4), (3, 16), (8, 512)] {
            assert_eq!(run_with(threads, series, batch, OPTIONS, &read).unwrap(), alone);
        }
    }
}

#[test]
fn the_first_error_ends_all() {
    let evaluated = AtomicUsize::new(0);
    let failing = |reader: &dyn SeriesReader, columns: &mut Columns| {
        evaluated.fetch_add(1, Ordering::Relaxed);
        match reader.labels().get("n") {
            Some("00100") => Err(QueryError::Execution("it fails".to_owned())),
            _ => read(reader, columns),
        }
    };
    let failed = run_with(4, 10_000, 4, OPTIONS, &failing);
    assert!(matches!(failed, Err(QueryError::Execution(text)) if text == "it fails"));
    assert!(evaluated.into_inner() < 1_000);
}

#[test]
fn what_waits_is_counted() {
    let options = EngineOptions { samples_max: 5, ..OPTIONS };
    assert!(matches!(run_with(2, 1_000, 512, options, &read), Err(QueryError::TooManySamples)));
}

#[test]
#[should_panic(expected = "a scoped thread panicked")]
fn a_panic_is_passed_on() {
    let main = std::thread::current().id();
    let panicking = |reader: &dyn SeriesReader, columns: &mut Columns| {
        let helps = std::thread::current().id() != main;
        assert!(!helps, "this thread ends");
        read(reader, columns)
    };
    // Whether a helper comes to a batch before this thread has taken all of them depends on the system.
    loop {
        run_with(2, 1_000, 4, OPTIONS, &panicking).unwrap();
    }
}
