//! What the samples of one histogram at one time must be to each other.

use super::family::Key;
use super::line::{Sample, number};

/// The histogram that is being read, if any.
#[derive(Default)]
pub(super) struct HistogramRules(Option<Current>);

#[derive(Default)]
struct Current {
    key: Key,
    timestamp: Option<f64>,
    /// The latest bucket's bound and count.
    bucket: Option<(f64, f64)>,
    has_negative_bounds: bool,
    count: Option<f64>,
    /// Of a histogram that is no gauge.
    has_sum: bool,
    gauge_sum: Option<f64>,
}

impl HistogramRules {
    /// Takes the next sample of the family; the labels without `le` are its histogram's `key`.
    pub(super) fn take(&mut self, key: Key, suffix: &str, sample: &Sample<'_>) -> Result<(), String> {
        let same = self.0.as_ref().is_some_and(|h| h.key == key && h.timestamp == sample.timestamp);
        if !same {
            self.end()?;
        }
        let timestamp = sample.timestamp;
        let current = self.0.get_or_insert_with(|| Current { key, timestamp, ..Current::default() });
        match suffix {
            "_bucket" => {
                let bound = sample.label("le").and_then(number).unwrap_or(f64::NAN);
                current.bucket(bound, sample.value)?;
            }
            "_count" | "_gcount" => current.count = Some(sample.value),
            "_sum" => current.has_sum = true,
            "_gsum" => current.gauge_sum = Some(sample.value),
            _ => {}
        }
        Ok(())
    }

    /// Checks what only the end of a histogram can show.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.0.take().map_or(Ok(()), |current| current.end())
    }
}

impl Current {
    fn bucket(&mut self, bound: f64, count: f64) -> Result<(), String> {
        self.has_negative_bounds |= bound < 0.0;
        if let Some((last_bound, last_count)) = self.bucket.replace((bound, count)) {
            if bound <= last_bound {
                return Err("bounds of buckets do not increase".to_owned());
            }
            if count < last_count {
                return Err("counts of buckets decrease".to_owned());
            }
        }
        Ok(())
    }

    fn end(self) -> Result<(), String> {
        let total = match self.bucket {
            Some((f64::INFINITY, total)) => total,
            _ => return Err("a histogram's last bucket is not +Inf".to_owned()),
        };
        let has_sum = self.has_sum || self.gauge_sum.is_some();
        match self.count {
            Some(count) if count != total => Err("the count is not that of the bucket +Inf".to_owned()),
            Some(_) if !has_sum => Err("a histogram has a count and no sum".to_owned()),
            None if has_sum => Err("a histogram has a sum and no count".to_owned()),
            _ if self.has_sum && self.has_negative_bounds => {
                Err("a histogram with negative bounds has a sum".to_owned())
            }
            _ if self.gauge_sum.is_some_and(|sum| sum < 0.0) && !self.has_negative_bounds => {
                Err("the sum is negative and no bound is".to_owned())
            }
            _ => Ok(()),
        }
    }
}
