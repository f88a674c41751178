//! The short ways of storage beside the long one.

use model::{Buckets, Sample};
use promql::{Engine, EngineOptions, QueryControl, QueryValue, Times};
use tsdb::{Options, RealFileSystem, SystemClock};

use super::*;

/// Storage by readers alone, in the order of labels.
struct Long(Storage);

impl promql::read::Storage for Long {
    fn select(&self, select: &Select<'_>) -> Result<Vec<Box<dyn SeriesReader>>, ReadError> {
        self.0.select(select)
    }

    fn label_names(&self, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.0.label_names(select)
    }

    fn label_values(&self, name: &str, select: &Select<'_>) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, select)
    }

    fn exemplars(&self, select: &Select<'_>) -> Result<Vec<SeriesExemplars>, ReadError> {
        self.0.exemplars(select)
    }
}

fn storage(dir: &std::path::Path) -> Storage {
    let (files, clock) = (Arc::new(RealFileSystem), Arc::new(SystemClock));
    let storage = Storage::new(Arc::new(Tsdb::open(dir, Options::prometheus(), files, clock).unwrap()));
    let mut appender = storage.tsdb().appender();
    for number in 0..400_u32 {
        let (l, g) = (format!("{number:03}"), format!("g{}", number % 7));
        let labels = |name| Labels::from_pairs([("__name__", name), ("g", g.as_str()), ("l", l.as_str())]);
        // No two are alike but in `same`, of which it counts what comes first.
        let value = f64::from(number * 7919 % 1009);
        for step in 0..4 {
            let at = i64::from(step) * 15_000;
            // Some have ended, some were never there, some are no numbers.
            let sample = match number % 11 {
                3 if step == 3 => model::staleness::STALE_NAN,
                4 => continue,
                5 => f64::NAN,
                _ => value + f64::from(step),
            };
            appender.append(None, &labels("a"), Sample::new(at, sample)).unwrap();
            if number % 3 == 0 {
                appender.append(None, &labels("b"), Sample::new(at, value * 2.0)).unwrap();
            }
            appender.append(None, &labels("same"), Sample::new(at, f64::from(number % 3))).unwrap();
            if number < 9 {
                let histogram = Histogram {
                    count: f64::from(number + 1),
                    sum: value,
                    positive: Buckets::from_pairs([(1, f64::from(number + 1))]),
                    ..Histogram::stale()
                };
                let at = Timestamp::from_millis(at);
                appender.append_histogram(None, &labels("h"), at, &histogram).unwrap();
            }
        }
    }
    appender.commit().unwrap();
    storage
}

/// What a vector comes to, in its order or in none.
fn answer(storage: &dyn promql::read::Storage, query: &str, at: Timestamp, ordered: bool) -> Vec<String> {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let result = engine.run(storage, query, Times::Instant(at), &QueryControl::default());
    let result = result.unwrap().into_result();
    let QueryValue::Vector(all) = result.value else { panic!("{query} answers no vector") };
    let notes = result.warnings.into_iter().chain(result.infos);
    let mut told: Vec<String> =
        all.into_iter().map(|s| format!("{} {:?}", s.labels, s.value)).chain(notes).collect();
    told.push(format!("{} looked at", result.stats.queryable_samples));
    if !ordered {
        told.sort();
    }
    told
}

#[test]
fn short_ways_lead_where_the_long_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let storage = storage(dir.path());
    check_short_ways(&storage);
    // From a block they are as short.
    let mut appender = storage.tsdb().appender();
    appender
        .append(None, &Labels::from_pairs([("__name__", "later")]), Sample::new(4 * 3_600_000, 0.0))
        .unwrap();
    appender.commit().unwrap();
    assert_eq!(storage.tsdb().maintain().unwrap().blocks_cut, 1);
    check_short_ways(&storage);
}

fn check_short_ways(storage: &Storage) {
    let long = Long(storage.clone());
    for at in [0, 20_000, 45_000, 320_000, 600_000].map(Timestamp::from_millis) {
        for query in [
            "count(a)",
            "sum(a)",
            "avg by (g) (a)",
            "min without (l) (a)",
            "max by (g, l) (a)",
            "stddev(a)",
            "quantile by (g) (0.9, a)",
            "group by (__name__) ({__name__=~\"a|b\"})",
            "count_values(\"v\", same)",
            "sum(h)",
            "sum by (g) ({__name__=~\"a|h\"})",
            "sum by (g) (rate(a[1m]))",
            "sum by (g) (a * on (g, l) b)",
            "sum(a * on (g) group_left () sum by (g) (b))",
            "count(a and on (l) b)",
            "count(a unless on (l) b)",
            "count(a or on (l) b)",
            "sum(-a > 5)",
            "count(timestamp(a))",
            "absent(a{l=\"004\"})",
            "sum(a offset 15s)",
            "sum(nothing)",
        ] {
            assert_eq!(
                answer(storage, query, at, false),
                answer(&long, query, at, false),
                "{query} at {at:?}"
            );
        }
        for query in [
            "topk(5, a)",
            "bottomk(3, a)",
            "topk by (g) (2, a)",
            "bottomk by (g) (400, a)",
            "topk(4, same)",
            "topk(2000, a)",
            "topk(3, h)",
            "topk(0, a)",
        ] {
            assert_eq!(answer(storage, query, at, true), answer(&long, query, at, true), "{query} at {at:?}");
        }
    }
}
