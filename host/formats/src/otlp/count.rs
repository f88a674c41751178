//! Counts the messages within a request before it is decoded, so that memory is bounded by more than bytes.
//!
//! An empty span is two bytes in protobuf and three in JSON, and some four hundred in memory: a body within its
//! limit could ask for a hundred times as much. The count reads only tags and lengths. It does not judge the
//! request: where the bytes make no sense it stops, and the decoder will say why.

use crate::wire::{Field, Message};

/// Deeper than the decoder goes; it refuses such requests.
const DEPTH_MAX: u32 = 100;

/// The fields of a message that are messages themselves, by their numbers.
pub(super) struct Shape(&'static [(u64, &'static Shape)]);

static LEAF: Shape = Shape(&[]);
static ANY_VALUE: Shape = Shape(&[(5, &ARRAY_VALUE), (6, &ATTRIBUTES_IN_1)]);
static ARRAY_VALUE: Shape = Shape(&[(1, &ANY_VALUE)]);
static KEY_VALUE: Shape = Shape(&[(2, &ANY_VALUE)]);
/// A list of key-values, and a resource.
static ATTRIBUTES_IN_1: Shape = Shape(&[(1, &KEY_VALUE)]);
static SCOPE: Shape = Shape(&[(3, &KEY_VALUE)]);

/// `ExportMetricsServiceRequest`.
pub(super) static METRICS: Shape = Shape(&[(1, &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Shape = Shape(&[(1, &ATTRIBUTES_IN_1), (2, &SCOPE_METRICS)]);
static SCOPE_METRICS: Shape = Shape(&[(1, &SCOPE), (2, &METRIC)]);
static METRIC: Shape =
    Shape(&[(5, &NUMBERS), (7, &NUMBERS), (9, &HISTOGRAMS), (10, &EXPONENTIALS), (11, &SUMMARIES)]);
static NUMBERS: Shape = Shape(&[(1, &NUMBER)]);
static NUMBER: Shape = Shape(&[(5, &EXEMPLAR), (7, &KEY_VALUE)]);
static HISTOGRAMS: Shape = Shape(&[(1, &HISTOGRAM)]);
static HISTOGRAM: Shape = Shape(&[(8, &EXEMPLAR), (9, &KEY_VALUE)]);
static EXPONENTIALS: Shape = Shape(&[(1, &EXPONENTIAL)]);
static EXPONENTIAL: Shape = Shape(&[(1, &KEY_VALUE), (11, &EXEMPLAR)]);
static SUMMARIES: Shape = Shape(&[(1, &SUMMARY)]);
static SUMMARY: Shape = Shape(&[(6, &LEAF), (7, &KEY_VALUE)]);
static EXEMPLAR: Shape = Shape(&[(7, &KEY_VALUE)]);

/// `ExportTraceServiceRequest`.
pub(super) static TRACES: Shape = Shape(&[(1, &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Shape = Shape(&[(1, &ATTRIBUTES_IN_1), (2, &SCOPE_SPANS)]);
static SCOPE_SPANS: Shape = Shape(&[(1, &SCOPE), (2, &SPAN)]);
static SPAN: Shape = Shape(&[(9, &KEY_VALUE), (11, &EVENT), (13, &LINK)]);
static EVENT: Shape = Shape(&[(3, &KEY_VALUE)]);
static LINK: Shape = Shape(&[(4, &KEY_VALUE)]);

/// Whether a protobuf request holds at most `max` messages.
pub(super) fn protobuf_fits(bytes: &[u8], shape: &Shape, max: usize) -> bool {
    let mut left = max;
    count(bytes, shape, &mut left, 0).is_some()
}

/// Whether a JSON request holds at most `max` objects and lists. Braces within texts count too, which errs on
/// the safe side.
pub(super) fn json_fits(bytes: &[u8], max: usize) -> bool {
    memchr::memchr2_iter(b'{', b'[', bytes).nth(max).is_none()
}

/// Takes the messages within `bytes` off `left`; `None` where there are more.
fn count(bytes: &[u8], shape: &Shape, left: &mut usize, depth: u32) -> Option<()> {
    if depth > DEPTH_MAX {
        return Some(());
    }
    let mut message = Message(bytes);
    while let Ok(Some((number, field))) = message.next() {
        let Field::Bytes(bytes) = field else { continue };
        if let Some((_, inner)) = shape.0.iter().find(|(n, _)| *n == number) {
            *left = left.checked_sub(1)?;
            count(bytes, inner, left, depth + 1)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::*;
    use crate::otlp::{json, proto};

    #[test]
    fn every_message_of_a_request_counts() {
        let attributes = json!([{"key": "a", "value": {"arrayValue": {"values": [
            {"kvlistValue": {"values": [{"key": "b", "value": {"boolValue": true}}]}},
        ]}}}]);
        // A key-value, its value, the array, its value, the list, and again a key-value and its value.
        let in_attributes = 7;
        let point = json!({"attributes": attributes, "exemplars": [{"filteredAttributes": attributes}]});
        let points = |point: &serde_json::Value| json!({"dataPoints": [point]});
        let metrics = json!({"resourceMetrics": [{
            "resource": {"attributes": attributes},
            "scopeMetrics": [{"scope": {"attributes": attributes}, "metrics": [
                {"gauge": points(&point)},
                {"sum": points(&point)},
                {"histogram": points(&point)},
                {"exponentialHistogram": points(&point)},
                {"summary": points(&json!({"attributes": attributes, "quantileValues": [{}]}))},
            ]}],
        }]});
        let request: proto::ExportMetricsServiceRequest =
            json::decode(metrics.to_string().as_bytes()).unwrap();
        // Two in each resource and scope, three for each metric down to its point, one for each exemplar and
        // quantile; the scope itself and the resource besides.
        let expected = 2 + (1 + in_attributes) * 2 + 4 * (3 + 1 + 2 * in_attributes) + 3 + 1 + in_attributes;
        assert_eq!(least_max(&request.encode_to_vec(), &METRICS), expected);

        let traces = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
            "attributes": attributes,
            "events": [{"attributes": attributes}],
            "links": [{"attributes": attributes}],
        }]}]}]});
        let request: proto::ExportTraceServiceRequest = json::decode(traces.to_string().as_bytes()).unwrap();
        assert_eq!(least_max(&request.encode_to_vec(), &TRACES), 3 + 2 + 3 * in_attributes);
    }

    /// How many messages are allowed at least where the request fits.
    fn least_max(bytes: &[u8], shape: &Shape) -> usize {
        (0..10_000).find(|max| protobuf_fits(bytes, shape, *max)).unwrap()
    }

    #[test]
    fn objects_and_lists_count_in_json() {
        assert!(json_fits(br#"{"a": [{}]}"#, 3));
        assert!(!json_fits(br#"{"a": [{}]}"#, 2));
    }
}
