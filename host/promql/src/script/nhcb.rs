//! Classic histograms as native ones with custom bounds, for `load_with_nhcb`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Buckets, Histogram, Labels, METRIC_NAME, ResetHint, Timestamp, Value};

use super::storage::MemoryStorage;

#[derive(Default)]
struct Parts {
    /// Cumulative counts by upper bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Converts the classic histograms among `labels` and stores them under their base name.
pub(super) fn convert(storage: &mut MemoryStorage, loaded: &[Labels]) -> Result<(), String> {
    let mut histograms: BTreeMap<(Labels, Timestamp), Parts> = BTreeMap::new();
    for (labels, samples) in storage.iter().filter(|(labels, _)| loaded.contains(labels)) {
        let name = labels.metric_name().unwrap_or("");
        let Some((base, suffix)) = ["_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix).map(|base| (base, suffix)))
        else {
            continue;
        };
        let target = labels.without(|name| name == "le").with(METRIC_NAME, base);
        let bound: Option<f64> =
            labels.get("le").and_then(|le| le.parse().ok()).filter(|le: &f64| !le.is_nan());
        if suffix == "_bucket" && bound.is_none() {
            continue;
        }
        for (time, (value, _)) in samples {
            let Value::Float(value) = value else { continue };
            let parts = histograms.entry((target.clone(), *time)).or_default();
            match (suffix, bound) {
                ("_bucket", Some(bound)) => parts.buckets.push((bound, *value)),
                ("_count", _) => parts.count = Some(*value),
                _ => parts.sum = *value,
            }
        }
    }
    for ((labels, time), parts) in histograms {
        if !parts.buckets.is_empty() || parts.count.is_some() {
            let histogram = build(parts).map_err(|e| format!("{labels}: {e}"))?;
            storage.put(&labels, time, Value::Histogram(Arc::new(histogram)));
        }
    }
    Ok(())
}

fn build(mut parts: Parts) -> Result<Histogram, String> {
    parts.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let highest = parts.buckets.last().map_or(0.0, |(_, count)| *count);
    let count = parts.count.unwrap_or(highest);
    if parts.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        parts.buckets.push((f64::INFINITY, count));
    }
    let bounds: Arc<[f64]> = parts.buckets.iter().map(|(b, _)| *b).filter(|b| *b != f64::INFINITY).collect();
    let mut previous = 0.0;
    let mut pairs = Vec::new();
    for (index, (_, cumulative)) in parts.buckets.iter().enumerate() {
        if *cumulative < previous {
            return Err("buckets are not cumulative".to_owned());
        }
        if *cumulative > previous {
            pairs.push((i32::try_from(index).map_err(|e| e.to_string())?, cumulative - previous));
        }
        previous = *cumulative;
    }
    Ok(Histogram {
        schema: -53,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count,
        sum: parts.sum,
        positive: Buckets::from_pairs(pairs),
        negative: Buckets::default(),
        custom_values: Some(bounds),
        reset_hint: ResetHint::Unknown,
    })
}
