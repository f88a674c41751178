//! Detectors score how unusual the latest values of series are.

use wasmtime::Store;

use crate::bindings::exports::stormglass::plugin::detector as guest;
use crate::bindings::stormglass::types::types::PluginError as GuestError;
use crate::call::{Call, Refusal};
use crate::error::Operation;
use crate::limits::Limits;
use crate::state::State;

/// Series over a range, sampled at the same steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Time of the first step, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Distance of the steps.
    pub step_ms: u64,
    /// Steps of each series.
    pub steps: u32,
    /// Series.
    pub series: u32,
    /// `values[s * steps + i]` is series `s` at step `i`; NaN where it has none. `series * steps` of them.
    pub values: Vec<f64>,
}

/// One value for each of the job's, in the same order; NaN where the detector has no opinion.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// 0 is ordinary; larger is more unusual.
    pub scores: Vec<f64>,
    /// The lower end of what is expected; as long as `scores`, or empty where the detector has no bounds.
    pub lower: Vec<f64>,
    /// The upper end of what is expected; as long as `scores`, or empty where the detector has no bounds.
    pub upper: Vec<f64>,
}

pub(crate) struct Detect {
    pub(crate) guest: guest::Guest,
    pub(crate) job: Job,
}

/// The guest's answer beside how long it has to be.
pub(crate) struct Answered {
    expected: usize,
    answer: Result<guest::Scores, GuestError>,
}

impl Call for Detect {
    const OPERATION: Operation = Operation::Detect;
    type Raw = Answered;
    type Answer = Scores;

    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Answered> {
        let Job { start_ms, step_ms, steps, series, values } = self.job;
        let expected = values.len();
        let job = guest::Job { start_ms, step_ms, steps, series, values };
        let answer = self.guest.call_detect(store, &job).await?;
        Ok(Answered { expected, answer })
    }

    fn check(raw: Answered, _limits: &Limits) -> Result<Scores, Refusal> {
        let Answered { expected, answer } = raw;
        let guest::Scores { scores, lower, upper } = answer?;
        if scores.len() != expected {
            return Err(Refusal::output(format!("{} scores for {expected} values", scores.len())));
        }
        for (name, bounds) in [("lower", &lower), ("upper", &upper)] {
            if !bounds.is_empty() && bounds.len() != expected {
                return Err(Refusal::output(format!("{} {name} bounds for {expected} values", bounds.len())));
            }
        }
        Ok(Scores { scores, lower, upper })
    }
}
