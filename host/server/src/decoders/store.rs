//! What a decoder yields, into storage.

use std::time::SystemTime;

use formats::{Rejected, TimeSeries, WriteRequest};
use model::{Append, Columns, CommitError, Exemplar, Labels, Sample, Timestamp};

use crate::ingest::{self, IngestMetrics};
use crate::plugins::labels_of;

/// Stores columns; samples without a time are of now. What is no series is left out and named. Blocks.
pub(super) fn store(
    columns: &Columns,
    storage: &dyn Append,
    metrics: &IngestMetrics,
) -> Result<Rejected, CommitError> {
    let mut rejected = Rejected::default();
    let request = request(columns, Timestamp::from_system(SystemTime::now()), &mut rejected);
    ingest::store(&request, &mut rejected, storage, "decoder", metrics)?;
    Ok(rejected)
}

/// Columns as a request; what is no series is left out and named.
fn request(columns: &Columns, now: Timestamp, rejected: &mut Rejected) -> WriteRequest {
    let at = |ms: Option<i64>| ms.map_or(now, Timestamp::from_millis);
    let mut all: Vec<Option<TimeSeries>> = Vec::with_capacity(columns.series_count());
    for series in 0..columns.series_count() {
        let labels = match labels_of(columns, series) {
            Ok(labels) => labels,
            Err(what) => {
                rejected.note(columns.samples(series).count().max(1) as u64, || what);
                all.push(None);
                continue;
            }
        };
        let samples = columns.samples(series);
        let samples = samples.map(|(ms, value)| Sample { timestamp: at(ms), value }).collect();
        all.push(Some(TimeSeries { labels, samples, ..TimeSeries::default() }));
    }
    for h in columns.histograms() {
        if let Some(Some(series)) = all.get_mut(h.series as usize) {
            series.histograms.push((at(h.timestamp_ms), h.histogram.clone()));
        }
    }
    for e in columns.exemplars() {
        if let Some(Some(series)) = all.get_mut(e.series as usize) {
            let labels = Labels::from_pairs(e.labels.iter().map(|(name, value)| (name, value)));
            series.exemplars.push(Exemplar { labels, value: e.value, timestamp: at(e.timestamp_ms) });
        }
    }
    WriteRequest { series: all.into_iter().flatten().collect(), metadata: columns.families().to_vec() }
}

#[cfg(test)]
mod tests {
    use model::ColumnParts;

    use super::*;

    #[test]
    fn what_is_no_series_is_left_out_and_named() {
        let strings = ["__name__", "a", "", "x"].map(str::to_owned).to_vec();
        let columns = Columns::try_from(ColumnParts {
            strings,
            label_refs: vec![0, 1, 0, 1, 0, 3, 3, 3, 0, 1, 2, 3, 3, 3],
            label_ends: vec![2, 6, 8, 12, 14],
            sample_ends: vec![1, 2, 3, 4, 5],
            timestamps_ms: vec![],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0],
            ..ColumnParts::default()
        })
        .unwrap();
        let mut rejected = Rejected::default();
        let request = request(&columns, Timestamp::from_millis(7), &mut rejected);
        assert_eq!(request.series.len(), 1);
        assert_eq!(request.series[0].samples, [Sample { timestamp: Timestamp::from_millis(7), value: 1.0 }]);
        assert_eq!(rejected.count, 4);
        assert_eq!(
            rejected.messages,
            [
                "a series has the label \"__name__\" twice",
                "series {x=\"x\"} has no metric name",
                "a series has a label without a name",
            ]
        );
    }
}
