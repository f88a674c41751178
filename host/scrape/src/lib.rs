//! What is scraped, how often, and what becomes of the answers.
//!
//! * A **job** ([`config::ScrapeConfig`]) says how targets are scraped; [`config::GlobalConfig`] has the
//!   defaults.
//! * **Discovery** finds label sets, in [`TargetGroup`]s: in the configuration itself, in files, on servers and by
//!   plugins ([`Discover`]). [`relabel`] rewrites or drops them,
//!   and what is left is a [`Target`].
//! * A **collector** ([`Collect`]) is a plugin that is scraped like a target: it has `up`, a job, an instance,
//!   limits and staleness, and yields text or `model::Columns`.
//! * Each target has a worker, which asks at fixed moments and hands the answer on to be stored: labels merged
//!   and relabelled, samples appended, series that vanished marked stale, the report series (`up`, `scrape_*`)
//!   written, all in one batch.
//! * A **pool** is a job's targets. The [`Manager`] owns pools, collectors and discoverers, changes them while
//!   they run, and shows them as [`Targets`].

pub mod client;
pub mod config;
mod discovery;
mod error;
mod failure_log;
mod families;
mod fetch;
mod http;
mod ingest;
mod look;
mod loops;
mod manager;
mod metrics;
mod pool;
#[cfg(test)]
mod recorder;
pub mod relabel;
pub mod sigv4;
mod snapshot;
mod target;
mod worker;

pub use discovery::{Discover, Discoverer, Snapshot, groups_of};
pub use error::Error;
pub use families::Family;
pub use fetch::{Collect, Collected};
pub use look::{Found, look_once, resolve_all};
pub use manager::Manager;
pub use pool::CollectorTarget;
pub use snapshot::{ActiveTarget, DroppedTarget, Health, Targets};
pub use target::{ADDRESS, HistogramChoice, Resolved, Target, TargetGroup};
pub use worker::Clock;
