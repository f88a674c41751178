//! Limits of series, and what is told of those that come.

use super::*;

fn labels(metric: &str, job: &str, pod: usize) -> Labels {
    Labels::from_pairs([("__name__", metric), ("job", job), ("pod", &format!("pod-{pod}"))])
}

/// Appends one sample to a series; the name of the limit that refuses it, where one does.
fn try_append(db: &Tsdb, labels: &Labels, time: i64) -> Option<String> {
    let mut batch = db.appender();
    let added = batch.append(None, labels, Sample::new(time, 1.0));
    batch.commit().unwrap();
    match added {
        Ok(_) => None,
        Err(AppendError::SeriesLimit { limit }) => Some(limit),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_limit_refuses_by_its_name_and_shows_what() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let limits = Options {
        head_series_max: Some(6),
        metric_series_max: Some(3),
        job_series_max: Some(4),
        ..options(WalSync::Always)
    };
    let db = try_open(&fs, &clock, limits).unwrap();
    let check = |metric: &str, job: &str, pod: usize, expected: Option<&str>| {
        assert_eq!(
            try_append(&db, &labels(metric, job, pod), 10).as_deref(),
            expected,
            "{metric} {job} {pod}"
        );
    };
    (0..3).for_each(|pod| check("a", "x", pod, None));
    check("a", "x", 3, Some("metric_series_max"));
    check("a", "y", 3, Some("metric_series_max"));
    check("b", "x", 0, None);
    check("b", "x", 1, Some("job_series_max"));
    check("b", "y", 1, None);
    check("c", "y", 1, None);
    check("c", "z", 1, Some("head_series_max"));
    // Those that are there go on.
    assert_eq!(try_append(&db, &labels("a", "x", 0), 20), None);

    db.shed_new_series(true);
    check("d", "y", 1, Some("memory_budget"));
    assert_eq!(try_append(&db, &labels("a", "x", 1), 20), None);
    db.shed_new_series(false);
    check("d", "y", 1, Some("head_series_max"));

    let refused: Vec<_> = db.refused_series().into_iter().map(|r| (r.limit, r.count, r.examples)).collect();
    let first = |limit: &str, count: u64, example: Labels| (limit.to_owned(), count, vec![example]);
    assert_eq!(
        refused,
        [
            first("head_series_max", 2, labels("c", "z", 1)),
            first("job_series_max", 1, labels("b", "x", 1)),
            first("memory_budget", 1, labels("d", "y", 1)),
            first("metric_series_max", 2, labels("a", "x", 3)),
        ]
    );
    assert_eq!(db.stats().series_refused, 6);
}

#[test]
fn growth_is_told_against_some_minutes_ago() {
    const MINUTE: i64 = 60_000;
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let wide = Options { block_range: Duration::from_secs(7200), ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, wide).unwrap();
    assert_eq!(db.growth(3), []);
    let mut pods = 0..;
    for minute in 0..90 {
        clock.set(minute * MINUTE);
        // One metric grows all the time, the other has stopped after twenty minutes.
        for metric in ["always", "once"].iter().take(if minute < 20 { 2 } else { 1 }) {
            let pod = pods.next().unwrap();
            assert_eq!(try_append(&db, &labels(metric, "x", pod), minute * MINUTE), None);
        }
        db.note_growth();
    }
    let growth = db.growth(3);
    let of = |name: &str, count: u64| (name.to_owned(), count);
    assert_eq!(growth.len(), 2);
    assert_eq!(growth[0].window, Duration::from_secs(5 * 60));
    assert_eq!(growth[0].series_by_metric, [of("always", 5)]);
    assert_eq!(growth[0].values_by_label, [of("pod", 5)]);
    // Beyond the last minutes one count in ten is kept.
    assert_eq!(growth[1].window, Duration::from_secs(69 * 60));
    assert_eq!(growth[1].series_by_metric, [of("always", 69)]);
    assert_eq!(db.growth(0)[0].series_by_metric, []);

    let cardinality = db.cardinality(2);
    assert_eq!(cardinality.series_by_metric, [of("always", 90), of("once", 20)]);
    assert_eq!(cardinality.values_by_label, [of("pod", 110), of("__name__", 2)]);
    assert_eq!(cardinality.series_by_pair, [of("job=x", 110), of("__name__=always", 90)]);
    assert_eq!(cardinality.label_pairs, 113);
    assert_eq!(cardinality.value_bytes_by_label[0], of("pod", 10 * 5 + 90 * 6 + 10 * 7));
}
