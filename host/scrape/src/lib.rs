//! What is scraped, how often, and what becomes of the answers.
//!
//! * A **job** ([`config::ScrapeConfig`]) says how targets are scraped. [`config::GlobalConfig`] has the
//!   defaults.
//! * **Discovery** finds label sets, in [`TargetGroup`]s. [`relabel`] rewrites or drops them, and what is left
//!   is a [`Target`].
mod columns;
pub mod config;
mod error;
mod fetch;
mod http;
mod ingest;
pub mod relabel;
mod target;

pub use columns::{ColumnExemplar, ColumnHistogram, Columns};
pub use error::Error;
pub use fetch::{Collect, Collected};
pub use target::{ADDRESS, Resolved, Target, TargetGroup};
