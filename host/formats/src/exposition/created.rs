//! Start timestamps of OpenMetrics: its text tells them as samples of their own, `…_created`, beside those that they are of.
//!
//! ```text
//! # TYPE requests counter
//! requests_total{code="200"} 12          a sample with the start 1520872607.123
//! requests_created{code="200"} 1520872607.123
//! ```
//! Only counters, histograms and summaries have any; another family's sample of such a name is a sample. A line may stand
//! before or after what it is of, so that a text which has any is read twice.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::collections::HashMap;

use model::{MetricKind, Timestamp};

use super::cursor::Cursor;
use super::series::{Part, scan_series};
use super::{Entry, Format, ParseError, ScrapedSample, parse};

const SUFFIX: &str = "_created";

/// The family that lines belong to.
#[derive(Default)]
struct Family {
    name: String,
    /// The endings of its samples' names, and the label that tells samples of one metric apart.
    known: Option<(&'static [&'static str], &'static str)>,
}

impl Family {
    fn note(&mut self, entry: &Entry<'_>) {
        if let Entry::Kind { family, kind } = entry {
            family.as_ref().clone_into(&mut self.name);
            self.known = match kind {
                MetricKind::Counter => Some((&["_total", ""], "")),
                MetricKind::Histogram => Some((&["_bucket", "_count", "_sum"], "le")),
                MetricKind::Summary => Some((&["", "_count", "_sum"], "quantile")),
                _ => None,
            };
        }
    }

    /// What the samples of one metric have in common, and whether this one tells their start; `None` where nothing
    /// tells that of such a sample.
    fn metric(&self, sample: &ScrapedSample<'_>) -> Option<(String, bool)> {
        let (endings, apart) = self.known?;
        let (mut name, mut labels) = ("", Vec::new());
        let scanned = scan_series(&mut Cursor::new(sample.series), |part| match part {
            Part::Name(text) => name = text,
            Part::Label { name, .. } if name == apart => {}
            Part::Label { name, value } => labels.push((name, value)),
        });
        let ending = name.strip_prefix(&*self.name).filter(|_| scanned.is_ok())?;
        if ending != SUFFIX && !endings.contains(&ending) {
            return None;
        }
        labels.sort_unstable();
        let mut metric = self.name.clone();
        for (name, value) in labels {
            metric.extend([",", name, "=\"", value, "\""]);
        }
        Some((metric, ending == SUFFIX))
    }
}

/// Reads OpenMetrics' text as [`parse`] does, but for start timestamps: they are those of the samples that they are of,
/// and no samples.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_starts<E: From<ParseError>>(
    body: &[u8],
    sink: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if memchr::memmem::find(body, SUFFIX.as_bytes()).is_none() {
        return parse(Format::OpenMetricsText, body, sink);
    }
    let (mut family, mut starts) = (Family::default(), HashMap::new());
    // What is wrong with a line is said by the second reading.
    let _ = parse::<ParseError>(Format::OpenMetricsText, body, &mut |entry| {
        family.note(&entry);
        if let Entry::Sample(sample) = &entry
            && let Some((metric, true)) = family.metric(sample)
        {
            starts.insert(metric, Timestamp::from_secs_f64(sample.value));
        }
        Ok(())
    });
    let mut family = Family::default();
    parse(Format::OpenMetricsText, body, &mut |mut entry| {
        family.note(&entry);
        if let Entry::Sample(sample) = &mut entry {
            match family.metric(sample) {
                Some((_, true)) => return Ok(()),
                Some((metric, false)) => sample.start = starts.get(&metric).copied(),
                None => {}
            }
        }
        sink(entry)
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let mut lines = String::new();
        let read = parse_with_starts::<ParseError>(format!("{text}# EOF\n").as_bytes(), &mut |entry| {
            if let Entry::Sample(sample) = entry {
                let start =
                    sample.start.map(|start| format!(" since {}", start.millis())).unwrap_or_default();
                lines += &format!("{} {}{start}\n", sample.series, sample.value);
            }
            Ok(())
        });
        if let Err(error) = read {
            lines += &format!("{error}\n");
        }
        expected.assert_eq(&lines);
    }

    #[test]
    fn counters_histograms_and_summaries_have_starts() {
        check(
            "# TYPE c counter\n\
             c_total{a=\"x\",b=\"y\"} 3\nc_created{b=\"y\",a=\"x\"} 1520872607.123\nc_total{a=\"z\",b=\"y\"} 4\n\
             # TYPE h histogram\n\
             h_created 12.5\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\n\
             # TYPE s summary\n\
             s{quantile=\"0.5\"} 1\ns_count 2\ns_sum 3\ns_created 7\n",
            &expect![[r#"
                c_total{a="x",b="y"} 3 since 1520872607123
                c_total{a="z",b="y"} 4
                h_bucket{le="1"} 1 since 12500
                h_bucket{le="+Inf"} 2 since 12500
                h_count 2 since 12500
                h_sum 3 since 12500
                s{quantile="0.5"} 1 since 7000
                s_count 2 since 7000
                s_sum 3 since 7000
            "#]],
        );
    }

    #[test]
    fn what_is_of_no_counter_stays_a_sample() {
        check(
            "# TYPE file_created gauge\nfile_created 5\n# TYPE c counter\nother_created 6\nc_total 1\n\
             # TYPE c_created unknown\nc_created 8\n",
            &expect![[r"
                file_created 5
                other_created 6
                c_total 1
                c_created 8
            "]],
        );
    }

    #[test]
    fn a_wrong_line_is_told_as_without_starts() {
        check(
            "# TYPE c counter\nc_created 6\nc_total 1\nc_total x\n",
            &expect![[r#"
                c_total 1 since 6000
                line 4: invalid value "x"
            "#]],
        );
    }
}
