//! Instruments that the `prometheus` crate lacks and that dashboards for Prometheus read: summaries, which tell
//! quantiles of what was observed lately.
//!
//! * A [`Sketch`] holds values so that their quantiles can be told within a percent.
//! * A [`SummaryVec`] holds one sketch for each combination of label values, over a window that slides, and is a
//!   collector as those of the `prometheus` crate are.

mod sketch;
mod summary;

pub use sketch::Sketch;
pub use summary::SummaryVec;
