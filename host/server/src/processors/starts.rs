//! Start timestamps around processors: the interfaces have no place for them, so that they are kept here and found again for
//! what a processor answers.
//!
//! A sample is never given a start that may be another's: a series is known by its labels, or by its samples where a processor
//! has given it others; where two series with the same samples come into question and started at different times, it is left
//! without a start, as one that its sender told nothing of.

use std::collections::HashMap;

use model::{Labels, Timestamp};

/// When a sample's counter started, by the sample's time.
pub(super) type Starts = Vec<(Timestamp, Timestamp)>;

/// What tells the samples of a series from those of another: times and values.
pub(super) type Content = Vec<(Timestamp, u64)>;

/// One series as it came in.
struct Origin<'a> {
    labels: &'a Labels,
    starts: &'a Starts,
}

/// The series of a batch as they came in, and their starts.
#[derive(Default)]
pub(super) struct Origins<'a> {
    by_labels: HashMap<&'a Labels, &'a Starts>,
    by_content: HashMap<Content, Vec<Origin<'a>>>,
}

impl<'a> Origins<'a> {
    pub(super) fn add(&mut self, labels: &'a Labels, content: Content, starts: &'a Starts) {
        self.by_labels.insert(labels, starts);
        self.by_content.entry(content).or_default().push(Origin { labels, starts });
    }

    /// The starts of a series that a processor answered.
    pub(super) fn of(&self, labels: &Labels, content: &Content) -> Option<&'a Starts> {
        if let Some(starts) = self.by_labels.get(labels) {
            return Some(starts);
        }
        let all = self.by_content.get(content)?;
        let shared = |origin: &Origin<'_>| {
            origin.labels.iter().filter(|(name, value)| labels.get(name) == Some(value)).count()
        };
        let most = all.iter().map(shared).max()?;
        let mut alike = all.iter().filter(|origin| shared(origin) == most);
        let first = alike.next()?.starts;
        alike.all(|origin| origin.starts == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_found_again_or_left_out() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let at = Timestamp::from_millis;
        let content = |value: f64| vec![(at(10), value.to_bits())];
        let series = [
            (labels(&[("__name__", "a"), ("pod", "1")]), 1.0, 5),
            (labels(&[("__name__", "b"), ("pod", "1")]), 1.0, 6),
            (labels(&[("__name__", "c"), ("pod", "1")]), 2.0, 7),
            (labels(&[("__name__", "d"), ("pod", "2")]), 3.0, 8),
            (labels(&[("__name__", "d"), ("pod", "3")]), 3.0, 9),
        ];
        let starts: Vec<Starts> = series.iter().map(|(_, _, start)| vec![(at(10), at(*start))]).collect();
        let mut origins = Origins::default();
        for ((labels, value, _), starts) in series.iter().zip(&starts) {
            origins.add(labels, content(*value), starts);
        }
        let check = |name: &str, value: f64, expected: Option<i64>| {
            let found = origins.of(&labels(&[("__name__", name), ("env", "x")]), &content(value));
            assert_eq!(found.map(|starts| starts[0].1), expected.map(at), "{name}");
        };
        // By the samples, and among several by the name.
        check("renamed", 2.0, Some(7));
        check("a", 1.0, Some(5));
        // Either of two, which started at different times.
        check("renamed", 1.0, None);
        check("d", 3.0, None);
        // Samples that nobody sent.
        check("a", 4.0, None);
        // By the labels, whatever became of the samples.
        assert_eq!(origins.of(&series[0].0, &content(4.0)), Some(&starts[0]));
    }
}
