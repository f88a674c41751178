//! Histograms in the notation in which scripts write them, `{{schema:1 count:3 …}}`, so that two can be compared by
//! their texts and a text can be copied into a script.

use model::{Buckets, Histogram, ResetHint};

use crate::number::format_general;

/// The histogram as a script would write it; what has its default is left out.
pub fn write_histogram(histogram: &Histogram) -> String {
    let mut parts: Vec<String> = Vec::new();
    if histogram.schema != 0 {
        parts.push(format!("schema:{}", histogram.schema));
    }
    for (key, value) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if value != 0.0 {
            parts.push(format!("{key}:{}", format_general(value)));
        }
    }
    if let Some(bounds) = &histogram.custom_values {
        parts.push(format!("custom_values:{}", list(bounds.iter().copied())));
    }
    match histogram.reset_hint {
        ResetHint::Unknown => {}
        ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    buckets(&mut parts, "", &histogram.positive);
    buckets(&mut parts, "n_", &histogram.negative);
    format!("{{{{{}}}}}", parts.join(" "))
}

fn buckets(parts: &mut Vec<String>, prefix: &str, buckets: &Buckets) {
    let held: Vec<(i32, f64)> = buckets.iter().filter(|(_, count)| *count != 0.0).collect();
    let (Some((first, _)), Some((last, _))) = (held.first(), held.last()) else { return };
    if *first != 0 {
        parts.push(format!("{prefix}offset:{first}"));
    }
    let mut counts = held.iter().peekable();
    // Gaps between buckets are written as empty ones.
    let all = (*first..=*last).map(|index| match counts.next_if(|(at, _)| *at == index) {
        Some((_, count)) => *count,
        None => 0.0,
    });
    parts.push(format!("{prefix}buckets:{}", list(all)));
}

fn list(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<String> = values.map(format_general).collect();
    format!("[{}]", values.join(" "))
}

#[cfg(test)]
mod tests {
    use model::Value;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "{{}}",
            "{{schema:1 count:5.5 sum:-3 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 2]}}",
            "{{schema:-53 count:3 sum:9 custom_values:[5 10] buckets:[1 2]}}",
            "{{count:4 sum:2 counter_reset_hint:gauge offset:-3 buckets:[1 3] n_offset:2 n_buckets:[4]}}",
        ] {
            let (_, values) = crate::script::parse_series("x", text).unwrap();
            let [Some(Value::Histogram(histogram))] = values.as_slice() else { panic!("{values:?}") };
            assert_eq!(write_histogram(histogram), text);
        }
    }
}
