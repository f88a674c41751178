//! Matchers on one million values of a label, each class by itself, in the head and in a block; and what is built on
//! them: counts over regular expressions, label values, series.
//!
//! Values look like names of pods. Hits are printed, so that two runs can be seen to have found the same.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use benches::{Database, FIRST_TIME_MS, Scale};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use model::{Labels, MatchOp, Matcher, Timestamp};
use promql::{Engine, EngineOptions, QueryControl};
use tsdb::Tsdb;

const APPS: [&str; 10] = [
    "api-gateway",
    "billing",
    "catalogue",
    "checkout",
    "ingest",
    "inventory",
    "payments",
    "search",
    "session",
    "web",
];
const METRICS: [&str; 20] = [
    "container_cpu_usage_seconds_total",
    "container_cpu_user_seconds_total",
    "container_fs_reads_total",
    "container_fs_writes_total",
    "container_memory_cache",
    "container_memory_rss",
    "container_memory_working_set_bytes",
    "container_network_receive_bytes_total",
    "container_network_transmit_bytes_total",
    "container_threads",
    "http_request_duration_seconds_count",
    "http_request_duration_seconds_sum",
    "http_requests_total",
    "kube_pod_info",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "up",
    "go_goroutines",
];

/// As Kubernetes names pods: the application, the hash of its template, five letters.
fn pod(number: usize) -> String {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (mixed >> 20) & 0xfff_ffff;
    let letter = |at: u32| char::from(b"bcdfghjklmnpqrstvwxz2456789"[(mixed >> (5 * at)) as usize % 27]);
    let tail: String = (0..5).map(letter).collect();
    format!("{}-{hash:07x}-{tail}-{number:x}", APPS[(mixed >> 50) as usize % APPS.len()])
}

/// One series for each value: a metric, an instance with a thousand series, a pod of its own.
fn labels(number: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", METRICS[number % METRICS.len()]),
        ("instance", &format!("host-{}.example.net:9100", number / 1000)),
        ("job", "kubernetes-pods"),
        ("pod", &pod(number)),
    ])
}

fn fill(database: &Database, count: usize) -> io::Result<()> {
    let series: Vec<Labels> = (0..count).map(labels).collect();
    database.append(&series, &mut vec![None; count], FIRST_TIME_MS, |at| at as f64)
}

type Case = (&'static str, Vec<(&'static str, MatchOp, &'static str)>);

fn cases() -> Vec<Case> {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    vec![
        ("equal", vec![("pod", Equal, "payments-0000000-bbbbb-0")]),
        ("alternation", vec![("instance", Regex, "host-1[.]example[.]net:9100|host-3[.]example[.]net:9100")]),
        ("prefix", vec![("pod", Regex, "payments-.*")]),
        ("prefix, led", vec![("pod", Regex, "payments-1.*-b.*")]),
        ("prefix, any case", vec![("pod", Regex, "(?i)PAYMENTS-1.*")]),
        ("infix", vec![("pod", Regex, ".*f00.*")]),
        ("infix, many", vec![("pod", Regex, ".*-b.*")]),
        ("suffix", vec![("pod", Regex, ".*-c0de")]),
        ("something", vec![("pod", Regex, ".+")]),
        ("nothing", vec![("pod", Equal, "")]),
        ("negative", vec![("pod", NotRegex, "payments-.*")]),
        ("negative, equal", vec![("__name__", NotEqual, "up")]),
        ("no literal", vec![("pod", Regex, ".*-[0-9]+-.*")]),
        ("candidates", vec![("instance", Equal, "host-7.example.net:9100"), ("pod", Regex, ".*[0-4]")]),
        (
            "name and instance",
            vec![("__name__", Regex, "container_.*"), ("instance", Regex, "host-[0-9]*5[.].*")],
        ),
        ("name and instance, all", vec![("__name__", Regex, ".*_.*|up"), ("instance", Regex, "host-.*")]),
    ]
}

fn classes(group: &mut BenchmarkGroup<'_, WallTime>, place: &str, tsdb: &Tsdb) -> io::Result<()> {
    let (start, end) = (Timestamp::MIN, Timestamp::MAX);
    for (name, matchers) in cases() {
        let matchers = matchers.into_iter().map(|(label, op, text)| Matcher::new(op, label, text));
        let matchers = matchers.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        // The names of their labels: finds the series, and says little of them.
        let find = || tsdb.label_names(&matchers, start, end);
        let began = Instant::now();
        find().map_err(io::Error::other)?;
        let first = began.elapsed();
        let began = Instant::now();
        let series = tsdb.select(&matchers, start, end).map_err(io::Error::other)?.len();
        println!(
            "{place}, {name}: {series} series; at first {first:.2?}, all selected {:.2?}",
            began.elapsed()
        );
        group.bench_function(format!("{place}, {name}"), |bencher| {
            bencher.iter(|| black_box(find().expect("names").len()));
        });
    }
    Ok(())
}

fn values(group: &mut BenchmarkGroup<'_, WallTime>, place: &str, tsdb: &Tsdb) {
    let (start, end) = (Timestamp::MIN, Timestamp::MAX);
    for name in ["pod", "instance"] {
        group.bench_function(format!("{place}, values of {name}"), |bencher| {
            bencher.iter(|| black_box(tsdb.label_values(name, &[], start, end).expect("values").len()));
        });
        group.bench_function(format!("{place}, first 100 values of {name}"), |bencher| {
            let find = || tsdb.label_values_first(name, &[], start, end, 100);
            bencher.iter(|| black_box(find().expect("values").len()));
        });
    }
}

/// Counts through the engine, as of one moment: one sample of each series, and none of its labels.
fn counts(group: &mut BenchmarkGroup<'_, WallTime>, place: &str, database: &Database) -> io::Result<()> {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let time = Timestamp::from_millis(FIRST_TIME_MS + 30_000);
    for (name, text) in [
        ("count of all", r#"count({pod=~".+"})"#),
        ("count by name and instance", r#"count({__name__=~".*_.*|up",instance=~"host-.*"})"#),
    ] {
        let run = || engine.instant(database.storage(), text, time, &QueryControl::default());
        let began = Instant::now();
        let result = run().map_err(io::Error::other)?;
        println!("{place}, {name}: {:?}; at first {:.2?}", result.value, began.elapsed());
        group.bench_function(format!("{place}, {name}"), |bencher| {
            bencher.iter(|| black_box(run().expect("count")).stats.samples_read);
        });
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let scale = Scale::of_this_process();
    let mut criterion = Criterion::default().configure_from_args().warm_up_time(Duration::from_millis(200));
    let mut group = criterion.benchmark_group("matchers");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_millis(500));
    let count = scale.pick(2_000, 1_000_000);
    let database = Database::create()?;
    fill(&database, count)?;
    let cardinality = || black_box(database.tsdb().cardinality(10).label_pairs);
    println!("head: {} label pairs", cardinality());
    group.bench_function("head, cardinality", |bencher| bencher.iter(cardinality));
    classes(&mut group, "head", database.tsdb())?;
    values(&mut group, "head", database.tsdb());
    counts(&mut group, "head", &database)?;
    // One sample from hours later, and what came before can be cut to a block.
    let later = FIRST_TIME_MS + 4 * 3_600_000;
    database.append(&[labels(count)], &mut [None], later, |_| 0.0)?;
    let report = database.tsdb().maintain().map_err(io::Error::other)?;
    println!("blocks cut: {}, of {} bytes", report.blocks_cut, database.tsdb().stats().block_bytes);
    classes(&mut group, "block", database.tsdb())?;
    values(&mut group, "block", database.tsdb());
    counts(&mut group, "block", &database)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}
