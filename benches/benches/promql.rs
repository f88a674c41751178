//! The query engine alone, over series that are computed as they are read: storage costs next to nothing here, so
//! that what is measured are selection, functions, aggregations and joins.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use benches::{Fingerprint, Scale};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use model::{Labels, METRIC_NAME, Timestamp};
use promql::read::{Columns, ReadError, Select, SeriesExemplars, SeriesReader, Storage};
use promql::{Engine, EngineOptions, Features, QueryControl, Times};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 400;
const END_MS: i64 = SAMPLES * STEP_MS;

/// Series of three metrics: counters, gauges and the buckets of classic histograms.
struct Computed {
    series: Arc<Vec<(Labels, Shape)>>,
}

#[derive(Clone, Copy)]
enum Shape {
    Counter(f64),
    Gauge(f64),
}

impl Shape {
    fn value(self, sample: i64) -> f64 {
        match self {
            // A reset every hundred samples.
            Self::Counter(slope) => slope * (sample % 100) as f64,
            Self::Gauge(phase) => phase + (sample * 7919 % 1000) as f64 / 8.0,
        }
    }
}

impl Computed {
    fn new(series_count: usize) -> Self {
        let mut series = Vec::with_capacity(2 * series_count);
        for number in 0..series_count {
            let (instance, device) = (number / 10, number % 10);
            let job = instance % 17;
            let of = |name: &str| {
                Labels::from_pairs([
                    (METRIC_NAME, name.to_owned()),
                    ("device", format!("dev{device}")),
                    ("instance", format!("host-{instance}.example.net:9100")),
                    ("job", format!("job-{job}")),
                    ("region", "eu-central".to_owned()),
                ])
            };
            series.push((of("bytes_total"), Shape::Counter(1.0 + number as f64 / 16.0)));
            series.push((of("load"), Shape::Gauge((number % 512) as f64)));
        }
        for number in 0..series_count / 10 {
            for (index, le) in
                ["0.01", "0.1", "0.5", "1", "2.5", "5", "10", "30", "60", "+Inf"].iter().enumerate()
            {
                let labels = Labels::from_pairs([
                    (METRIC_NAME, "latency_bucket".to_owned()),
                    ("instance", format!("host-{number}.example.net:9100")),
                    ("job", format!("job-{}", number % 17)),
                    ("le", (*le).to_owned()),
                ]);
                series.push((labels, Shape::Counter((index + 1) as f64)));
            }
        }
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Self { series: Arc::new(series) }
    }
}

struct Reader {
    series: Arc<Vec<(Labels, Shape)>>,
    index: usize,
}

impl SeriesReader for Reader {
    fn labels(&self) -> &Labels {
        &self.series[self.index].0
    }

    fn read(&self, start: Timestamp, end: Timestamp, columns: &mut Columns) -> Result<(), ReadError> {
        let shape = self.series[self.index].1;
        let first = (start.millis() + STEP_MS - 1).div_euclid(STEP_MS).max(0);
        let last = end.millis().div_euclid(STEP_MS).min(SAMPLES);
        for sample in first..=last {
            columns.push(Timestamp::from_millis(sample * STEP_MS), shape.value(sample));
        }
        Ok(())
    }
}

impl Storage for Computed {
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        // As an index would have it: the name first, everything else only where it is asked for.
        let name = select.matchers.iter().find(|m| m.name() == METRIC_NAME).map_or("", |m| m.value());
        let start = self.series.partition_point(|(labels, _)| labels.metric_name().unwrap_or("") < name);
        let end = self.series.partition_point(|(labels, _)| labels.metric_name().unwrap_or("") <= name);
        let passes = |index: &usize| {
            select.matchers.len() == 1
                || select.matchers.iter().all(|m| m.matches_labels(&self.series[*index].0))
        };
        let reader =
            |index| Box::new(Reader { series: Arc::clone(&self.series), index }) as Box<dyn SeriesReader>;
        Ok((start..end).filter(passes).map(reader).collect())
    }

    fn label_names(&self, _: &Select<'_>) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &Select<'_>) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn exemplars(&self, _: &Select<'_>) -> Result<Vec<SeriesExemplars>, ReadError> {
        Ok(Vec::new())
    }
}

/// What is asked at every size.
const TEMPLATES: [&str; 16] = [
    "load",
    "-load",
    "count(load)",
    "sum(load)",
    "sum by (job) (load)",
    "sum without (device) (load)",
    "quantile by (job) (0.9, load)",
    "topk(5, load)",
    "rate(bytes_total[5m])",
    "sum by (instance) (rate(bytes_total[5m]))",
    "max_over_time(load[10m])",
    "quantile_over_time(0.9, load[10m])",
    "load + on (instance, device) bytes_total",
    "load * on (instance) group_left () sum by (instance) (load)",
    "load > 50 and bytes_total > 10",
    "histogram_quantile(0.9, sum by (le, job) (rate(latency_bucket[5m])))",
];

fn templates(
    group: &mut BenchmarkGroup<'_, WallTime>,
    series_count: usize,
    steps: i64,
    samples: usize,
) -> io::Result<()> {
    let storage = Computed::new(series_count);
    let features = Features::LANGUAGE;
    let engine = Engine::new(EngineOptions {
        samples_max: u64::MAX,
        features: Features { use_start_timestamps: false, ..features },
        ..EngineOptions::prometheus_defaults()
    });
    let end = Timestamp::from_millis(END_MS);
    let times = if steps == 1 {
        Times::Instant(end)
    } else {
        Times::Range { start: end.offset(-STEP_MS * (steps - 1)), end, step_ms: STEP_MS }
    };
    group.sample_size(samples);
    for query in TEMPLATES {
        let run = || engine.run(&storage, query, times, &QueryControl::default());
        let answer = run().map_err(io::Error::other)?;
        let name = format!("{query}, {series_count} series, {steps} steps");
        let mut fingerprint = Fingerprint::default();
        group.throughput(Throughput::Elements(answer.stats.queryable_samples));
        let (peak_bytes, mut points) = (answer.stats.peak_bytes, 0);
        for series in answer.into_series() {
            fingerprint.bytes(series.labels.as_encoded());
            series.floats().for_each(|sample| fingerprint.float(sample.value));
            points += 1;
        }
        fingerprint.print(&name);
        println!("{name}: {points} series answered, {peak_bytes} bytes held");
        group.bench_function(&name, |bencher| {
            bencher.iter(|| black_box(run().expect("query").into_series().count()));
        });
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let scale = Scale::of_this_process();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("promql");
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200));
    let sizes: &[(usize, i64)] = match scale {
        Scale::Check => &[(1, 1), (1, 100), (20, 100), (200, 1)],
        Scale::Measure => &[(1, 1), (1, 100), (100, 1), (100, 100), (1_000, 100), (1_000_000, 1)],
    };
    for (series_count, steps) in sizes {
        templates(&mut group, *series_count, *steps, 10)?;
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
