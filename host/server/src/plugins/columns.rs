//! Series and samples as the columns that cross to a plugin, and back.

use std::collections::HashMap;

use formats::exposition;
use model::{
    ColumnExemplar, ColumnHistogram, ColumnParts, Columns, ColumnsError, Exemplar, Histogram, Labels,
    METRIC_NAME, Metadata, Timestamp,
};

/// Writes columns series by series.
#[derive(Default)]
pub(crate) struct ColumnsWriter {
    parts: ColumnParts,
    strings: HashMap<String, u32>,
}

impl ColumnsWriter {
    /// Begins a series; what follows is of it.
    pub(crate) fn series(&mut self, labels: &Labels) {
        self.close();
        for (name, value) in labels.iter() {
            let pair = [self.intern(name), self.intern(value)];
            self.parts.label_refs.extend(pair);
        }
        self.parts.label_ends.push(narrow(self.parts.label_refs.len()));
    }

    /// Adds a sample to the series.
    pub(crate) fn sample(&mut self, at: Timestamp, value: f64) {
        self.parts.timestamps_ms.push(at.millis());
        self.parts.values.push(value);
    }

    /// Adds a histogram to the series.
    pub(crate) fn histogram(&mut self, at: Timestamp, histogram: &Histogram) {
        let (series, timestamp_ms) = (self.current(), Some(at.millis()));
        self.parts.histograms.push(ColumnHistogram { series, timestamp_ms, histogram: histogram.clone() });
    }

    /// Adds an exemplar to the series.
    pub(crate) fn exemplar(&mut self, exemplar: &Exemplar) {
        let labels =
            exemplar.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let timestamp_ms = Some(exemplar.timestamp.millis());
        let series = self.current();
        self.parts.exemplars.push(ColumnExemplar { series, labels, value: exemplar.value, timestamp_ms });
    }

    /// Says what is known of a family.
    pub(crate) fn family(&mut self, name: &str, metadata: &Metadata) {
        self.parts.families.push((name.to_owned(), metadata.clone()));
    }

    /// Samples so far.
    pub(crate) fn sample_count(&self) -> usize {
        self.parts.values.len() + self.parts.histograms.len()
    }

    /// The columns.
    ///
    /// # Errors
    /// Where they are too long for their indices.
    pub(crate) fn finish(mut self) -> Result<Columns, ColumnsError> {
        self.close();
        let mut strings = vec![String::new(); self.strings.len()];
        for (text, index) in self.strings {
            if let Some(slot) = strings.get_mut(index as usize) {
                *slot = text;
            }
        }
        Columns::try_from(ColumnParts { strings, ..self.parts })
    }

    /// Ends the samples of the series before.
    fn close(&mut self) {
        if self.parts.sample_ends.len() < self.parts.label_ends.len() {
            self.parts.sample_ends.push(narrow(self.parts.values.len()));
        }
    }

    fn current(&self) -> u32 {
        narrow(self.parts.label_ends.len().saturating_sub(1))
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(found) = self.strings.get(text) {
            return *found;
        }
        let next = narrow(self.strings.len());
        self.strings.insert(text.to_owned(), next);
        next
    }
}

/// The labels of a series, if it is one.
pub(crate) fn labels_of(columns: &Columns, series: usize) -> Result<Labels, String> {
    let mut pairs: Vec<(&str, &str)> = columns.labels(series).collect();
    pairs.sort_unstable();
    if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("a series has the label {:?} twice", twice[0].0));
    }
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Err("a series has a label without a name".to_owned());
    }
    let labels = Labels::from_pairs(pairs);
    match labels.get(METRIC_NAME) {
        Some(_) => Ok(labels),
        None => Err(format!("series {labels} has no metric name")),
    }
}

/// Columns as exposition text.
pub(crate) fn exposition(columns: &Columns) -> String {
    let mut text = String::new();
    for (family, metadata) in columns.families() {
        exposition::write_metadata(&mut text, family, metadata);
    }
    for series in 0..columns.series_count() {
        let labels = Labels::from_pairs(columns.labels(series));
        for (at_ms, value) in columns.samples(series) {
            exposition::write_sample(&mut text, &labels, value, at_ms.map(Timestamp::from_millis));
        }
    }
    text
}

/// A length as an index; one that does not fit is refused when the columns are checked.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_keep_their_labels_and_samples() {
        let mut writer = ColumnsWriter::default();
        let at = Timestamp::from_millis;
        writer.series(&Labels::from_pairs([("__name__", "a"), ("x", "y")]));
        writer.sample(at(1), 1.0);
        writer.sample(at(2), 2.0);
        writer.series(&Labels::from_pairs([("__name__", "none")]));
        writer.series(&Labels::from_pairs([("__name__", "a"), ("x", "z")]));
        writer.sample(at(3), 3.0);
        assert_eq!(writer.sample_count(), 3);
        let columns = writer.finish().unwrap();
        assert_eq!(columns.labels(0).collect::<Vec<_>>(), [("__name__", "a"), ("x", "y")]);
        assert_eq!(columns.samples(0).collect::<Vec<_>>(), [(Some(1), 1.0), (Some(2), 2.0)]);
        assert_eq!(columns.samples(1).count(), 0);
        assert_eq!(columns.samples(2).collect::<Vec<_>>(), [(Some(3), 3.0)]);
    }
}
