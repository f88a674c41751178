//! Two functions of PromQL, as an example of how functions are written:
//!
//! * `wasm_ewma(v, alpha)` smooths a vector over the steps of a query: each step has `alpha` (0.3 where it is left out)
//!   of the value there and the rest of the smoothed value before. A step without a value leaves the average as it is.
//! * `wasm_robust_slope(v[range])` is the change per second by the Theil–Sen estimator: the median of the slopes between
//!   all pairs of samples, which up to a quarter of outliers do not bend.

use stormglass_sdk::{
    Error, Function, FunctionCall, NoConfig, Plugin, Result, Signature, ValueType, function,
};

/// The weight of the latest value where the query does not say.
const ALPHA: f64 = 0.3;

/// Samples of a window that are looked at; of more, evenly spaced ones are taken, since all pairs count.
const SAMPLES_MAX: usize = 256;

struct Smoothing;

impl Plugin for Smoothing {
    type Config = NoConfig;

    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl Function for Smoothing {
    fn signatures() -> Vec<Signature> {
        let ewma = "Exponentially weighted moving average over the steps of the query.";
        let slope = "Change per second that outliers do not bend (Theil-Sen).";
        vec![
            Signature::new("ewma", ewma, &[ValueType::Vector, ValueType::Scalar]).optional(1),
            Signature::new("robust_slope", slope, &[ValueType::Range]),
        ]
    }

    fn eval(&mut self, call: &FunctionCall) -> Result<Vec<f64>> {
        match call.name.as_str() {
            "ewma" => ewma(call),
            "robust_slope" => Ok(call.windows().map(|(times, values)| slope(times, values)).collect()),
            other => Err(Error::permanent(format!("there is no function {other}"))),
        }
    }
}

fn ewma(call: &FunctionCall) -> Result<Vec<f64>> {
    let mut answer = Vec::with_capacity(call.values.len());
    for row in call.rows() {
        let mut average = f64::NAN;
        for (step, value) in row.iter().enumerate() {
            let alpha = call.scalar(0, step).unwrap_or(ALPHA);
            if !(alpha > 0.0 && alpha <= 1.0) {
                return Err(Error::permanent(format!("alpha is {alpha}, not above 0 and at most 1")));
            }
            average = match (average.is_nan(), value.is_nan()) {
                (_, true) => average,
                (true, false) => *value,
                (false, false) => alpha * value + (1.0 - alpha) * average,
            };
            answer.push(average);
        }
    }
    Ok(answer)
}

/// The median slope between all pairs, per second; NaN where there is no pair.
fn slope(times: &[i64], values: &[f64]) -> f64 {
    let every = times.len().div_ceil(SAMPLES_MAX).max(1);
    let points: Vec<(f64, f64)> = times
        .iter()
        .zip(values)
        .step_by(every)
        .map(|(time, value)| (*time as f64 / 1000.0, *value))
        .collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, (t0, v0)) in points.iter().enumerate() {
        slopes.extend(
            points[index + 1..].iter().map(|(t1, v1)| (v1 - v0) / (t1 - t0)).filter(|s| s.is_finite()),
        );
    }
    median(&mut slopes)
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    let (_, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = values[..middle].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, upper)
}

function!(Smoothing);

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, steps: u32, values: &[f64]) -> FunctionCall {
        FunctionCall {
            name: name.to_owned(),
            start_ms: 0,
            step_ms: 1000,
            steps,
            series: u32::try_from(values.len()).unwrap() / steps,
            values: values.to_vec(),
            timestamps_ms: vec![],
            window_starts: vec![],
            window_ends: vec![],
            scalars: vec![],
            texts: vec![],
        }
    }

    #[test]
    fn averages_follow_each_series_apart() {
        let mut call = call("ewma", 3, &[1.0, 3.0, f64::NAN, 10.0, 10.0, 0.0]);
        call.scalars = vec![0.5; 3];
        assert_eq!(Smoothing.eval(&call).unwrap(), [1.0, 2.0, 2.0, 10.0, 10.0, 5.0]);
        call.scalars = vec![0.0; 3];
        assert!(Smoothing.eval(&call).is_err());
        call.scalars.clear();
        assert_eq!(Smoothing.eval(&call).unwrap()[1], 0.3 * 3.0 + 0.7);
    }

    #[test]
    fn a_slope_is_not_bent_by_an_outlier() {
        let mut call = call("robust_slope", 2, &[0.0, 2.0, 4.0, 500.0, 8.0]);
        call.series = 1;
        call.timestamps_ms = vec![0, 1000, 2000, 3000, 4000];
        (call.window_starts, call.window_ends) = (vec![0, 2], vec![5, 3]);
        let answer = Smoothing.eval(&call).unwrap();
        assert_eq!(answer[0], 2.0);
        assert!(answer[1].is_nan(), "one sample has no slope");
    }

    #[test]
    fn medians_of_even_counts_lie_between() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut [5.0, 1.0, 3.0]), 3.0);
    }
}
