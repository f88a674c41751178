//! How much a query holds: samples, which Prometheus limits, and the bytes that they take.
//!
//! Bytes are those of the arrays and labels as they are filled; what the allocator rounds up to is left out.
//! Histograms and labels count wherever they are held, also where they are shared.

use std::iter::Sum;
use std::mem::size_of;
use std::ops::Add;
use std::sync::Arc;

use model::{BucketSpan, Buckets, Histogram, Labels, Timestamp};

use super::{Column, Series};
use crate::read::{Columns, Latest};

/// What a group keeps for each step of an aggregation: a compensated sum, a count and what it is made of.
const STEP_OF_GROUP_BYTES: usize = 32;

/// What a reader of a series takes beside its labels, wherever it reads from.
const READER_BYTES: usize = 96;

/// Two counts before the bytes of a label set.
const SHARED_BYTES: usize = 16;

/// A place in a table of labels, half of which is empty at worst.
const KEY_BYTES: usize = 48;

/// Samples and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
}

impl Size {
    /// Samples of a series as read from storage.
    pub(crate) fn of_columns(columns: &Columns) -> Self {
        let Columns {
            timestamps,
            values,
            summaries,
            histograms,
            start_timestamps,
            histogram_start_timestamps,
        } = columns;
        let times = timestamps.len() + start_timestamps.len() + histogram_start_timestamps.len();
        let bytes = times * size_of::<Timestamp>()
            + values.len() * size_of::<f64>()
            + size_of_val(summaries.as_slice())
            + histograms.len() * size_of::<Timestamp>()
            + histograms.iter().map(|(_, h)| histogram_bytes(h)).sum::<usize>();
        Self { samples: columns.sample_count() as u64, bytes: bytes as u64 }
    }

    /// The latest samples of some series. Columns of single samples are no more than what readers of them would hold, and
    /// count for none.
    pub(crate) fn of_latest(latest: &Latest) -> Self {
        let Latest { timestamps, values, histograms, labels, groups } = latest;
        // Labels are those that storage holds anyway, or those of groups, which are few.
        let bytes = timestamps.len() * size_of::<Timestamp>()
            + values.len() * size_of::<f64>()
            + size_of_val(histograms.as_slice())
            + size_of_val(labels.as_slice())
            + size_of_val(groups.as_slice())
            + histograms.iter().map(|(_, h)| histogram_bytes(h)).sum::<usize>();
        Self::of_bytes(bytes)
    }

    /// A series over all steps; steps without a sample take memory all the same.
    pub(crate) fn of_column(column: &Column) -> Self {
        let Column { floats, histograms } = column;
        let bytes = floats.len() * size_of::<f64>()
            + histograms.len() * size_of::<Option<Arc<Histogram>>>()
            + histograms.iter().flatten().map(|h| histogram_bytes(h)).sum::<usize>();
        Self { samples: column.sample_count() as u64, bytes: bytes as u64 }
    }

    /// A series with its labels.
    pub(crate) fn of_series(series: &Series) -> Self {
        let column = Self::of_column(&series.column);
        Self { bytes: column.bytes + size_of::<Series>() as u64, ..column } + Self::of_labels(&series.labels)
    }

    /// A label set.
    pub(crate) fn of_labels(labels: &Labels) -> Self {
        Self::of_bytes(labels.as_encoded().len() + SHARED_BYTES)
    }

    /// A label set as the key of a table.
    pub(crate) fn of_key(labels: &Labels) -> Self {
        Self::of_labels(labels) + Self::of_bytes(KEY_BYTES)
    }

    /// A reader of a series.
    pub(crate) fn of_reader(labels: &Labels) -> Self {
        Self::of_labels(labels) + Self::of_bytes(READER_BYTES)
    }

    /// The lesser of both, of samples and bytes apart.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { samples: self.samples.min(other.samples), bytes: self.bytes.min(other.bytes) }
    }

    /// What is left of it without `other`.
    pub(crate) fn less(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(other.samples),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// What holds no samples.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self { samples: 0, bytes: bytes as u64 }
    }

    /// A group of an aggregation.
    pub(crate) fn of_group(steps: usize, labels: &Labels) -> Self {
        let group = Self { samples: steps as u64, bytes: steps.saturating_mul(STEP_OF_GROUP_BYTES) as u64 };
        group + Self::of_key(labels)
    }

    /// A histogram that is summed up, with what rounding took from it.
    pub(crate) fn of_histogram_sum(histogram: &Histogram) -> Self {
        Self::of_bytes(2 * histogram_bytes(histogram))
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { samples: self.samples + other.samples, bytes: self.bytes + other.bytes }
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// For how many floats a histogram counts, as Prometheus has it: their memory in samples of sixteen bytes.
pub(crate) fn samples_of(histogram: &Histogram) -> u64 {
    (histogram_bytes(histogram) as u64 + 8) / 16
}

fn histogram_bytes(histogram: &Histogram) -> usize {
    let side = |buckets: &Buckets| {
        buckets.spans.len() * size_of::<BucketSpan>() + buckets.counts.len() * size_of::<f64>()
    };
    let bounds = histogram.custom_values.as_ref().map_or(0, |bounds| bounds.len());
    size_of::<Histogram>() + side(&histogram.positive) + side(&histogram.negative) + bounds * size_of::<f64>()
}
