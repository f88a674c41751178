//! Metrics of the plugin about itself, shown among the server's as `stormglass_plugin_own_<name>`. Needs no grant.
//!
//! What is no metric, and series over the limit, are dropped and counted by the server.

use crate::Label;
use crate::host::telemetry;

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(name, value)| Label::new(*name, *value)).collect()
}

/// Adds to a counter.
pub fn counter_add(name: &str, pairs: &[(&str, &str)], amount: f64) {
    telemetry::counter_add(name, &labels(pairs), amount);
}

/// Sets a gauge.
pub fn gauge_set(name: &str, pairs: &[(&str, &str)], value: f64) {
    telemetry::gauge_set(name, &labels(pairs), value);
}
