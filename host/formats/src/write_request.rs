//! What every pushed metrics format becomes.

use model::{Exemplar, Histogram, Labels, Metadata, Sample, Timestamp};

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
}
