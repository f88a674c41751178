//! Native histograms: a whole distribution as one sample.
//!
//! Exponential schemas (-4 to 8) put bucket `i` at `(base^(i-1), base^i]` with `base = 2^(2^-schema)`; the
//! schema -53 instead lists its upper bounds in [`Histogram::custom_values`]. Only populated stretches of
//! buckets are kept: a [`BucketSpan`] skips `offset` buckets and then covers `length` of them. Counts are
//! absolute (not differences between buckets, as some wire formats have them) and are floats, since every
//! computation on them is. Layout and names follow Prometheus' native histogram specification.

mod bounds;

use std::sync::Arc;

/// The schema that means "the bounds are listed".
const CUSTOM_SCHEMA: i8 = -53;
/// The coarsest exponential schema.
pub const SCHEMA_MIN: i8 = -4;
/// The finest one.
pub const SCHEMA_MAX: i8 = 8;

/// What is known of a counter reset before this sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nothing: compare with the previous sample to find out.
    #[default]
    Unknown,
    /// There was a reset between the previous sample and this one.
    Reset,
    /// There was none.
    NotReset,
    /// This is a gauge histogram, in which a reset has no meaning.
    Gauge,
}

/// A stretch of adjacent buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketSpan {
    /// Buckets skipped since the end of the span before; in the first span, the index of the first bucket.
    pub offset: i32,
    /// Buckets covered.
    pub length: u32,
}

/// One side of a histogram.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Buckets {
    /// Which buckets are there; lengths add up to `counts.len()`.
    pub spans: Vec<BucketSpan>,
    /// Absolute counts, bucket by bucket.
    pub counts: Vec<f64>,
}

impl Buckets {
    /// The buckets as `(index, count)`, indices increasing.
    pub fn iter(&self) -> BucketIter<'_> {
        BucketIter { buckets: self, span: 0, within: 0, at: 0, index: 0 }
    }

    /// From `(index, count)` pairs in increasing order of index; adjacent ones share a span.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (i32, f64)>) -> Self {
        let mut buckets = Self::default();
        let mut next = 0i32;
        for (index, count) in pairs {
            match buckets.spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => buckets.spans.push(BucketSpan { offset: index.wrapping_sub(next), length: 1 }),
            }
            buckets.counts.push(count);
            next = index.wrapping_add(1);
        }
        buckets
    }

    /// With one bucket where there were two, as often as said. Bounds are upper ones, hence the shift by one.
    fn merged(&self, doublings: u32) -> Self {
        let mut pairs: Vec<(i32, f64)> = Vec::with_capacity(self.counts.len());
        for (index, count) in self.iter() {
            let index = (index.wrapping_sub(1) >> doublings).wrapping_add(1);
            match pairs.last_mut() {
                Some(last) if last.0 == index => last.1 += count,
                _ => pairs.push((index, count)),
            }
        }
        Self::from_pairs(pairs)
    }
}

/// Walks the buckets of one side. See [`Buckets::iter`].
#[derive(Clone)]
pub struct BucketIter<'a> {
    buckets: &'a Buckets,
    span: usize,
    within: u32,
    at: usize,
    index: i32,
}

impl Iterator for BucketIter<'_> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let span = self.buckets.spans.get(self.span)?;
            if self.within < span.length {
                if self.within == 0 {
                    self.index = self.index.wrapping_add(span.offset);
                }
                let item = (self.index, *self.buckets.counts.get(self.at)?);
                self.within += 1;
                self.at += 1;
                self.index = self.index.wrapping_add(1);
                return Some(item);
            }
            if span.length == 0 {
                self.index = self.index.wrapping_add(span.offset);
            }
            self.span += 1;
            self.within = 0;
        }
    }
}

/// One native histogram sample. A stale marker is a histogram whose `sum` is [`crate::staleness::STALE_NAN`].
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Resolution, -4 to 8, or -53 for custom bounds.
    pub schema: i8,
    /// Observations with an absolute value up to this count as zero.
    pub zero_threshold: f64,
    /// How many of those there were.
    pub zero_count: f64,
    /// How many observations there were in all.
    pub count: f64,
    /// The sum of all observations.
    pub sum: f64,
    /// Buckets above zero; all buckets where bounds are custom.
    pub positive: Buckets,
    /// Buckets below zero, by absolute value.
    pub negative: Buckets,
    /// Upper bounds, increasing, without `+Inf`; only with custom bounds.
    pub custom_values: Option<Arc<[f64]>>,
    /// What is known of a reset before this sample.
    pub reset_hint: ResetHint,
}

/// Why a histogram contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// A schema that nobody has defined.
    #[error("unknown schema {0}")]
    UnknownSchema(i8),
    /// Spans cover more or fewer buckets than there are counts.
    #[error("spans cover {spans} buckets but {counts} counts are there")]
    SpansMismatch {
        /// What the spans add up to.
        spans: u64,
        /// How many counts there are.
        counts: u64,
    },
    /// A span after the first that goes backwards.
    #[error("span with a negative offset")]
    NegativeOffset,
    /// A count below zero.
    #[error("negative count")]
    NegativeCount,
    /// Custom bounds that are missing, not wanted, not increasing, or too few for the buckets.
    #[error("custom bounds do not fit the schema and the buckets")]
    CustomBounds,
}

impl Histogram {
    /// Whether the bounds are listed rather than exponential.
    pub const fn has_custom_bounds(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// Whether this is the stale marker.
    pub const fn is_stale(&self) -> bool {
        crate::staleness::is_stale(self.sum)
    }

    /// The stale marker.
    pub fn stale() -> Self {
        Self {
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: crate::staleness::STALE_NAN,
            positive: Buckets::default(),
            negative: Buckets::default(),
            custom_values: None,
            reset_hint: ResetHint::Unknown,
        }
    }

    /// The upper bound of positive bucket `index` (the lower bound of bucket `index + 1`).
    pub fn upper_bound(&self, index: i32) -> f64 {
        if self.has_custom_bounds() {
            let bounds = self.custom_values.as_deref().unwrap_or(&[]);
            return match usize::try_from(index) {
                Ok(i) => bounds.get(i).copied().unwrap_or(f64::INFINITY),
                Err(_) => f64::NEG_INFINITY,
            };
        }
        bounds::upper(self.schema, index)
    }

    /// Merges neighbouring buckets until there are `schema`'s; as it is where they are no finer, or listed.
    pub fn reduce_resolution(&mut self, schema: i8) {
        if self.has_custom_bounds() || schema >= self.schema {
            return;
        }
        let doublings = u32::from(self.schema.abs_diff(schema)).min(31);
        self.positive = self.positive.merged(doublings);
        self.negative = self.negative.merged(doublings);
        self.schema = schema;
    }

    /// Merges buckets until there are at most `max`. `false` where that cannot be.
    #[must_use]
    pub fn limit_buckets(&mut self, max: usize) -> bool {
        loop {
            if self.positive.counts.len() + self.negative.counts.len() <= max {
                return true;
            }
            if self.has_custom_bounds() || self.schema <= SCHEMA_MIN {
                return false;
            }
            self.reduce_resolution(self.schema - 1);
        }
    }

    /// Checks what a histogram from outside must satisfy before it is stored.
    ///
    /// # Errors
    /// [`HistogramError`] names the first rule that is broken.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let custom = self.has_custom_bounds();
        if !custom && !(SCHEMA_MIN..=SCHEMA_MAX).contains(&self.schema) {
            return Err(HistogramError::UnknownSchema(self.schema));
        }
        for side in [&self.positive, &self.negative] {
            let spans: u64 = side.spans.iter().map(|s| u64::from(s.length)).sum();
            let counts = side.counts.len() as u64;
            if spans != counts {
                return Err(HistogramError::SpansMismatch { spans, counts });
            }
            if side.spans.iter().skip(1).any(|s| s.offset < 0) {
                return Err(HistogramError::NegativeOffset);
            }
            if side.counts.iter().any(|c| *c < 0.0) {
                return Err(HistogramError::NegativeCount);
            }
        }
        if self.zero_count < 0.0 || self.count < 0.0 {
            return Err(HistogramError::NegativeCount);
        }
        match (&self.custom_values, custom) {
            (None, false) => Ok(()),
            (Some(bounds), true) => {
                let increasing = bounds.windows(2).all(|w| w[0] < w[1]);
                let last = self.positive.iter().last().map_or(-1, |(index, _)| index);
                let enough = usize::try_from(last).map_or(true, |last| last <= bounds.len());
                let first = self.positive.spans.first().map_or(0, |s| s.offset);
                let bare = self.negative.counts.is_empty() && self.zero_count == 0.0;
                if increasing && enough && first >= 0 && bare {
                    Ok(())
                } else {
                    Err(HistogramError::CustomBounds)
                }
            }
            _ => Err(HistogramError::CustomBounds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_keep_their_indices() {
        let pairs = [(-3, 1.0), (-2, 2.0), (4, 5.0), (5, 1.0), (9, 7.0)];
        let buckets = Buckets::from_pairs(pairs);
        assert_eq!(buckets.spans.len(), 3);
        assert_eq!(buckets.iter().collect::<Vec<_>>(), pairs);
    }

    #[test]
    fn merged_buckets_hold_what_lies_within_their_bounds() {
        let positive = Buckets::from_pairs([(-3, 1.0), (-2, 2.0), (0, 4.0), (1, 8.0), (2, 16.0), (5, 32.0)]);
        let fine = Histogram { schema: 2, sum: 1.0, positive, ..Histogram::stale() };
        for schema in -4..=2 {
            let mut coarse = fine.clone();
            coarse.reduce_resolution(schema);
            for (index, _) in coarse.positive.iter() {
                let (low, high) = (coarse.upper_bound(index - 1), coarse.upper_bound(index));
                let within = fine.positive.iter().filter(|(i, _)| {
                    let bound = fine.upper_bound(*i);
                    bound > low * (1.0 + 1e-9) && bound <= high * (1.0 + 1e-9)
                });
                let expected: f64 = within.map(|(_, count)| count).sum();
                let found = coarse.positive.iter().find(|(i, _)| *i == index).map(|(_, count)| count);
                assert_eq!(found, Some(expected), "schema {schema}, bucket {index}");
            }
        }
    }

    #[test]
    fn buckets_are_merged_until_they_fit() {
        let positive = Buckets::from_pairs((0..64).map(|index| (index, 1.0)));
        let mut histogram = Histogram { schema: 3, sum: 1.0, positive, ..Histogram::stale() };
        assert!(histogram.limit_buckets(20));
        assert_eq!((histogram.schema, histogram.positive.counts.len()), (1, 17));
        assert!(histogram.limit_buckets(2));
        assert!(!histogram.limit_buckets(0));
        let listed = Buckets::from_pairs([(0, 1.0), (1, 1.0)]);
        let custom_values = Some([1.0].as_slice().into());
        let mut listed = Histogram { schema: -53, positive: listed, custom_values, ..Histogram::stale() };
        assert!(listed.limit_buckets(2) && !listed.limit_buckets(1));
    }

    #[test]
    fn bounds_follow_the_schema() {
        let at = |schema, index| Histogram { schema, ..Histogram::stale() }.upper_bound(index);
        assert_eq!(at(0, 3), 8.0);
        assert_eq!(at(0, -1), 0.5);
        assert_eq!(at(-1, 2), 16.0);
        assert_eq!(at(3, 16), 4.0);
        assert!((at(1, 1) - std::f64::consts::SQRT_2).abs() < 1e-15);
    }

    #[test]
    fn contradictions_are_named() {
        let mut h = Histogram::stale();
        h.positive.spans.push(BucketSpan { offset: 0, length: 2 });
        assert_eq!(h.validate(), Err(HistogramError::SpansMismatch { spans: 2, counts: 0 }));
        h.positive = Buckets::from_pairs([(0, -1.0)]);
        assert_eq!(h.validate(), Err(HistogramError::NegativeCount));
        h.positive = Buckets::default();
        h.schema = 9;
        assert_eq!(h.validate(), Err(HistogramError::UnknownSchema(9)));
        h.schema = -53;
        assert_eq!(h.validate(), Err(HistogramError::CustomBounds));
    }
}
