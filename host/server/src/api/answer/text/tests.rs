//! What is written of numbers, and of labels.

use super::*;

#[test]
fn numbers_are_written_as_everywhere() {
    let text = |value: f64| {
        let mut out = Vec::new();
        float(&mut out, value);
        String::from_utf8(out).unwrap()
    };
    for value in [
        0.0,
        -0.0,
        1.0,
        -7.0,
        0.1,
        1e20,
        1e21,
        1.5e-7,
        1e-6,
        9.9e-7,
        123_456_789.0,
        9_007_199_254_740_993.0,
        -9_007_199_254_740_992.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ] {
        assert_eq!(text(value), promql::format_float(value));
    }
    // Many digits and few, of every size at which something else is done.
    for exponent in -25..=25 {
        for digits in [1.0, 1.5, -9.999_999_999_999_998, 1.234_567_890_123_456_7, 7.0 / 3.0] {
            let value: f64 = digits * 10_f64.powi(exponent);
            for value in [value, value.next_up(), value.next_down()] {
                assert_eq!(text(value), promql::format_float(value));
            }
        }
    }
    let time = |millis: i64| {
        let mut out = Vec::new();
        timestamp(&mut out, Timestamp::from_millis(millis));
        String::from_utf8(out).unwrap()
    };
    assert_eq!([time(1500), time(-1), time(0), time(12_005)], ["1.500", "-0.001", "0", "12.005"]);
}

#[test]
fn labels_are_written_as_json() {
    for value in ["", "plain", "ünïcode", "q\"uote", "back\\slash", "new\nline", "\u{1}", "\u{7f}"] {
        let set = Labels::from_pairs([("__name__", "m"), ("l", value)]);
        let mut out = Vec::new();
        labels(&mut out, &set);
        let pairs: Vec<(String, String)> = set.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let read: std::collections::BTreeMap<String, String> = serde_json::from_slice(&out).unwrap();
        assert_eq!(read.into_iter().collect::<Vec<_>>(), pairs);
    }
}
