//! Reading: decoding samples of head and blocks, selecting series, a query through the engine.

use std::hint::black_box;
use std::io;
use std::time::Duration;

use benches::load::{Load, Recording, fill};
use benches::{Database, FIRST_TIME_MS, Fingerprint, Fleet, STEP_MS, Scale};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use model::{Append as _, Buckets, Histogram, Labels, MatchOp, Matcher, ResetHint, Timestamp};
use promql::{Engine, EngineOptions, QueryControl, QueryValue};

const FLEET: Fleet = Fleet { series_per_target: 1_000 };

/// Metrics of the fleet by how their values move, which decides how they are packed.
const KINDS: [(&str, &str); 4] = [
    ("constant", "node_filesystem_size_bytes"),
    ("rare events", "node_vmstat_pgmajfault"),
    ("seconds", "node_cpu_seconds_total"),
    ("load", "node_load1"),
];

/// Every value of every series, most of them from blocks, the rest from the head; then of blocks alone, then of series
/// of one kind; then one window over everything, which most chunks answer without their values.
fn scan(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
    let (series_count, steps) = (scale.pick(40, 1_000), scale.pick(60, 2_400));
    let database = Database::create()?;
    database.fill(&FLEET, series_count, steps)?;
    let scan = |group: &mut BenchmarkGroup<'_, WallTime>, name: &str, matchers: &[Matcher]| {
        let (mut fingerprint, mut count) = (Fingerprint::default(), 0);
        database.scan(matchers, |values| {
            count += values.len() as u64;
            values.iter().for_each(|value| fingerprint.float(*value));
        })?;
        fingerprint.print(name);
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut all = 0;
                // Looks at every value, and takes little beside decoding it.
                database
                    .scan(matchers, |values| all ^= values.iter().fold(0, |all, value| all ^ value.to_bits()))
                    .expect("scan");
                black_box(all)
            });
        });
        io::Result::Ok(())
    };
    scan(group, "scan", &[])?;
    let mut count = 0;
    database.scan_blocks(&[], |values| count += values.len() as u64)?;
    group.throughput(Throughput::Elements(count));
    group.bench_function("scan, blocks", |bencher| {
        bencher.iter(|| {
            let mut all = 0;
            let fold = |values: &[f64]| all ^= values.iter().fold(0, |all, value| all ^ value.to_bits());
            database.scan_blocks(&[], fold).expect("scan");
            black_box(all)
        });
    });
    for (kind, metric) in KINDS {
        scan(group, &format!("scan, {kind}"), &[Matcher::equal("__name__", metric)])?;
    }
    let window = || {
        let (mut sum, mut summaries) = (0.0, 0);
        database.window(
            &[],
            |values| sum += values.iter().sum::<f64>(),
            |summary| summaries += summary.count,
        )?;
        io::Result::Ok((sum, summaries))
    };
    let (sum, summaries) = window()?;
    let mut fingerprint = Fingerprint::default();
    fingerprint.float(sum);
    fingerprint.float(summaries as f64);
    fingerprint.print("one window");
    group.throughput(Throughput::Elements((series_count * steps) as u64));
    group.bench_function("one window", |bencher| bencher.iter(|| black_box(window().expect("window"))));
    Ok(())
}

/// Values of recorded exporters, from blocks that are packed to be read and from those that are packed to be small: what
/// is younger than some hours, and all that is older.
fn density(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
    let recording = Recording::included().map_err(io::Error::other)?;
    for (name, hours) in [("light", 4), ("dense", scale.pick(9, 21))] {
        let load = Load {
            targets: scale.pick(1, 2),
            interval: Duration::from_secs(scale.pick(120, 15) as u64),
            churn_percent: 0.0,
            churn_period: Duration::from_secs(600),
            seed: 1,
        };
        let database = Database::create()?;
        fill(&database, &recording, &load, FIRST_TIME_MS, Duration::from_secs(hours as u64 * 3600))?;
        let stats = database.tsdb().stats();
        println!(
            "{name}: {} values in {} blocks of {} bytes, {} series in the head",
            stats.block_samples, stats.blocks, stats.block_bytes, stats.head_series
        );
        // No constants: these cost nothing either way.
        for (kind, metric) in
            [("all", ".+"), ("seconds", "node_cpu_seconds_total"), ("bytes", "node_memory_.*")]
        {
            let matchers = [Matcher::new(MatchOp::Regex, "__name__", metric).map_err(io::Error::other)?];
            let mut count = 0;
            database.scan(&matchers, |values| count += values.len() as u64)?;
            group.throughput(Throughput::Elements(count));
            group.bench_function(format!("scan, {name}, {kind}"), |bencher| {
                bencher.iter(|| {
                    let mut all = 0;
                    let fold =
                        |values: &[f64]| all ^= values.iter().fold(0, |all, value| all ^ value.to_bits());
                    database.scan(&matchers, fold).expect("scan");
                    black_box(all)
                });
            });
        }
    }
    Ok(())
}

/// Native histograms of latencies, a few requests between two samples: what they take in blocks, and how fast they are
/// read, which is what a summary of a chunk would spare.
fn native_histograms(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
    let (series_count, steps) = (scale.pick(4, 100), scale.pick(30, 1_440));
    let database = Database::create()?;
    let labels: Vec<Labels> = (0..series_count)
        .map(|number| {
            Labels::from_pairs([("__name__", "latency_seconds"), ("route", &*format!("/{number}"))])
        })
        .collect();
    let mut counts = vec![[0.0f64; 24]; series_count];
    let mut mixed = 1u64;
    for step in 0..steps {
        let mut appender = database.tsdb().appender();
        for (labels, counts) in labels.iter().zip(&mut counts) {
            for _ in 0..6 {
                mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Two draws added up: more in the middle than at the ends.
                counts[((mixed >> 40) % 12 + (mixed >> 52) % 12) as usize] += 1.0;
            }
            let count = counts.iter().sum();
            let histogram = Histogram {
                schema: 3,
                zero_threshold: 1e-128,
                count,
                sum: count * 0.125,
                positive: Buckets::from_pairs((-40..).zip(counts.iter().copied())),
                reset_hint: ResetHint::Unknown,
                ..Histogram::stale()
            };
            let time = Timestamp::from_millis(FIRST_TIME_MS + step as i64 * STEP_MS);
            appender.append_histogram(None, labels, time, &histogram).map_err(io::Error::other)?;
        }
        appender.commit().map_err(io::Error::other)?;
    }
    database.tsdb().maintain().map_err(io::Error::other)?;
    let stats = database.tsdb().stats();
    println!(
        "native histograms: {:.2} bytes per sample of 24 buckets in blocks",
        stats.block_bytes as f64 / stats.block_samples.max(1) as f64
    );
    group.throughput(Throughput::Elements((series_count * steps) as u64));
    group.bench_function("scan, native histograms", |bencher| {
        bencher.iter(|| black_box(database.count_histograms().expect("scan")));
    });
    Ok(())
}

/// Series of the head by matchers, from the matchers to the sorted list.
fn select(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
    let series_count = scale.pick(1_000, 100_000);
    let fleet = Fleet { series_per_target: scale.pick(100, 1_000) };
    let database = Database::create()?;
    database.fill(&fleet, series_count, 1)?;
    let instance = Matcher::equal("instance", "host-7.example.net:9100");
    let regex =
        |name: &str, pattern: &str| Matcher::new(MatchOp::Regex, name, pattern).map_err(io::Error::other);
    let not =
        |name: &str, value: &str| Matcher::new(MatchOp::NotEqual, name, value).map_err(io::Error::other);
    let cases = [
        ("equal", vec![Matcher::equal("__name__", "node_load1"), instance.clone()]),
        ("prefix", vec![Matcher::equal("__name__", "node_load1"), regex("instance", "host-1.*")?]),
        ("infix", vec![regex("__name__", ".*memory.*")?, instance.clone()]),
        ("negative", vec![instance, not("device", "dev0")?]),
        ("any name", vec![regex("__name__", ".+")?, regex("instance", "host-(3|5)[.].*")?]),
    ];
    group.throughput(Throughput::Elements(series_count as u64));
    for (name, matchers) in cases {
        let find = || database.tsdb().select(&matchers, Timestamp::MIN, Timestamp::MAX);
        let mut fingerprint = Fingerprint::default();
        for series in find().map_err(io::Error::other)? {
            fingerprint.bytes(series.labels().as_encoded());
        }
        fingerprint.print(&format!("select, {name}"));
        group.bench_function(format!("select, {name}"), |bencher| {
            bencher.iter(|| black_box(find().expect("select").len()));
        });
    }
    Ok(())
}

/// `sum by (rate)` over one hour of 1,000 counters, a step per minute.
fn query(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
    let (series_count, steps) = (scale.pick(400, 20_000), scale.pick(30, 300));
    let fleet = Fleet { series_per_target: scale.pick(100, 400) };
    let database = Database::create()?;
    database.fill(&fleet, series_count, steps)?;
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let end = FIRST_TIME_MS + steps as i64 * STEP_MS;
    let start = (end - 3_600_000).max(FIRST_TIME_MS);
    let text = r#"sum by (instance) (rate(node_cpu_seconds_total{slot="first"}[5m]))"#;
    let run = || {
        let (start, end) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
        engine.range(database.storage(), text, start, end, 60_000, &QueryControl::default())
    };
    let mut fingerprint = Fingerprint::default();
    let result = run().map_err(io::Error::other)?;
    if let QueryValue::Matrix(matrix) = &result.value {
        for series in matrix {
            fingerprint.bytes(series.labels.as_encoded());
            series.floats.iter().for_each(|sample| fingerprint.float(sample.value));
        }
    }
    fingerprint.print("sum by rate");
    group.throughput(Throughput::Elements(result.stats.samples_read));
    group.bench_function("sum by rate", |bencher| bencher.iter(|| black_box(run().expect("query"))));
    Ok(())
}

fn main() -> io::Result<()> {
    let scale = Scale::of_this_process();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(3));
    scan(&mut group, scale)?;
    density(&mut group, scale)?;
    native_histograms(&mut group, scale)?;
    select(&mut group, scale)?;
    query(&mut group, scale)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}
