//! Straight lines through samples, and double exponential smoothing.

use model::Timestamp;

use crate::kahan::Kahan;

/// Least squares through the samples, in units per second: the slope and the value at `origin`.
pub(crate) fn linear(times: &[Timestamp], values: &[f64], origin: i64) -> (f64, f64) {
    let first = values[0];
    if values.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let mut n = 0.0;
    let (mut sum_x, mut sum_y, mut sum_xy, mut sum_x2) = (Kahan::ZERO, Kahan::ZERO, Kahan::ZERO, Kahan::ZERO);
    for (time, y) in times.iter().zip(values) {
        n += 1.0;
        let x = time.millis().saturating_sub(origin) as f64 / 1000.0;
        sum_x.add(x);
        sum_y.add(*y);
        sum_xy.add(x * y);
        sum_x2.add(x * x);
    }
    let (x, y, xy, x2) = (sum_x.total(), sum_y.total(), sum_xy.total(), sum_x2.total());
    let covariance = xy - x * y / n;
    let variance = x2 - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// Holt's double exponential smoothing; `None` with fewer than two samples.
pub(crate) fn double_exponential(values: &[f64], smoothing: f64, trend: f64) -> Option<f64> {
    let (first, rest) = values.split_first()?;
    let second = rest.first()?;
    let mut level = *first;
    let mut previous = 0.0;
    let mut slope = second - first;
    for (index, value) in rest.iter().enumerate() {
        let x = smoothing * value;
        if index > 0 {
            slope = trend * (level - previous) + (1.0 - trend) * slope;
        }
        let y = (1.0 - smoothing) * (level + slope);
        previous = level;
        level = x + y;
    }
    Some(level)
}
