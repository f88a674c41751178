//! What every pushed metrics format becomes.

use model::{Exemplar, Histogram, Labels, Metadata, Sample, Timestamp, UNKNOWN_START};

/// Series with their samples, and what is known of their families.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteRequest {
    /// The series, in the sender's order. The same labels may come more than once.
    pub series: Vec<TimeSeries>,
    /// Family names and what was declared of them.
    pub metadata: Vec<(String, Metadata)>,
}

/// One series with new samples. Which of the three lists are filled says what kind of series it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TimeSeries {
    /// What names it; never empty, with a metric name.
    pub labels: Labels,
    /// Floats, in the sender's order.
    pub samples: Vec<Sample>,
    /// Native histograms, in the sender's order; each one [`Histogram::validate`]s or is a stale marker.
    pub histograms: Vec<(Timestamp, Histogram)>,
    /// Exemplars, in the sender's order.
    pub exemplars: Vec<Exemplar>,
    /// When the counters started that the samples are readings of.
    pub starts: Starts,
}

/// When the counters started that the samples of a series are readings of. Each list may be shorter than that of the
/// samples, down to empty: what it lacks is not known, nor is what [`model::UNKNOWN_START`] stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Starts {
    /// Of the floats.
    pub samples: Vec<Timestamp>,
    /// Of the native histograms.
    pub histograms: Vec<Timestamp>,
}

/// Notes the start of the item at `index` of a list; nothing is kept of what is not known at its end.
pub(crate) fn set_start(starts: &mut Vec<Timestamp>, index: usize, start: Timestamp) {
    if start == UNKNOWN_START {
        return;
    }
    if starts.len() <= index {
        starts.resize(index + 1, UNKNOWN_START);
    }
    if let Some(place) = starts.get_mut(index) {
        *place = start;
    }
}
