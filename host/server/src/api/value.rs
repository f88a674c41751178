//! Query results as the API writes them: times as seconds, values as strings.

use model::{Histogram, Labels, Timestamp};
use serde::ser::{SerializeMap as _, SerializeSeq as _, SerializeTuple as _};
use serde::{Serialize, Serializer};

/// Labels as a JSON object.
pub(crate) struct JsonLabels<'a>(pub(crate) &'a Labels);

impl Serialize for JsonLabels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// A time as seconds since the epoch.
pub(crate) struct JsonTime(pub(crate) Timestamp);

impl Serialize for JsonTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.millis();
        if millis % 1000 == 0 {
            serializer.serialize_i64(millis / 1000)
        } else {
            serializer.serialize_f64(millis as f64 / 1000.0)
        }
    }
}

/// A float as a string, in the shortest form that reads back the same.
pub(crate) struct JsonFloat(pub(crate) f64);

impl Serialize for JsonFloat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&promql::format_float(self.0))
    }
}

/// `[time, {histogram}]`.
pub(crate) struct JsonHistogramPoint<'a>(pub(crate) Timestamp, pub(crate) &'a Histogram);

impl Serialize for JsonHistogramPoint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&JsonTime(self.0))?;
        pair.serialize_element(&JsonHistogram(self.1))?;
        pair.end()
    }
}

struct JsonHistogram<'a>(&'a Histogram);

impl Serialize for JsonHistogram<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &JsonFloat(self.0.count))?;
        map.serialize_entry("sum", &JsonFloat(self.0.sum))?;
        let buckets = bounded_buckets(self.0);
        if !buckets.is_empty() {
            map.serialize_entry("buckets", &buckets)?;
        }
        map.end()
    }
}

/// One bucket: which of its ends belong to it (0 the upper, 1 the lower, 2 none, 3 both), its ends, its count.
struct JsonBucket(u8, f64, f64, f64);

impl Serialize for JsonBucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(4))?;
        seq.serialize_element(&self.0)?;
        for value in [self.1, self.2, self.3] {
            seq.serialize_element(&JsonFloat(value))?;
        }
        seq.end()
    }
}

/// The buckets that hold anything, from the lowest to the highest.
fn bounded_buckets(histogram: &Histogram) -> Vec<JsonBucket> {
    let custom = histogram.has_custom_bounds();
    let mut negative: Vec<JsonBucket> = histogram
        .negative
        .iter()
        .filter(|(_, count)| *count != 0.0)
        .map(|(index, count)| {
            JsonBucket(1, -histogram.upper_bound(index), -histogram.upper_bound(index - 1), count)
        })
        .collect();
    negative.reverse();
    let zero = (histogram.zero_count != 0.0)
        .then(|| JsonBucket(3, -histogram.zero_threshold, histogram.zero_threshold, histogram.zero_count));
    let positive = histogram.positive.iter().filter(|(_, count)| *count != 0.0).map(|(index, count)| {
        let (low, high) = (histogram.upper_bound(index - 1), histogram.upper_bound(index));
        // The lowest custom bucket reaches down to minus infinity, which belongs to it.
        JsonBucket(if custom && low == f64::NEG_INFINITY { 3 } else { 0 }, low, high, count)
    });
    negative.into_iter().chain(zero).chain(positive).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use model::Buckets;

    use super::*;

    #[test]
    fn histograms_list_their_buckets_in_order() {
        let histogram = Histogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 6.0,
            sum: 4.5,
            positive: Buckets::from_pairs([(1, 3.0)]),
            negative: Buckets::from_pairs([(0, 1.0)]),
            ..Histogram::stale()
        };
        let json = serde_json::to_string(&JsonHistogram(&histogram)).unwrap();
        expect![[r#"{"count":"6","sum":"4.5","buckets":[[1,"-1","-0.5","1"],[3,"-0.001","0.001","2"],[0,"1","2","3"]]}"#]]
            .assert_eq(&json);
    }
}
