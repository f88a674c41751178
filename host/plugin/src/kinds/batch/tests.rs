//! Batches as guests send them: whole, contradictory, with histograms.

use super::*;

fn batch() -> types::Batch {
    types::Batch {
        strings: ["__name__", "a", "b", "c"].map(str::to_owned).to_vec(),
        label_refs: vec![0, 1, 0, 2, 3, 3],
        label_ends: vec![2, 6],
        sample_ends: vec![2, 3],
        timestamps_ms: vec![1, 2, 3],
        values: vec![0.5, 1.5, 2.5],
        families: vec![],
        histograms: vec![],
        exemplars: vec![],
    }
}

#[test]
fn series_have_their_own_labels_and_samples() {
    let batch = batch_in(batch()).unwrap();
    assert_eq!(batch.labels(0).collect::<Vec<_>>(), [("__name__", "a")]);
    assert_eq!(batch.labels(1).collect::<Vec<_>>(), [("__name__", "b"), ("c", "c")]);
    assert_eq!(batch.samples(0).collect::<Vec<_>>(), [(Some(1), 0.5), (Some(2), 1.5)]);
    assert_eq!(batch.samples(1).collect::<Vec<_>>(), [(Some(3), 2.5)]);
    assert_eq!(batch.labels(2).count() + batch.samples(2).count(), 0);
    assert_eq!(batch.labels(usize::MAX).count() + batch.samples(usize::MAX).count(), 0);
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let check = |change: &dyn Fn(&mut types::Batch), expected: &str| {
        let mut batch = batch();
        change(&mut batch);
        assert_eq!(batch_in(batch).unwrap_err(), expected);
    };
    check(&|b| b.label_refs[3] = 4, "label-refs names string 4 of 4");
    check(&|b| b.label_ends = vec![6, 2], "label-ends goes back");
    check(&|b| b.label_ends = vec![2, 4], "label-ends stops at 4 of 6");
    check(&|b| b.label_ends = vec![1, 6], "series 0 has a label without a value");
    check(&|b| b.sample_ends = vec![3], "1 sample-ends for 2 series");
    check(&|b| b.sample_ends = vec![], "3 values for 2 series, and no sample-ends");
    check(&|b| b.sample_ends = vec![2, u32::MAX], "sample-ends stops at 4294967295 of 3");
    check(&|b| b.timestamps_ms = vec![1], "1 timestamps for 3 values");
    let histogram = |series, schema, length| types::NativeHistogram {
        series,
        timestamp_ms: None,
        schema,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 1.0,
        sum: 1.0,
        positive_spans: vec![types::BucketSpan { offset: 0, length }],
        positive_counts: vec![1.0],
        negative_spans: vec![],
        negative_counts: vec![],
        custom_bounds: vec![],
    };
    check(&|b| b.histograms = vec![histogram(2, 0, 1)], "histogram of series 2 of 2");
    check(&|b| b.histograms = vec![histogram(1, 9, 1)], "histogram of series 1: unknown schema 9");
    check(&|b| b.histograms = vec![histogram(1, 300, 1)], "histogram with unknown schema 300");
    check(
        &|b| b.histograms = vec![histogram(1, 0, u32::MAX)],
        "histogram of series 1: spans cover 4294967295 buckets but 1 counts are there",
    );
    let exemplar = types::Exemplar { series: 7, labels: vec![], value: 1.0, timestamp_ms: None };
    check(&|b| b.exemplars = vec![exemplar.clone()], "exemplar of series 7 of 2");
}

#[test]
fn a_good_histogram_belongs_to_its_series() {
    let mut batch = batch();
    batch.histograms.push(types::NativeHistogram {
        series: 1,
        timestamp_ms: Some(5),
        schema: -53,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 3.0,
        sum: 4.5,
        positive_spans: vec![types::BucketSpan { offset: 0, length: 2 }],
        positive_counts: vec![1.0, 2.0],
        negative_spans: vec![],
        negative_counts: vec![],
        custom_bounds: vec![1.0],
    });
    let batch = batch_in(batch).unwrap();
    let sample = &batch.histograms()[0];
    assert_eq!((sample.series, sample.timestamp_ms, sample.histogram.count), (1, Some(5), 3.0));
}

#[test]
fn batches_go_out_as_they_came_in() {
    let mut whole = batch();
    whole.families = vec![types::Family {
        name: "a".into(),
        kind: types::MetricKind::Counter,
        help: "h".into(),
        unit: "s".into(),
    }];
    whole.exemplars = vec![types::Exemplar {
        series: 1,
        labels: vec![types::Label { name: "trace_id".into(), value: "x".into() }],
        value: 2.0,
        timestamp_ms: Some(5),
    }];
    let columns = batch_in(whole).unwrap();
    assert_eq!(batch_in(batch_out(columns.clone())).unwrap(), columns);
}
