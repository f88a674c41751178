//! A load like VictoriaMetrics' prometheus-benchmark: one real node_exporter page, many targets, churn.
//!
//! ```text
//!  Recording ──▶ Target × N ──▶ RequestWriter ──▶ Connection ──▶ any remote write receiver
//!  (pages of     (values go on    (protobuf,        (HTTP,           └─▶ Report
//!   one host)     from there)      snappy)           latencies)
//! ```
//!
//! * [`Recording`]: what one exporter answered every 15 s, whole.
//! * [`Target`]: goes on where the recording stands, with the recorded steps in an order of its own. The same seed
//!   gives the same values on every machine.
//! * [`RequestWriter`]: remote write 1.0, one sample per series.
//! * [`Sender`]: sends a load, in real time or as fast as the receiver takes it, and reports.
//! * [`serve()`]: the same targets as pages to be scraped.
//! * [`fill()`]: the same samples appended to storage in this process.
//!
//! Labels are prometheus-benchmark's: `job="node_exporter"`, `instance="host-N"` and `revision="rN"`. Churn gives a
//! share of the targets a new revision; their old series end with stale markers, as an agent writes them.

mod fill;
mod recording;
mod request;
mod send;
mod serve;
mod target;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use fill::fill;
pub use recording::Recording;
pub use request::RequestWriter;
pub use send::{Destination, Pace, Report, Sender};
pub use serve::serve;
pub use target::Target;

/// What a load consists of.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// How many exporters there are.
    pub targets: usize,
    /// The time between two scrapes of a target; the recording's steps are as long whatever is asked for here.
    pub interval: Duration,
    /// How much of the targets are replaced each period, in percent.
    pub churn_percent: f64,
    /// How often.
    pub churn_period: Duration,
    /// Chooses the order of the recorded steps.
    pub seed: u64,
}

impl Load {
    /// How many targets have been replaced `elapsed` after the start.
    fn replaced(&self, elapsed: Duration) -> usize {
        if self.churn_percent <= 0.0 || self.churn_period.is_zero() {
            return 0;
        }
        let periods = (elapsed.as_millis() / self.churn_period.as_millis()) as f64;
        (periods * self.targets as f64 * self.churn_percent / 100.0) as usize
    }

    /// How often the target of that number has been replaced by then: it is every target's turn, one after another.
    fn revision(&self, target: usize, elapsed: Duration) -> usize {
        let replaced = self.replaced(elapsed);
        replaced / self.targets + usize::from(target < replaced % self.targets)
    }

    /// When in the interval a target is scraped: spread evenly.
    fn offset(&self, target: usize) -> Duration {
        self.interval.mul_f64(target as f64 / self.targets as f64)
    }
}
