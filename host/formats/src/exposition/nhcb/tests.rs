//! What becomes of classic histograms.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::exposition::{Format, parse};

fn check(keep_classic: bool, body: &str, expected: &Expect) {
    let mut text = String::new();
    let read = |sink: &mut dyn FnMut(Entry<'_>) -> Result<(), ParseError>| {
        parse(Format::OpenMetricsText, body.as_bytes(), sink)
    };
    convert(keep_classic, read, &mut |entry| {
        match entry {
            Entry::Sample(s) => writeln!(text, "{} {}", s.series, s.value),
            Entry::Histogram(h) => {
                let pairs: Vec<_> = h.histogram.positive.iter().collect();
                let bounds = h.histogram.custom_values.as_deref().unwrap_or_default();
                let (count, sum) = (h.histogram.count, h.histogram.sum);
                assert_eq!(h.histogram.validate(), Ok(()));
                writeln!(text, "{} {bounds:?} {pairs:?} {count} {sum} {}", h.series, h.exemplars.len())
            }
            _ => Ok(()),
        }
        .unwrap();
        Ok::<_, ParseError>(())
    })
    .unwrap();
    expected.assert_eq(&text);
}

const BODY: &str = "\
# TYPE up gauge
up 1
# TYPE h histogram
h_bucket{a=\"x\",le=\"1\"} 2
h_bucket{a=\"x\",le=\"2.5\"} 2 # {t=\"y\"} 2 1.5
h_bucket{a=\"x\",le=\"+Inf\"} 5
h_count{a=\"x\"} 5
h_sum{a=\"x\"} 11.5
h_created{a=\"x\"} 3
h_bucket{le=\"1\"} 1
h_sum 1
h_count 4
# TYPE g gauge
g_count 1
# EOF
";

#[test]
fn lines_of_a_histogram_become_one() {
    check(
        false,
        BODY,
        &expect![[r#"
            up 1
            h{a="x"} [1.0, 2.5] [(0, 2.0), (2, 3.0)] 5 11.5 1
            h_created{a="x"} 3
            h [1.0] [(0, 1.0), (1, 3.0)] 4 1 0
            g_count 1
        "#]],
    );
}

#[test]
fn classic_series_stay_where_they_are_wanted() {
    check(
        true,
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\n# EOF\n",
        &expect![[r#"
            h_bucket{le="+Inf"} 2
            h_count 2
            h_sum 3
            h [] [(0, 2.0)] 2 3 0
        "#]],
    );
}

#[test]
fn what_contradicts_itself_is_left_out() {
    for body in [
        "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 3\n# EOF\n",
        "# TYPE h histogram\nh_sum 3\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} NaN\n# EOF\n",
    ] {
        check(false, body, &expect![[""]]);
    }
}

proptest! {
    #[test]
    fn any_page_becomes_valid_histograms(lines in prop::collection::vec(line(), 0..40), keep in any::<bool>()) {
        let body: String = lines.concat();
        let mut scraped = 0;
        let read = |sink: &mut dyn FnMut(Entry<'_>) -> Result<(), ParseError>| {
            parse(Format::PrometheusText, body.as_bytes(), sink)
        };
        let mut histograms = Vec::new();
        convert(keep, read, &mut |entry| {
            match entry {
                Entry::Histogram(h) => histograms.push((h.histogram.clone(), h.labels())),
                Entry::Sample(_) => scraped += 1,
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        for (histogram, labels) in histograms {
            prop_assert_eq!(histogram.validate(), Ok(()));
            prop_assert!(labels.is_ok_and(|labels| labels.get("le").is_none()));
            let counts: f64 = histogram.positive.counts.iter().sum();
            prop_assert_eq!(counts, histogram.count);
        }
        let samples = lines.iter().filter(|line| !line.starts_with('#')).count();
        let fits = if keep { scraped == samples } else { scraped <= samples };
        prop_assert!(fits);
    }
}

/// One line of a page about a few families.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["h", "g"]);
    let label = prop::sample::select(vec!["", "a=\"1\"", "a=\"\\\"\""]);
    let bound = prop::sample::select(vec!["-1", "0.5", "1", "1.0", "+Inf", "NaN", "x"]);
    let value = prop::sample::select(vec!["0", "1", "2", "3.5", "-1", "NaN", "+Inf"]);
    prop_oneof![
        (name.clone(), prop::sample::select(vec!["histogram", "gauge"]))
            .prop_map(|(name, kind)| format!("# TYPE {name} {kind}\n")),
        (name.clone(), label.clone(), bound, value.clone()).prop_map(|(name, label, bound, value)| {
            let comma = if label.is_empty() { "" } else { "," };
            format!("{name}_bucket{{{label}{comma}le=\"{bound}\"}} {value}\n")
        }),
        (name, prop::sample::select(vec!["_sum", "_count", "_created", ""]), label, value)
            .prop_map(|(name, suffix, label, value)| format!("{name}{suffix}{{{label}}} {value}\n")),
    ]
}
