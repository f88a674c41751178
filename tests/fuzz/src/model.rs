//! Labels as one encoded span.

use model::Labels;

use crate::Target;

pub(crate) const LABELS: Target = Target {
    name: "labels",
    run: |bytes| {
        if let Ok(labels) = Labels::from_encoded(bytes) {
            assert_eq!(labels.as_encoded(), bytes);
            assert_eq!(
                Labels::from_pairs(labels.iter()),
                labels,
                "the span is not the one that its pairs make"
            );
        }
    },
    seeds: || {
        let long = "v".repeat(300);
        let sets: [&[(&str, &str)]; 3] = [
            &[("__name__", "up")],
            &[("__name__", "up"), ("instance", "a:9090"), ("job", "b")],
            &[("long", &long), ("ünïcode", "☃")],
        ];
        sets.iter().map(|pairs| Labels::from_pairs(pairs.iter().copied()).as_encoded().to_vec()).collect()
    },
};
