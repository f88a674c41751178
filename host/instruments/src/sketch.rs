//! Values in buckets whose bounds grow by a factor, so that a quantile is told within a fixed relative error however
//! the values are spread (DDSketch: Masson, Rim and Lee, VLDB 2019).

use std::collections::BTreeMap;

/// How far off a quantile may be, relative to itself.
const ERROR: f64 = 0.01;
/// Values below are as good as zero: a nanosecond, where they are seconds.
const SMALLEST: f64 = 1e-9;

/// See the module. Values are not negative.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    zeros: u64,
    /// By the exponent of their upper bound.
    buckets: BTreeMap<i32, u64>,
}

impl Sketch {
    /// Adds a value. One that is negative or not a number counts as zero.
    pub fn observe(&mut self, value: f64) {
        if value > SMALLEST {
            // What is infinite is as large as can be told.
            let exponent = (value.min(f64::MAX).ln() / growth().ln()).ceil();
            *self.buckets.entry(exponent as i32).or_default() += 1;
        } else {
            self.zeros += 1;
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        for (exponent, count) in &other.buckets {
            *self.buckets.entry(*exponent).or_default() += count;
        }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.zeros + self.buckets.values().sum::<u64>()
    }

    /// The value that the part `q` of all values does not exceed; nothing where there are no values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = self.zeros;
        if seen >= rank {
            return Some(0.0);
        }
        for (exponent, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                // In the middle of the bucket, relatively.
                return Some(growth().powi(*exponent) * 2.0 / (1.0 + growth()));
            }
        }
        None
    }
}

fn growth() -> f64 {
    (1.0 + ERROR) / (1.0 - ERROR)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_within_the_error(values in prop::collection::vec(1e-6_f64..1e6, 1..200), q in 0.0_f64..=1.0) {
            let mut whole = Sketch::default();
            let mut parts = [Sketch::default(), Sketch::default()];
            for (at, value) in values.iter().enumerate() {
                whole.observe(*value);
                parts[at % 2].observe(*value);
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            prop_assert_eq!(&merged, &whole);
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
            let exact = sorted[rank - 1];
            let told = whole.quantile(q).unwrap();
            prop_assert!((told - exact).abs() <= exact * (ERROR + 1e-9), "{} for {}", told, exact);
        }
    }

    #[test]
    fn strange_values_count() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.quantile(0.5), None);
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            sketch.observe(value);
        }
        assert_eq!((sketch.count(), sketch.quantile(0.5)), (4, Some(0.0)));
        assert!(sketch.quantile(1.0).unwrap() > 1e300);
    }
}
