//! Samples as columns: what a compiled collector yields. Each text stands once in a table, series are runs of
//! indices into it.
//!
//! Columns come from guests, so nothing in them is believed: [`Columns::check`] refuses the whole batch where
//! an index or an end is out of range, and every access after it is still checked.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use model::{Histogram, Metadata};

use crate::Error;

/// One batch of columns.
///
/// Series `i` has the labels `label_refs[label_ends[i-1]..label_ends[i]]` (from 0 for the first), read as pairs
/// of indices into `strings`: name, value, name, value. It has the samples `sample_ends[i-1]..sample_ends[i]`
/// of `values` and `timestamps_ms`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Columns {
    /// Every text once.
    pub strings: Vec<String>,
    /// Indices into `strings`, in pairs.
    pub label_refs: Vec<u32>,
    /// Exclusive ends into `label_refs`, one for each series.
    pub label_ends: Vec<u32>,
    /// Exclusive ends into `values`, one for each series; empty where every series has exactly one sample.
    pub sample_ends: Vec<u32>,
    /// Milliseconds since the epoch, one for each value; empty for the time of the scrape.
    pub timestamps_ms: Vec<i64>,
    /// The samples' values.
    pub values: Vec<f64>,
    /// What is declared of metric families, by name.
    pub families: Vec<(String, Metadata)>,
    /// Native histograms.
    pub histograms: Vec<ColumnHistogram>,
    /// Exemplars.
    pub exemplars: Vec<ColumnExemplar>,
}

/// A native histogram of one of the series.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnHistogram {
    /// Index of the series.
    pub series: u32,
    /// Milliseconds since the epoch; none for the time of the scrape.
    pub timestamp_ms: Option<i64>,
    /// The sample.
    pub histogram: Histogram,
}

/// An exemplar of one of the series.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnExemplar {
    /// Index of the series.
    pub series: u32,
    /// Its own labels.
    pub labels: Vec<(String, String)>,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch; none for the time of the scrape.
    pub timestamp_ms: Option<i64>,
}

impl Columns {
    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.label_ends.len()
    }

    /// Checks that every index and every end is in range.
    ///
    /// # Errors
    /// [`Error::Columns`] says what does not fit.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |what: &str| Err(Error::Columns(what.to_owned()));
        let count = self.series_count();
        if !ends_fit(&self.label_ends, self.label_refs.len()) {
            return refuse("label-ends do not lead through label-refs");
        }
        if self.label_ends.iter().any(|end| !end.is_multiple_of(2)) {
            return refuse("a series has a label name without a value");
        }
        if self.label_refs.iter().any(|at| at_most(*at) >= self.strings.len()) {
            return refuse("a label refers past the strings");
        }
        if self.sample_ends.is_empty() {
            // Series of histograms alone have no values at all.
            if self.values.len() != count && !self.values.is_empty() {
                return refuse("there are more or fewer values than series, and no sample-ends");
            }
        } else if self.sample_ends.len() != count || !ends_fit(&self.sample_ends, self.values.len()) {
            return refuse("sample-ends do not lead through the values of each series");
        }
        if !self.timestamps_ms.is_empty() && self.timestamps_ms.len() != self.values.len() {
            return refuse("there are more or fewer timestamps than values");
        }
        let of_histograms = self.histograms.iter().map(|h| h.series);
        if of_histograms.chain(self.exemplars.iter().map(|e| e.series)).any(|at| at_most(at) >= count) {
            return refuse("a histogram or an exemplar refers past the series");
        }
        Ok(())
    }

    /// The labels of a series as name and value; nothing for what is out of range.
    pub fn labels(&self, series: usize) -> impl Iterator<Item = (&str, &str)> {
        let refs = run(&self.label_ends, series).and_then(|run| self.label_refs.get(run)).unwrap_or_default();
        let text = |at: &u32| self.strings.get(at_most(*at)).map_or("", String::as_str);
        refs.chunks_exact(2).filter_map(move |pair| match pair {
            [name, value] => Some((text(name), text(value))),
            _ => None,
        })
    }

    /// The samples of a series: the time in milliseconds where it is given, and the value.
    pub fn samples(&self, series: usize) -> impl Iterator<Item = (Option<i64>, f64)> {
        let run = match self.sample_ends.is_empty() {
            true => series..series + 1,
            false => run(&self.sample_ends, series).unwrap_or_default(),
        };
        run.map_while(|at| Some((self.timestamps_ms.get(at).copied(), *self.values.get(at)?)))
    }
}

fn run(ends: &[u32], at: usize) -> Option<std::ops::Range<usize>> {
    let start = match at.checked_sub(1) {
        Some(before) => *ends.get(before)?,
        None => 0,
    };
    Some(at_most(start)..at_most(*ends.get(at)?))
}

fn ends_fit(ends: &[u32], length: usize) -> bool {
    ends.is_sorted() && ends.last().map_or(0, |end| at_most(*end)) == length
}

/// An index as this machine counts; where that is too little, one that nothing reaches.
fn at_most(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed as it should"
)]
mod tests;
