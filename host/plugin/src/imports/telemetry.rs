//! `stormglass:host/telemetry`: metrics of the plugin about itself, among the server's.

use crate::bindings::stormglass::host::telemetry::{Host, Label};
use crate::state::State;
use crate::telemetry::Kind;

impl Host for State {
    async fn counter_add(&mut self, name: String, labels: Vec<Label>, amount: f64) -> wasmtime::Result<()> {
        self.note(Kind::Counter, name, labels, amount)
    }

    async fn gauge_set(&mut self, name: String, labels: Vec<Label>, value: f64) -> wasmtime::Result<()> {
        self.note(Kind::Gauge, name, labels, value)
    }
}

impl State {
    fn note(&mut self, kind: Kind, name: String, labels: Vec<Label>, value: f64) -> wasmtime::Result<()> {
        self.count_host_call()?;
        if let Some(fake) = &self.tenant.fake {
            match kind {
                Kind::Counter => fake.count(series(&name, &labels), value),
                Kind::Gauge => fake.gauge(series(&name, &labels), value),
            }
            return Ok(());
        }
        let labels = labels.into_iter().map(|label| (label.name, label.value)).collect();
        let tenant = &self.tenant;
        let taken =
            tenant.metrics.own.note(&tenant.name, kind, name, labels, value, tenant.limits.telemetry_series);
        if !taken {
            tenant.metrics.own_dropped.with_label_values(&[&*tenant.name]).inc();
        }
        Ok(())
    }
}

/// A series as people write it.
fn series(name: &str, labels: &[Label]) -> String {
    if labels.is_empty() {
        return name.to_owned();
    }
    let labels: Vec<String> =
        labels.iter().map(|label| format!("{}={:?}", label.name, label.value)).collect();
    format!("{name}{{{}}}", labels.join(","))
}
