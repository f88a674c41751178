//! Counter resets of histograms: a histogram that could not have grown out of the one before.

use std::sync::Arc;

use model::{Buckets, Histogram, ResetHint, Timestamp};

use super::arithmetic::{at_schema, bounds, on_bounds, widen_zero, zero_at};

/// Whether there was a reset between `previous` and `current`.
pub(crate) fn is_reset(current: &Histogram, previous: &Histogram) -> bool {
    match current.reset_hint {
        ResetHint::Reset => return true,
        ResetHint::NotReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    has_shrunk(current, previous)
}

/// Says of each histogram of a series of which nothing is known whether there was a reset before it.
pub(crate) fn find_resets(histograms: &mut [(Timestamp, Arc<Histogram>)]) {
    let mut previous: Option<Arc<Histogram>> = None;
    for (_, current) in histograms.iter_mut().filter(|(_, h)| !h.is_stale()) {
        let before = previous.replace(Arc::clone(current));
        if let (Some(before), ResetHint::Unknown) = (before, current.reset_hint) {
            let reset = has_shrunk(current, &before);
            Arc::make_mut(current).reset_hint = if reset { ResetHint::Reset } else { ResetHint::NotReset };
        }
    }
}

/// Whether `current` cannot have grown out of `previous`, whatever either says of itself.
pub(crate) fn has_shrunk(current: &Histogram, previous: &Histogram) -> bool {
    if current.count < previous.count || current.has_custom_bounds() != previous.has_custom_bounds() {
        return true;
    }
    if current.has_custom_bounds() {
        return custom_shrank(current, previous);
    }
    if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
        return true;
    }
    let (zero_count, threshold) = zero_at(previous, current.zero_threshold);
    if threshold != current.zero_threshold || current.zero_count < zero_count {
        return true;
    }
    let mut previous = at_schema(previous, current.schema);
    if previous.zero_threshold < current.zero_threshold {
        widen_zero(&mut previous, current.zero_threshold);
    }
    shrank(&current.positive, &previous.positive) || shrank(&current.negative, &previous.negative)
}

fn custom_shrank(current: &Histogram, previous: &Histogram) -> bool {
    let (new, old) = (bounds(current), bounds(previous));
    if new == old {
        return shrank(&current.positive, &previous.positive);
    }
    let common: Vec<f64> = new.iter().copied().filter(|bound| old.contains(bound)).collect();
    shrank(&on_bounds(current, &common), &on_bounds(previous, &common))
}

fn shrank(current: &Buckets, previous: &Buckets) -> bool {
    let mut current = current.iter().peekable();
    for (index, before) in previous.iter() {
        while current.next_if(|(i, _)| *i < index).is_some() {}
        let now = current.next_if(|(i, _)| *i == index).map_or(0.0, |(_, count)| count);
        if now < before {
            return true;
        }
    }
    false
}
