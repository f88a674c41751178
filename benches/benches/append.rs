//! Appending: known series, new series.

use std::io;
use std::time::{Duration, Instant};

use benches::{Database, FIRST_TIME_MS, Fingerprint, Fleet, STEP_MS, Scale};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use model::{Labels, SeriesRef};

const FLEET: Fleet = Fleet { series_per_target: 1_000 };

/// How samples are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Each with its reference and its labels.
    Labelled,
    /// In columns, by reference alone.
    Columns,
}

/// Series that one thread appends to, the next time at each call.
struct Writer {
    form: Form,
    labels: Vec<Labels>,
    refs: Vec<Option<SeriesRef>>,
    known: Vec<SeriesRef>,
    values: Vec<f64>,
    rounds: usize,
}

impl Writer {
    fn new(form: Form, from: usize, series_count: usize) -> Self {
        let labels: Vec<Labels> = (from..from + series_count).map(|number| FLEET.labels(number)).collect();
        let (refs, values) = (vec![None; labels.len()], vec![1.0; labels.len()]);
        Self { form, refs, labels, known: Vec::new(), values, rounds: 0 }
    }

    fn round(&mut self, database: &Database) -> io::Result<()> {
        let (time, value) = (FIRST_TIME_MS + self.rounds as i64 * STEP_MS, self.rounds as f64);
        self.rounds += 1;
        // Half of the series never change, as in a fleet.
        if self.form == Form::Columns && !self.known.is_empty() {
            self.values.iter_mut().skip(1).step_by(2).for_each(|changing| *changing = value);
            return database.append_columns(&self.known, time, &self.values);
        }
        database.append(&self.labels, &mut self.refs, time, |at| if at % 2 == 0 { 1.0 } else { value })?;
        self.known = self.refs.iter().copied().flatten().collect();
        Ok(())
    }
}

/// Samples of series that exist already, in batches of 2,000, with the log written.
fn known_series(
    group: &mut BenchmarkGroup<'_, WallTime>,
    scale: Scale,
    form: Form,
    threads: usize,
) -> io::Result<()> {
    let series_count = scale.pick(1_000, 20_000);
    let database = Database::create()?;
    let mut writers: Vec<Writer> =
        (0..threads).map(|thread| Writer::new(form, thread * series_count, series_count)).collect();
    for writer in &mut writers {
        writer.round(&database)?;
        writer.round(&database)?;
    }
    let mut fingerprint = Fingerprint::default();
    database.scan(&[], |values| values.iter().for_each(|value| fingerprint.float(*value)))?;
    let name = match form {
        Form::Labelled => format!("known series, threads {threads}"),
        Form::Columns => format!("known series in columns, threads {threads}"),
    };
    fingerprint.print(&name);
    group.throughput(Throughput::Elements((series_count * threads) as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..rounds {
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for writer in &mut writers {
                        scope.spawn(|| writer.round(&database).expect("append"));
                    }
                });
                elapsed += start.elapsed();
                // A server does this in the background, once a minute.
                if writers[0].rounds.is_multiple_of(240) {
                    database.tsdb().maintain().expect("maintain");
                }
            }
            elapsed
        });
    });
    Ok(())
}

/// First samples of series that storage has not seen, without reference.
fn new_series(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
    let series_count = scale.pick(1_000, 100_000);
    let labels: Vec<Labels> = (0..series_count).map(|number| FLEET.labels(number)).collect();
    let create = |database: &Database| {
        database.append(&labels, &mut vec![None; labels.len()], FIRST_TIME_MS, |at| at as f64)
    };
    let database = Database::create()?;
    create(&database)?;
    let mut fingerprint = Fingerprint::default();
    database.scan(&[], |values| values.iter().for_each(|value| fingerprint.float(*value)))?;
    fingerprint.print("new series");
    drop(database);
    group.throughput(Throughput::Elements(series_count as u64));
    group.bench_function("new series", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..rounds {
                let database = Database::create().expect("create a database");
                let start = Instant::now();
                create(&database).expect("append");
                elapsed += start.elapsed();
            }
            elapsed
        });
    });
    Ok(())
}

fn main() -> io::Result<()> {
    let scale = Scale::of_this_process();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("append");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(4));
    for form in [Form::Labelled, Form::Columns] {
        known_series(&mut group, scale, form, 1)?;
        known_series(&mut group, scale, form, 2)?;
    }
    new_series(&mut group, scale)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}
