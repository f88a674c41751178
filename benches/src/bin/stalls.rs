//! How long appending waits while storage is maintained: latencies of small batches with and without a cut, a
//! checkpoint and the leaving of series beside them.
//!
//! `cargo run --release -p benches --bin stalls [series]`

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use benches::{Database, FIRST_TIME_MS, Fleet, STEP_MS};
use model::{Append as _, Labels, Sample, SeriesRef};

const FLEET: Fleet = Fleet { series_per_target: 1_000 };

/// Samples of one batch whose latency is taken.
const BATCH_SAMPLES: usize = 100;

/// Steps that make one cut due: a block range of two hours and half of the next.
const STEPS_TO_A_CUT: usize = 5;
const STEP_LONG_MS: i64 = 45 * 60 * 1000;

fn main() -> io::Result<()> {
    let series_count = std::env::args().nth(1).map_or(Ok(1_000_000), |arg| arg.parse());
    let series_count: usize = series_count.map_err(io::Error::other)?;
    let database = Database::create()?;
    let labels: Vec<Labels> = (0..series_count).map(|number| FLEET.labels(number)).collect();
    let mut refs = vec![None; series_count];
    let mut time = FIRST_TIME_MS;
    // The first half of the series ends before the cut, so that it leaves the head with it.
    for step in 0..STEPS_TO_A_CUT {
        let alive = if step < 2 { 0 } else { series_count / 2 };
        database.append(&labels[alive..], &mut refs[alive..], time, |at| (at + step) as f64)?;
        time += STEP_LONG_MS;
    }
    let (labels, refs) = (&labels[series_count / 2..], &mut refs[series_count / 2..]);

    let idle = measure(&database, labels, refs, &mut time, || {
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    })?;
    report("alone", &idle);
    let maintained = measure(&database, labels, refs, &mut time, || {
        let report = database.tsdb().maintain().map_err(io::Error::other)?;
        println!("{report:?}");
        Ok(())
    })?;
    report("while a block is cut, series leave and a checkpoint is written", &maintained);
    let start = Instant::now();
    let stats = database.tsdb().stats();
    println!("stats of {} series: {:.1?}", stats.head_series, start.elapsed());
    Ok(())
}

/// Appends batches for as long as `work` takes, and says how long each took.
fn measure(
    database: &Database,
    labels: &[Labels],
    refs: &mut [Option<SeriesRef>],
    time: &mut i64,
    work: impl FnOnce() -> io::Result<()> + Send,
) -> io::Result<Vec<Duration>> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let result = work();
            done.store(true, Ordering::Release);
            result
        });
        let mut latencies = Vec::new();
        while !done.load(Ordering::Acquire) {
            *time += STEP_MS;
            for (labels, refs) in labels.chunks(BATCH_SAMPLES).zip(refs.chunks_mut(BATCH_SAMPLES)).take(100) {
                let start = Instant::now();
                let mut batch = database.tsdb().appender();
                for (labels, known) in labels.iter().zip(refs) {
                    let sample = Sample::new(*time, 1.0);
                    *known = Some(batch.append(*known, labels, sample).map_err(io::Error::other)?);
                }
                batch.commit().map_err(io::Error::other)?;
                latencies.push(start.elapsed());
                if done.load(Ordering::Acquire) {
                    break;
                }
            }
        }
        worker.join().map_err(|_| io::Error::other("maintenance panicked"))??;
        Ok(latencies)
    })
}

fn report(what: &str, latencies: &[Duration]) {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at =
        |part: f64| sorted.get(((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1)));
    println!("{what}: {} batches of {BATCH_SAMPLES} samples", sorted.len());
    for (name, part) in [("median", 0.5), ("99 %", 0.99), ("99.9 %", 0.999), ("longest", 1.0)] {
        println!("  {name:8} {:>10.1?}", at(part).copied().unwrap_or_default());
    }
}
