//! Columns that fit, columns that do not, and arbitrary ones, which may be refused but never panic.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn parts() -> ColumnParts {
    ColumnParts {
        strings: ["__name__", "a", "b", "x", "1"].map(str::to_owned).to_vec(),
        label_refs: vec![0, 1, 0, 2, 3, 4],
        label_ends: vec![2, 6],
        values: vec![1.0, 2.0],
        ..ColumnParts::default()
    }
}

#[test]
fn series_and_samples_are_found() {
    let columns = Columns::try_from(parts()).unwrap();
    assert_eq!(columns.labels(1).collect::<Vec<_>>(), [("__name__", "b"), ("x", "1")]);
    assert_eq!(columns.samples(1).collect::<Vec<_>>(), [(None, 2.0)]);
    assert_eq!(columns.labels(2).count() + columns.samples(2).count(), 0);
    let several = ColumnParts {
        values: vec![1.0, 2.0, 3.0],
        timestamps_ms: vec![10, 20, 30],
        sample_ends: vec![1, 3],
        ..parts()
    };
    let columns = Columns::try_from(several).unwrap();
    assert_eq!(columns.samples(1).collect::<Vec<_>>(), [(Some(20), 2.0), (Some(30), 3.0)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |change: &dyn Fn(&mut ColumnParts), expected: Expect| {
        let mut parts = parts();
        change(&mut parts);
        expected.assert_eq(&Columns::try_from(parts).unwrap_err().to_string());
    };
    check(&|c| c.label_refs[1] = 5, expect!["label-refs names string 5 of 5"]);
    check(&|c| c.label_ends[1] = 8, expect!["label-ends stops at 8 of 6"]);
    check(&|c| c.label_ends[1] = 4, expect!["label-ends stops at 4 of 6"]);
    check(&|c| c.label_ends[0] = 3, expect!["series 0 has a label without a value"]);
    check(&|c| c.label_ends = vec![6, 2], expect!["label-ends goes back"]);
    check(&|c| c.values.push(0.0), expect!["3 values for 2 series, and no sample-ends"]);
    check(&|c| c.sample_ends = vec![2], expect!["1 sample-ends for 2 series"]);
    check(&|c| c.sample_ends = vec![1, 3], expect!["sample-ends stops at 3 of 2"]);
    check(&|c| c.timestamps_ms = vec![1], expect!["1 timestamps for 2 values"]);
    let histogram = ColumnHistogram { series: 7, timestamp_ms: None, histogram: Histogram::stale() };
    check(&|c| c.histograms.push(histogram.clone()), expect!["histogram of series 7 of 2"]);
    let exemplar = ColumnExemplar { series: 2, labels: vec![], value: 0.0, timestamp_ms: None };
    check(&|c| c.exemplars.push(exemplar.clone()), expect!["exemplar of series 2 of 2"]);
}

proptest! {
    #[test]
    fn arbitrary_columns_never_panic(
        label_refs in prop::collection::vec(0u32..8, 0..12),
        label_ends in prop::collection::vec(any::<u32>().prop_map(|n| n % 16), 0..6),
        sample_ends in prop::collection::vec(any::<u32>(), 0..6),
        timestamps_ms in prop::collection::vec(any::<i64>(), 0..6),
        values in prop::collection::vec(any::<f64>(), 0..6),
    ) {
        let strings = ["a", "b", "c"].map(str::to_owned).to_vec();
        let value_count = values.len();
        let parts =
            ColumnParts { strings, label_refs, label_ends, sample_ends, timestamps_ms, values, ..ColumnParts::default() };
        if let Ok(columns) = Columns::try_from(parts) {
            let samples: usize = (0..columns.series_count()).map(|i| {
                columns.labels(i).count();
                columns.samples(i).count()
            }).sum();
            prop_assert_eq!(samples, value_count);
        }
    }
}
