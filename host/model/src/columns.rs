//! Samples as columns: what a compiled collector yields. Each text stands once in a table, series are runs of
//! indices into it.
//!
//! Columns come from guests, so nothing in them is believed: [`Columns`] exist only where every index and every
//! end is in range, and every access is still checked.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::ops::Range;

use crate::{Histogram, Metadata};

/// The columns as somebody wrote them down.
///
/// Series `i` has the labels `label_refs[label_ends[i-1]..label_ends[i]]` (from 0 for the first), read as pairs
/// of indices into `strings`: name, value, name, value. It has the samples `sample_ends[i-1]..sample_ends[i]`
/// of `values` and `timestamps_ms`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ColumnParts {
    /// Every text once.
    pub strings: Vec<String>,
    /// Indices into `strings`, in pairs.
    pub label_refs: Vec<u32>,
    /// Exclusive ends into `label_refs`, one for each series.
    pub label_ends: Vec<u32>,
    /// Exclusive ends into `values`, one for each series; empty where every series has exactly one sample.
    pub sample_ends: Vec<u32>,
    /// Milliseconds since the epoch, one for each value; empty for the time of the collection.
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
    /// Milliseconds since the epoch; none for the time of the collection.
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
    /// Milliseconds since the epoch; none for the time of the collection.
    pub timestamp_ms: Option<i64>,
}

/// Columns that fit together. Whether the labels make sense is not looked at.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Columns(ColumnParts);

/// How columns do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ColumnsError(String);

impl TryFrom<ColumnParts> for Columns {
    type Error = ColumnsError;

    fn try_from(parts: ColumnParts) -> Result<Self, ColumnsError> {
        parts.check().map_err(ColumnsError)?;
        Ok(Self(parts))
    }
}

impl Columns {
    /// The parts, for whoever builds on them.
    pub fn into_parts(self) -> ColumnParts {
        self.0
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.0.label_ends.len()
    }

    /// The labels of a series as name and value, the metric's name among them, in the writer's order and as it
    /// wrote them. None where there is no such series.
    pub fn labels(&self, series: usize) -> impl Iterator<Item = (&str, &str)> {
        let refs = self.0.label_refs.get(run(&self.0.label_ends, series)).unwrap_or_default();
        let text = |at: u32| self.0.strings.get(wide(at)).map(String::as_str);
        refs.chunks_exact(2).filter_map(move |pair| match pair {
            [name, value] => Some((text(*name)?, text(*value)?)),
            _ => None,
        })
    }

    /// The samples of a series: the time in milliseconds where it is given, and the value.
    pub fn samples(&self, series: usize) -> impl Iterator<Item = (Option<i64>, f64)> {
        let run = if self.0.sample_ends.is_empty() {
            series..series.saturating_add(1)
        } else {
            run(&self.0.sample_ends, series)
        };
        run.map_while(|at| Some((self.0.timestamps_ms.get(at).copied(), *self.0.values.get(at)?)))
    }

    /// What is declared of metric families, by name.
    pub fn families(&self) -> &[(String, Metadata)] {
        &self.0.families
    }

    /// Native histograms, in no order.
    pub fn histograms(&self) -> &[ColumnHistogram] {
        &self.0.histograms
    }

    /// Exemplars, in no order.
    pub fn exemplars(&self) -> &[ColumnExemplar] {
        &self.0.exemplars
    }
}

impl ColumnParts {
    fn check(&self) -> Result<(), String> {
        let series = self.label_ends.len();
        check_ends("label-ends", &self.label_ends, self.label_refs.len())?;
        if let Some(odd) = (0..series).find(|at| !run(&self.label_ends, *at).len().is_multiple_of(2)) {
            return Err(format!("series {odd} has a label without a value"));
        }
        let strings = self.strings.len();
        if let Some(out) = self.label_refs.iter().find(|at| wide(**at) >= strings) {
            return Err(format!("label-refs names string {out} of {strings}"));
        }
        let values = self.values.len();
        if self.sample_ends.is_empty() {
            // Series of histograms alone have no values at all.
            if values != series && values != 0 {
                return Err(format!("{values} values for {series} series, and no sample-ends"));
            }
        } else {
            if self.sample_ends.len() != series {
                return Err(format!("{} sample-ends for {series} series", self.sample_ends.len()));
            }
            check_ends("sample-ends", &self.sample_ends, values)?;
        }
        if !self.timestamps_ms.is_empty() && self.timestamps_ms.len() != values {
            return Err(format!("{} timestamps for {values} values", self.timestamps_ms.len()));
        }
        if let Some(out) = self.histograms.iter().map(|h| h.series).find(|at| wide(*at) >= series) {
            return Err(format!("histogram of series {out} of {series}"));
        }
        if let Some(out) = self.exemplars.iter().map(|e| e.series).find(|at| wide(*at) >= series) {
            return Err(format!("exemplar of series {out} of {series}"));
        }
        Ok(())
    }
}

/// Ends must not go back, and the last must be the column's.
fn check_ends(name: &str, ends: &[u32], column: usize) -> Result<(), String> {
    if !ends.is_sorted() {
        return Err(format!("{name} goes back"));
    }
    let last = ends.last().map_or(0, |end| wide(*end));
    if last == column { Ok(()) } else { Err(format!("{name} stops at {last} of {column}")) }
}

/// The range that ends where `ends[at]` says and begins where the one before ends.
fn run(ends: &[u32], at: usize) -> Range<usize> {
    let start = at.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| wide(*end));
    let end = ends.get(at).map_or(start, |end| wide(*end));
    start..end
}

/// An index as this machine counts; where that is too little, one that nothing reaches.
fn wide(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed as it should"
)]
mod tests;
