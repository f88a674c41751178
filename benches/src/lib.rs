//! What the benches share: data that is the same in every run, and a fingerprint of what was computed from it.
//!
//! * [`Fleet`] makes series as a fleet of node_exporters has them: mostly constant, some counters in hundredths
//!   of seconds or bytes, some gauges. The same seed gives the same series and values on every machine.
//! * [`Database`] is storage in a temporary directory, filled and read as the server does it.
//! * A [`Peer`] is a server to measure from outside, ours or another, and [`Usage`] is what a process has used.
//! * An [`Asker`] asks it a [`Question`], and two servers' [`Answer`]s can be compared.
//! * [`queries`] is what the comparison of queries asks of which data.
//! * [`Fingerprint`] hashes results. A bench prints it, so that two runs that differ in speed can be seen to have
//!   done the same work.
//! * [`load`] is what the load generator and the comparisons send.
//!
//! Under `cargo test` the benches run once and small, see [`Scale`].

mod answer;
pub mod compare;
mod connection;
mod database;
mod fingerprint;
mod fleet;
pub mod load;
mod peer;
pub mod queries;
mod question;
mod usage;

pub use answer::{Answer, Bucket, Point, Series};
pub use database::Database;
pub use fingerprint::Fingerprint;
pub use fleet::{FIRST_TIME_MS, Fleet, Kind, STEP_MS, Values};
pub use peer::{Peer, Product};
pub use question::{Asker, Question, Reply, Times};
pub use usage::Usage;

/// How much a bench does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Everything runs once, in a debug build in about a second: `cargo test`.
    Check,
    /// The published sizes: `cargo bench`.
    Measure,
}

impl Scale {
    /// As cargo started this process: only `cargo bench` passes `--bench`.
    pub fn of_this_process() -> Self {
        if std::env::args().any(|arg| arg == "--bench") { Self::Measure } else { Self::Check }
    }

    /// One of two sizes.
    pub fn pick(self, check: usize, measure: usize) -> usize {
        match self {
            Self::Check => check,
            Self::Measure => measure,
        }
    }
}

#[cfg(test)]
mod tests;
