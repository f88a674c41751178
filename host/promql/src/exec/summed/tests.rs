//! A storage that offers summaries has the answers of one that has the samples alone.

use model::{Labels, Summary, Timestamp, Value, Windows};
use proptest::prelude::*;

use crate::read::{Columns, ReadError, Select, SeriesExemplars, SeriesReader, Storage};
use crate::{Engine, EngineOptions, Features, QueryControl, QueryResult, QueryValue, Times};

const FUNCTIONS: [&str; 17] = [
    "rate",
    "increase",
    "delta",
    "resets",
    "changes",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "present_over_time",
    "first_over_time",
    "last_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "stddev_over_time",
    "stdvar_over_time",
];

/// One series, cut into chunks with a summary each, or not.
struct Chunked {
    chunks: Vec<Vec<(Timestamp, f64)>>,
    summaries: bool,
}

struct Reader {
    labels: Labels,
    chunks: Vec<Vec<(Timestamp, f64)>>,
    summaries: bool,
}

impl Storage for Chunked {
    fn select(&self, _: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        let labels = Labels::from_pairs([("__name__", "x_total")]);
        Ok(vec![Box::new(Reader { labels, chunks: self.chunks.clone(), summaries: self.summaries })])
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

impl SeriesReader for Reader {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, start: Timestamp, end: Timestamp, columns: &mut Columns) -> Result<(), ReadError> {
        let within = self.chunks.iter().flatten().filter(|(time, _)| *time >= start && *time <= end);
        within.for_each(|(time, value)| columns.push(*time, *value));
        Ok(())
    }

    fn read_windows(&self, windows: &Windows, columns: &mut Columns) -> Result<(), ReadError> {
        for chunk in &self.chunks {
            let (times, values): (Vec<Timestamp>, Vec<f64>) = chunk.iter().copied().unzip();
            match Summary::of(&times, &values) {
                Some(summary)
                    if self.summaries && windows.treat_alike(summary.first_time, summary.last_time) =>
                {
                    columns.summaries.push(summary);
                }
                _ => {
                    let within =
                        chunk.iter().filter(|(time, _)| *time >= windows.start() && *time <= windows.end());
                    within.for_each(|(time, value)| columns.push(*time, *value));
                }
            }
        }
        Ok(())
    }
}

fn run(storage: &Chunked, query: &str, times: Times) -> QueryResult {
    let features = Features { use_start_timestamps: false, ..Features::LANGUAGE };
    let engine = Engine::new(EngineOptions { features, ..EngineOptions::prometheus_defaults() });
    engine.run(storage, query, times, &QueryControl::default()).unwrap().into_result()
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= scale.max(a.abs()).max(b.abs()) * 1e-12
}

fn chunks() -> impl Strategy<Value = Vec<Vec<(Timestamp, f64)>>> {
    let value = prop_oneof![
        60 => (0..1000_i32).prop_map(f64::from),
        20 => -1e6..1e6,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        2 => Just(model::staleness::STALE_NAN),
    ];
    let chunk = proptest::collection::vec((1..60_i64, value), 1..30);
    proptest::collection::vec(chunk, 1..20).prop_map(|chunks| {
        let mut time = 0;
        let mut sample = |(gap, value): (i64, f64)| {
            time += gap * 1000;
            (Timestamp::from_millis(time), value)
        };
        chunks.into_iter().map(|chunk| chunk.into_iter().map(&mut sample).collect()).collect()
    })
}

proptest! {
    #[test]
    fn summaries_answer_what_samples_answer(
        chunks in chunks(),
        start in 0..3000_i64,
        step in 1..2000_i64,
        range in 60..8000_i64,
    ) {
        let largest = chunks.iter().flatten().map(|(_, v)| v.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
        let plain = Chunked { chunks: chunks.clone(), summaries: false };
        let summed = Chunked { chunks, summaries: true };
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let times = [
            Times::Instant(at(start + range)),
            Times::Range { start: at(start), end: at(start + 40 * step), step_ms: step * 1000 },
        ];
        for (function, times) in FUNCTIONS.iter().flat_map(|f| times.iter().map(move |t| (f, *t))) {
            // Squares of large values take more digits than the answer has.
            let scale = if function.starts_with("std") { largest * largest } else { largest } * 1e-3;
            for modifier in ["", " @ 2000", " offset 3m"] {
                let query = format!("{function}(x_total[{range}s]{modifier})");
                let (found, wanted) = (run(&summed, &query, times), run(&plain, &query, times));
                prop_assert_eq!(&found.infos, &wanted.infos);
                prop_assert_eq!(found.stats.queryable_samples, wanted.stats.queryable_samples);
                match (found.value, wanted.value) {
                    (QueryValue::Vector(a), QueryValue::Vector(b)) => {
                        prop_assert_eq!(a.len(), b.len());
                        if let (Some(a), Some(b)) = (a.first(), b.first()) {
                            let (Value::Float(a), Value::Float(b)) = (&a.value, &b.value) else { panic!("no floats") };
                            prop_assert!(close(*a, *b, scale), "{}: {} for {}", query, a, b);
                        }
                    }
                    (QueryValue::Matrix(a), QueryValue::Matrix(b)) => {
                        prop_assert_eq!(a.len(), b.len());
                        for (a, b) in a.iter().zip(&b).flat_map(|(a, b)| a.floats.iter().zip(&b.floats)) {
                            prop_assert_eq!(a.timestamp, b.timestamp);
                            prop_assert!(close(a.value, b.value, scale), "{}: {} for {}", query, a.value, b.value);
                        }
                    }
                    (a, b) => panic!("{a:?} for {b:?}"),
                }
            }
        }
    }
}
