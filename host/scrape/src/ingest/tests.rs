//! Answers against a recording storage: what is stored, marked stale, refused.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use formats::exposition::Format;
use model::{Buckets, ColumnExemplar, ColumnHistogram, ColumnParts, Columns, ConfigDuration, Histogram};
use proptest::prelude::*;

use super::*;
use crate::config::{GlobalConfig, ScrapeConfig, ValidationScheme};
use crate::recorder::Recorder;

mod protobuf;

struct Fixture {
    storage: Recorder,
    ingest: Ingest,
    now_ms: i64,
}

/// Rules from a job's settings.
fn rules(job: &str) -> Arc<Rules> {
    let job: ScrapeConfig = serde_saphyr::from_str(&format!("job_name: j\n{job}")).unwrap();
    assert_eq!(job.scrape_interval, None::<ConfigDuration>);
    Arc::new(Rules {
        honor_labels: job.honor_labels,
        honor_timestamps: job.honor_timestamps,
        track_timestamps_staleness: job.track_timestamps_staleness,
        limits: job.limits(&GlobalConfig::default()),
        histograms: HistogramChoice {
            native: job.scrape_native_histograms.unwrap_or_default(),
            classic: job.always_scrape_classic_histograms.unwrap_or_default(),
            convert: job.convert_classic_histograms_to_nhcb.unwrap_or_default(),
        },
        legacy_names: job.metric_name_validation_scheme == Some(ValidationScheme::Legacy),
        extra_metrics: job.extra_scrape_metrics.unwrap_or_default(),
        metric_relabel_configs: job.metric_relabel_configs,
        ..Rules::standard()
    })
}

fn fixture(job: &str) -> Fixture {
    let target = Labels::from_pairs([("job", "j"), ("instance", "i")]);
    Fixture {
        storage: Recorder::new(),
        ingest: Ingest::new(&target, rules(job), Arc::new(Families::new())),
        now_ms: 0,
    }
}

impl Fixture {
    fn scrape(&mut self, fetched: Result<Fetched, Error>) -> Outcome {
        self.now_ms += 1000;
        let at = Timestamp::from_millis(self.now_ms);
        let (duration, timeout) = (Duration::from_millis(5), Duration::from_secs(10));
        self.ingest.store(&self.storage, Scrape { at, fetched, duration, timeout })
    }

    fn text(&mut self, body: &str) -> Outcome {
        self.scrape(Ok(Fetched::Exposition {
            format: Format::PrometheusText,
            body: body.as_bytes().to_vec(),
        }))
    }

    /// Scrapes and compares the error and what was stored.
    fn check(&mut self, body: &str, expected: &Expect) -> Tally {
        let outcome = self.text(body);
        self.check_stored(&outcome, expected);
        outcome.tally
    }

    fn check_stored(&self, outcome: &Outcome, expected: &Expect) {
        let error = outcome.error.as_ref().map(|e| format!("error: {e}\n")).unwrap_or_default();
        expected.assert_eq(&format!("{error}{}", self.storage.take()));
    }
}

#[test]
fn series_that_storage_has_let_go_of_come_back() {
    let mut f = fixture("");
    f.text("a 1\nb 2\n");
    f.storage.take();
    f.storage.forget_series();
    let tally = f.check(
        "a 3\nb 4\nc 5\n",
        &expect![[r#"
        a{instance="i", job="j"} 3 @2000
        b{instance="i", job="j"} 4 @2000
        c{instance="i", job="j"} 5 @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
    assert_eq!((tally.scraped, tally.kept, tally.series_added, tally.appended), (3, 3, 1, 3));
    f.now_ms -= 1000;
    let tally = f.check("a 6\nb 4\n", &expect![[""]]);
    assert_eq!((tally.kept, tally.appended), (2, 0), "the time is taken");
}

#[test]
fn samples_get_the_labels_of_their_target() {
    let mut f = fixture("");
    let tally = f.check(
        "a 1\nb{x=\"y\"} 2\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @1000
        b{instance="i", job="j", x="y"} 2 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    assert_eq!((tally.scraped, tally.kept, tally.series_added, tally.appended), (2, 2, 2, 2));
    let tally = f.text("a 1\nb{x=\"y\"} 2\n").tally;
    assert_eq!((tally.scraped, tally.series_added), (2, 0));
    assert_eq!(f.storage.rows("scrape_samples_scraped")[0].value, 2.0);
    assert_eq!(f.storage.rows("scrape_duration_seconds")[0].value, 0.005);
}

#[test]
fn series_that_vanish_are_marked_stale_once() {
    let mut f = fixture("");
    f.check(
        "a 1\nb 2\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @1000
        b{instance="i", job="j"} 2 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    f.check(
        "a 1\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @2000
        b{instance="i", job="j"} stale @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
    f.check(
        "a 1\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @3000
        up{instance="i", job="j"} 1 @3000
    "#]],
    );
    f.check(
        "a 1\nb 3\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @4000
        b{instance="i", job="j"} 3 @4000
        up{instance="i", job="j"} 1 @4000
    "#]],
    );
}

#[test]
fn the_same_labels_in_another_order_are_the_same_series() {
    let mut f = fixture("");
    f.text("a{x=\"1\",y=\"2\"} 1\n");
    f.storage.take();
    f.check(
        "a{y=\"2\",x=\"1\"} 2\n",
        &expect![[r#"
        a{instance="i", job="j", x="1", y="2"} 2 @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
}

#[test]
fn a_failed_scrape_ends_all_series_until_the_next_good_one() {
    let mut f = fixture("");
    f.text("a 1\n");
    f.storage.take();
    let outcome = f.scrape(Err(Error::Fetch("connection refused".to_owned())));
    f.check_stored(
        &outcome,
        &expect![[r#"
        error: connection refused
        a{instance="i", job="j"} stale @2000
        up{instance="i", job="j"} 0 @2000
    "#]],
    );
    let outcome = f.scrape(Err(Error::Fetch("connection refused".to_owned())));
    f.check_stored(
        &outcome,
        &expect![[r#"
        error: connection refused
        up{instance="i", job="j"} 0 @3000
    "#]],
    );
    f.check(
        "a 1\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @4000
        up{instance="i", job="j"} 1 @4000
    "#]],
    );
}

#[test]
fn an_answer_that_breaks_in_the_middle_is_not_stored() {
    let mut f = fixture("");
    f.text("a 1\n");
    f.storage.take();
    f.check(
        "b 1\na 2\n}{\n",
        &expect![[r#"
        error: line 3: metric name is missing
        a{instance="i", job="j"} stale @2000
        up{instance="i", job="j"} 0 @2000
    "#]],
    );
    f.check(
        "a 3\n",
        &expect![[r#"
        a{instance="i", job="j"} 3 @3000
        up{instance="i", job="j"} 1 @3000
    "#]],
    );
}

#[test]
fn conflicting_labels_are_kept_as_exported_unless_honoured() {
    let body = "a{job=\"mine\",exported_job=\"x\",instance=\"k\"} 1\n";
    fixture("").check(body, &expect![[r#"
        a{exported_exported_job="mine", exported_instance="k", exported_job="x", instance="i", job="j"} 1 @1000
        up{instance="i", job="j"} 1 @1000
    "#]]);
    fixture("honor_labels: true").check(
        body,
        &expect![[r#"
        a{exported_job="x", instance="k", job="mine"} 1 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
}

#[test]
fn metric_relabelling_renames_and_drops() {
    let mut f = fixture(
        "metric_relabel_configs:
- {source_labels: [__name__], regex: drop_.*, action: drop}
- {regex: secret, action: labeldrop}",
    );
    let tally = f.check(
        "drop_me 1\nkept{secret=\"s\"} 2\n",
        &expect![[r#"
        kept{instance="i", job="j"} 2 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    assert_eq!((tally.scraped, tally.kept), (2, 1));
    // A dropped series costs its look-up alone, and is no series that vanishes.
    f.check(
        "kept{secret=\"s\"} 2\n",
        &expect![[r#"
        kept{instance="i", job="j"} 2 @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
}

#[test]
fn limits_fail_the_scrape() {
    let mut f = fixture("sample_limit: 2");
    f.text("a 1\n");
    f.storage.take();
    let tally = f.check(
        "a 1\nb 2\nc 3\nd 4\n",
        &expect![[r#"
        error: sample limit exceeded
        a{instance="i", job="j"} stale @2000
        up{instance="i", job="j"} 0 @2000
    "#]],
    );
    assert_eq!((tally.scraped, tally.kept, tally.appended), (4, 4, 0));
    f.check(
        "a 1\nb 2\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @3000
        b{instance="i", job="j"} 2 @3000
        up{instance="i", job="j"} 1 @3000
    "#]],
    );
    fixture("label_limit: 3").check(
        "a{x=\"1\"} 1\n",
        &expect![[r#"
        error: label_limit exceeded (metric: a, number of labels: 4, limit: 3)
        up{instance="i", job="j"} 0 @1000
    "#]],
    );
    fixture("label_name_length_limit: 8").check(
        "a{long_name=\"1\"} 1\n",
        &expect![[r#"
        error: label_name_length_limit exceeded (metric: a, label name: long_name, length: 9, limit: 8)
        up{instance="i", job="j"} 0 @1000
    "#]],
    );
    fixture("label_value_length_limit: 3").check("a{x=\"long\"} 1\n", &expect![[r#"
        error: label_value_length_limit exceeded (metric: a, label name: x, value: "long", length: 4, limit: 3)
        up{instance="i", job="j"} 0 @1000
    "#]]);
}

#[test]
fn timestamps_count_where_they_are_honoured() {
    let mut f = fixture("");
    f.check(
        "a 1 500\nb 2\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @500
        b{instance="i", job="j"} 2 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    // Storage knows the sample already; nothing of it ends when it vanishes.
    let tally = f.check(
        "a 1 500\nb 2\n",
        &expect![[r#"
        b{instance="i", job="j"} 2 @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
    assert_eq!(tally.rejected.duplicate, 1);
    f.check(
        "b 2\n",
        &expect![[r#"
        b{instance="i", job="j"} 2 @3000
        up{instance="i", job="j"} 1 @3000
    "#]],
    );

    let mut f = fixture("honor_timestamps: false");
    f.check(
        "a 1 500\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    f.check(
        "",
        &expect![[r#"
        a{instance="i", job="j"} stale @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );

    let mut f = fixture("track_timestamps_staleness: true");
    f.text("a 1 500\n");
    f.storage.take();
    f.check(
        "",
        &expect![[r#"
        a{instance="i", job="j"} stale @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
}

#[test]
fn refused_samples_are_counted_and_the_rest_is_kept() {
    let mut f = fixture("");
    let tally = f.check(
        "a 1\na 2\nb 1 99999999\nc 1\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @1000
        c{instance="i", job="j"} 1 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    assert_eq!((tally.rejected.duplicate, tally.rejected.out_of_bounds, tally.appended), (1, 1, 2));
}

#[test]
fn stale_markers_outlive_a_failed_commit() {
    let mut f = fixture("");
    f.text("a 1\nb 1\n");
    f.storage.take();
    f.storage.fail_commits(true);
    f.check(
        "a 1\n",
        &expect![[r#"
        error: commit samples: disk is full
    "#]],
    );
    f.storage.fail_commits(false);
    f.check(
        "a 1\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @3000
        b{instance="i", job="j"} stale @3000
        up{instance="i", job="j"} 1 @3000
    "#]],
    );
}

#[test]
fn other_rules_end_the_series_that_they_no_longer_make() {
    let mut f = fixture("");
    f.text("a{x=\"1\"} 1\nb 1\n");
    f.storage.take();
    f.ingest.set_rules(&rules("metric_relabel_configs: [{regex: x, action: labeldrop}]"));
    f.check(
        "a{x=\"1\"} 1\nb 1\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @2000
        a{instance="i", job="j", x="1"} stale @2000
        b{instance="i", job="j"} 1 @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
}

#[test]
fn the_end_of_a_target_ends_all_its_series() {
    let mut f = fixture("");
    f.text("a 1\n");
    f.storage.take();
    f.ingest.end(&f.storage, Timestamp::from_millis(1500)).unwrap();
    assert!(f.storage.rows("scrape_series_added").iter().all(|row| model::staleness::is_stale(row.value)));
    expect![[r#"
        a{instance="i", job="j"} stale @1500
        up{instance="i", job="j"} stale @1500
    "#]]
    .assert_eq(&f.storage.take());
}

#[test]
fn metadata_is_told_once_and_again_when_it_changes() {
    let mut f = fixture("");
    let body = "# HELP a Things.\n# TYPE a counter\na 1\n";
    f.text(body);
    let told = f.storage.take_metadata();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0.as_str(), told[0].1.help.as_str()), ("a", "Things."));
    f.text(body);
    assert!(f.storage.take_metadata().is_empty());
    f.text("# HELP a Other things.\n# TYPE a counter\na 1\n");
    assert_eq!(f.storage.take_metadata()[0].1.help, "Other things.");
}

#[test]
fn exemplars_without_a_time_are_stored_once() {
    let mut f = fixture("");
    let body = "# TYPE a counter\na_total 1 # {trace_id=\"t\"} 0.5\n# EOF\n";
    for _ in 0..2 {
        let body = body.as_bytes().to_vec();
        let outcome = f.scrape(Ok(Fetched::Exposition { format: Format::OpenMetricsText, body }));
        assert!(outcome.error.is_none());
    }
    assert_eq!(f.storage.exemplar_count(), 1);
}

fn parts() -> ColumnParts {
    let mut histogram = Histogram { count: 3.0, sum: 4.5, ..Histogram::stale() };
    histogram.positive = Buckets::from_pairs([(0, 1.0), (1, 2.0)]);
    ColumnParts {
        strings: ["__name__", "a", "h", "x", "1"].map(str::to_owned).to_vec(),
        label_refs: vec![3, 4, 0, 1, 0, 2],
        label_ends: vec![4, 6],
        sample_ends: vec![1, 1],
        values: vec![7.0],
        histograms: vec![ColumnHistogram { series: 1, timestamp_ms: None, histogram }],
        exemplars: vec![ColumnExemplar {
            series: 0,
            labels: vec![("trace_id".to_owned(), "t".to_owned())],
            value: 1.0,
            timestamp_ms: None,
        }],
        ..ColumnParts::default()
    }
}

fn columns(parts: ColumnParts) -> Columns {
    Columns::try_from(parts).unwrap()
}

#[test]
fn columns_are_stored_as_text_is() {
    let mut f = fixture("");
    let outcome = f.scrape(Ok(Fetched::Columns(columns(parts()))));
    f.check_stored(
        &outcome,
        &expect![[r#"
        a{instance="i", job="j", x="1"} 7 @1000
        h{instance="i", job="j"} 4.5 histogram @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    assert_eq!((outcome.tally.scraped, outcome.tally.series_added), (2, 2));
    let outcome = f.scrape(Ok(Fetched::Columns(columns(parts()))));
    assert_eq!(outcome.tally.series_added, 0);
    assert_eq!(f.storage.exemplar_count(), 1);
    f.storage.take();
    let outcome = f.scrape(Ok(Fetched::Columns(Columns::default())));
    f.check_stored(
        &outcome,
        &expect![[r#"
        a{instance="i", job="j", x="1"} stale @3000
        h{instance="i", job="j"} stale histogram @3000
        up{instance="i", job="j"} 1 @3000
    "#]],
    );
}

#[test]
fn columns_that_lie_fail_the_scrape() {
    let mut f = fixture("");
    let twice = ColumnParts { label_refs: vec![0, 1, 0, 1, 0, 2], ..parts() };
    let outcome = f.scrape(Ok(Fetched::Columns(columns(twice))));
    f.check_stored(
        &outcome,
        &expect![[r#"
        error: invalid columns: series 0 has a label without a name, or one twice
        up{instance="i", job="j"} 0 @1000
    "#]],
    );
    let nameless = ColumnParts { label_refs: vec![3, 4, 4, 1, 0, 2], ..parts() };
    let outcome = f.scrape(Ok(Fetched::Columns(columns(nameless))));
    f.check_stored(
        &outcome,
        &expect![[r#"
        error: invalid sample: missing metric name in {"1"="a", instance="i", job="j", x="1"}
        up{instance="i", job="j"} 0 @2000
    "#]],
    );
}

proptest! {
    /// Whatever a target answers, and whether storage works or not: the series that have not ended are those
    /// of the last answer that was committed.
    #[test]
    fn what_lives_is_what_the_last_answer_had(
        steps in prop::collection::vec(
            (prop::option::weighted(0.8, prop::collection::btree_set(0u8..6, 0..6)), prop::bool::weighted(0.8)),
            1..20,
        ),
        reload_at in 0usize..20,
    ) {
        let mut f = fixture("");
        let mut expected = BTreeSet::new();
        for (at, (answer, commits)) in steps.into_iter().enumerate() {
            if at == reload_at {
                f.ingest.set_rules(&rules("metric_relabel_configs: [{regex: m3, action: labeldrop}]"));
            }
            f.storage.fail_commits(!commits);
            let names: BTreeSet<String> = answer.iter().flatten().map(|n| format!("m{n}")).collect();
            match answer {
                Some(_) => {
                    f.text(&names.iter().map(|name| format!("{name} 1\n")).collect::<String>());
                }
                None => {
                    f.scrape(Err(Error::Fetch("connection refused".to_owned())));
                }
            }
            if commits {
                expected = names;
            }
            prop_assert_eq!(f.storage.live(), expected.clone());
        }
    }
}

#[test]
fn classic_histograms_become_native_ones_with_their_bounds() {
    const BODY: &str =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n";
    let mut f = fixture("convert_classic_histograms_to_nhcb: true");
    f.check(
        BODY,
        &expect![[r#"
            h{instance="i", job="j"} 4.5 histogram @1000
            up{instance="i", job="j"} 1 @1000
        "#]],
    );
    let mut f = fixture("convert_classic_histograms_to_nhcb: true\nalways_scrape_classic_histograms: true");
    let tally = f.text(BODY).tally;
    assert_eq!((tally.scraped, tally.appended), (5, 5));
    assert!(f.storage.take().contains("h_bucket{instance=\"i\", job=\"j\", le=\"1.0\"} 2 @1000\n"));
}

#[test]
fn buckets_are_merged_as_far_as_they_can_be() {
    const BODY: &str =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n";
    let mut f = fixture("convert_classic_histograms_to_nhcb: true\nnative_histogram_bucket_limit: 2");
    assert!(f.text(BODY).error.is_none());
    let mut f = fixture("convert_classic_histograms_to_nhcb: true\nnative_histogram_bucket_limit: 1");
    f.check(
        BODY,
        &expect![[r#"
            error: histogram bucket limit exceeded
            up{instance="i", job="j"} 0 @1000
        "#]],
    );
}

#[test]
fn names_are_classic_where_that_is_asked_for() {
    let mut f = fixture("metric_name_validation_scheme: legacy");
    assert!(f.text("a:b{c_1=\"X\"} 1\n").error.is_none());
    f.storage.take();
    f.check(
        "{\"a.b\"} 1\n",
        &expect![[r#"
            error: invalid sample: invalid metric name or label names: {"a.b", instance="i", job="j"}
            a:b{c_1="X", instance="i", job="j"} stale @2000
            up{instance="i", job="j"} 0 @2000
        "#]],
    );
}

#[test]
fn more_is_reported_on_demand() {
    let mut f = fixture("extra_scrape_metrics: true\nsample_limit: 7");
    f.text("a 1\n");
    let value = |f: &Fixture, name: &str| f.storage.rows(name).last().map(|row| row.value);
    assert_eq!(value(&f, "scrape_timeout_seconds"), Some(10.0));
    assert_eq!(value(&f, "scrape_sample_limit"), Some(7.0));
    assert_eq!(value(&f, "scrape_body_size_bytes"), Some(4.0));
    f.scrape(Err(Error::BodyTooLong));
    assert_eq!(value(&f, "scrape_body_size_bytes"), Some(-1.0));
    f.ingest.set_rules(&rules(""));
    f.text("a 1\n");
    assert!(value(&f, "scrape_body_size_bytes").is_some_and(model::staleness::is_stale));
    f.text("a 1\n");
    assert_eq!(f.storage.rows("scrape_body_size_bytes").len(), 3);
}

/// On the command line's word, `_created` is a start; without it, a series as any other.
#[test]
fn created_lines_are_starts_on_demand() {
    let body = "# TYPE c counter\nc_total 3\nc_created 0.5\n# EOF\n";
    let fetched =
        || Ok(Fetched::Exposition { format: Format::OpenMetricsText, body: body.as_bytes().to_vec() });
    let mut f = fixture("");
    f.scrape(fetched());
    assert_eq!(f.storage.rows("c_created").len(), 1);
    assert_eq!(f.storage.rows("c_total")[0].start, None);

    let mut f = fixture("");
    f.ingest.set_rules(&Arc::new(Rules { created_as_starts: true, ..Rules::standard() }));
    for _ in 0..2 {
        assert_eq!(f.scrape(fetched()).tally.scraped, 1);
    }
    assert_eq!(f.storage.rows("c_created").len(), 0);
    let starts: Vec<Option<i64>> = f.storage.rows("c_total").iter().map(|row| row.start).collect();
    assert_eq!(starts, [Some(500), Some(500)]);
}

#[test]
fn comments_that_were_there_before_are_not_read_again() {
    let mut f = fixture("");
    let page = |comments: &[&str]| {
        comments.iter().map(|text| format!("# {text}\nm{} 1\n", text.len())).collect::<String>()
    };
    for (comments, known) in [
        (&["TYPE a counter", "HELP b B.", "just so"][..], 3),
        (&["HELP b B.", "just so"][..], 2),
        (&["TYPE c gauge", "HELP b B.", "HELP d D."][..], 3),
        (&[][..], 0),
    ] {
        assert!(f.text(&page(comments)).error.is_none());
        assert_eq!(f.ingest.cache.comments().count(), known, "{comments:?}");
    }
    // The same bytes mean something else in another format.
    f.text("a 1\n# EOF\n");
    let body = b"a 1\n# EOF\n".to_vec();
    let outcome = f.scrape(Ok(Fetched::Exposition { format: Format::OpenMetricsText, body }));
    assert!(outcome.error.is_none());
}

/// Lines that mean the same wherever they stand: what a family is, is not said in two ways.
const LINES: &str = "(# TYPE b histogram\n(# HELP b x\n)?b\\{le=\"[0-9]\"\\} 1\n\
    |# TYPE c summary\nc\\{quantile=\"[0-9]\"\\} 1\n\
    |# HELP [abcd] x\n| # HELP a x\n|#\n|# note [0-9]\n|[ad] 1\n){1,3}";

proptest! {
    /// What is remembered of one answer changes nothing in how the next one is read.
    #[test]
    fn an_answer_means_the_same_after_others(
        before in prop::collection::vec(LINES, 0..8),
        after in prop::collection::vec(LINES, 0..8),
        cut in 0_usize..4,
    ) {
        let mut after = after.concat();
        // The last line has no end, or ends early.
        after.truncate(after.len().saturating_sub(cut));
        let read = |answers: &[&str]| {
            let mut f = fixture("");
            let errors: Vec<bool> = answers.iter().map(|body| f.text(body).error.is_some()).collect();
            let names: Vec<String> = f.ingest.families().iter().map(|family| format!("{family:?}")).collect();
            (errors.last().copied(), f.storage.live_series(), (!errors[errors.len() - 1]).then_some(names))
        };
        let before = before.concat();
        prop_assert_eq!(read(&[&before, &after]), read(&[&after]));
        let twice = format!("{before}{after}");
        prop_assert_eq!(read(&[&twice, &after, &before, &twice]), read(&[&twice]));
    }
}
