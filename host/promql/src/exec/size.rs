//! How much a query holds: samples, which Prometheus limits, and the bytes that they take.
//!
//! Bytes are those of the arrays as they are filled; what the allocator rounds up to and the labels, which are
//! shared with storage, are left out. A histogram counts wherever it is held, also where it is shared.

use std::iter::Sum;
use std::mem::size_of;
use std::sync::Arc;

use model::{BucketSpan, Buckets, Histogram, Timestamp};

use super::Column;
use crate::read::Columns;

/// What a group keeps for each step of an aggregation: a compensated sum, a count and what it is made of.
const STEP_OF_GROUP_BYTES: usize = 32;

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

    /// A series over all steps; steps without a sample take memory all the same.
    pub(crate) fn of_column(column: &Column) -> Self {
        let Column { floats, histograms } = column;
        let bytes = floats.len() * size_of::<f64>()
            + histograms.len() * size_of::<Option<Arc<Histogram>>>()
            + histograms.iter().flatten().map(|h| histogram_bytes(h)).sum::<usize>();
        Self { samples: column.sample_count() as u64, bytes: bytes as u64 }
    }

    /// `count` groups of an aggregation.
    pub(crate) fn of_groups(count: usize, steps: usize) -> Self {
        let samples = count.saturating_mul(steps);
        Self { samples: samples as u64, bytes: samples.saturating_mul(STEP_OF_GROUP_BYTES) as u64 }
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self { samples: a.samples + b.samples, bytes: a.bytes + b.bytes })
    }
}

fn histogram_bytes(histogram: &Histogram) -> usize {
    let side = |buckets: &Buckets| {
        buckets.spans.len() * size_of::<BucketSpan>() + buckets.counts.len() * size_of::<f64>()
    };
    let bounds = histogram.custom_values.as_ref().map_or(0, |bounds| bounds.len());
    size_of::<Histogram>() + side(&histogram.positive) + side(&histogram.negative) + bounds * size_of::<f64>()
}
