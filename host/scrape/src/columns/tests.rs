//! Columns that fit, columns that do not, and arbitrary ones, which may be refused but never panic.

use proptest::prelude::*;

use super::*;

fn columns() -> Columns {
    Columns {
        strings: ["__name__", "a", "b", "x", "1"].map(str::to_owned).to_vec(),
        label_refs: vec![0, 1, 0, 2, 3, 4],
        label_ends: vec![2, 6],
        values: vec![1.0, 2.0],
        ..Columns::default()
    }
}

#[test]
fn series_and_samples_are_found() {
    let mut columns = columns();
    columns.check().unwrap();
    assert_eq!(columns.labels(1).collect::<Vec<_>>(), [("__name__", "b"), ("x", "1")]);
    assert_eq!(columns.samples(1).collect::<Vec<_>>(), [(None, 2.0)]);
    columns.values = vec![1.0, 2.0, 3.0];
    columns.timestamps_ms = vec![10, 20, 30];
    columns.sample_ends = vec![1, 3];
    columns.check().unwrap();
    assert_eq!(columns.samples(1).collect::<Vec<_>>(), [(Some(20), 2.0), (Some(30), 3.0)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |change: &dyn Fn(&mut Columns)| {
        let mut columns = columns();
        change(&mut columns);
        assert!(columns.check().is_err(), "{columns:?} was accepted");
    };
    check(&|c| c.label_refs[1] = 5);
    check(&|c| c.label_ends[1] = 8);
    check(&|c| c.label_ends[1] = 4);
    check(&|c| c.label_ends[0] = 3);
    check(&|c| c.label_ends = vec![6, 2]);
    check(&|c| c.values.push(0.0));
    check(&|c| c.sample_ends = vec![2]);
    check(&|c| c.sample_ends = vec![1, 3]);
    check(&|c| c.timestamps_ms = vec![1]);
    check(&|c| {
        c.exemplars.push(ColumnExemplar { series: 2, labels: vec![], value: 0.0, timestamp_ms: None });
    });
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
        let columns = Columns { strings, label_refs, label_ends, sample_ends, timestamps_ms, values, ..Columns::default() };
        let fits = columns.check().is_ok();
        let samples: usize = (0..columns.series_count()).map(|i| {
            columns.labels(i).count();
            columns.samples(i).count()
        }).sum();
        prop_assert!(!fits || samples == columns.values.len());
    }
}
