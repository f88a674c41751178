//! Samples: what a series is a sequence of.

use std::sync::Arc;

use crate::{Histogram, Timestamp};

/// The start timestamp of a sample of which none is known; no counter is that old.
pub const UNKNOWN_START: Timestamp = Timestamp::EPOCH;

/// One float at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was observed.
    pub timestamp: Timestamp,
    /// What was observed. Every bit counts: see [`crate::staleness`].
    pub value: f64,
}

impl Sample {
    /// A sample from milliseconds since the epoch and a value.
    pub const fn new(timestamp_ms: i64, value: f64) -> Self {
        Self { timestamp: Timestamp::from_millis(timestamp_ms), value }
    }
}

/// What a sample can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter's, a gauge's or a classic bucket's value.
    Float(f64),
    /// A native histogram; shared, since queries pass the same one through many steps.
    Histogram(Arc<Histogram>),
}
