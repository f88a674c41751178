//! How plugins are seen from outside.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::error::{Operation, PluginError};
use crate::telemetry::Own;

/// Upper bounds of call durations in seconds: a nop takes microseconds, the default deadline is 5 s.
const CALL_BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of compile times in seconds: a Rust guest takes a tenth of a second, Python fifteen.
const COMPILE_BUCKETS: [f64; 7] = [0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0];

/// The host's metrics.
pub(crate) struct Metrics {
    calls: IntCounterVec,
    call_duration: HistogramVec,
    pub(crate) memory: IntGaugeVec,
    pub(crate) restarts: IntCounterVec,
    pub(crate) compile: Histogram,
    pub(crate) http_requests: IntCounterVec,
    pub(crate) connections: IntCounterVec,
    pub(crate) lookups: IntCounterVec,
    pub(crate) log_lines_dropped: IntCounterVec,
    pub(crate) recycled: IntCounterVec,
    pub(crate) own: Own,
    pub(crate) own_dropped: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, PluginError> {
        Self::try_register(registry)
            .map_err(|error| PluginError::Host(format!("registering metrics: {error}")))
    }

    fn try_register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let call_duration = HistogramVec::new(
            HistogramOpts::new(
                "stormglass_plugin_call_duration_seconds",
                "Time that calls of plugins took, by plugin and operation.",
            )
            .buckets(CALL_BUCKETS.to_vec()),
            &["plugin", "operation"],
        )?;
        registry.register(Box::new(call_duration.clone()))?;
        let memory = IntGaugeVec::new(
            Opts::new("stormglass_plugin_memory_bytes", "Linear memory that plugins hold."),
            &["plugin"],
        )?;
        registry.register(Box::new(memory.clone()))?;
        let compile = Histogram::with_opts(
            HistogramOpts::new("stormglass_plugin_compile_seconds", "Time that compiling plugins took.")
                .buckets(COMPILE_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(compile.clone()))?;
        let own = Own::new()?;
        registry.register(Box::new(own.clone()))?;
        Ok(Self {
            calls: counter(
                "stormglass_plugin_calls_total",
                "Calls of plugins, by plugin, operation and outcome: ok, error, trap, deadline, memory, output, \
                 denied, abi, suspended, paused, or canceled where the caller gave up.",
                &["plugin", "operation", "outcome"],
            )?,
            call_duration,
            memory,
            restarts: counter(
                "stormglass_plugin_restarts_total",
                "Instances made to replace one that was lost to a failure.",
                &["plugin"],
            )?,
            compile,
            http_requests: counter(
                "stormglass_plugin_http_requests_total",
                "HTTP requests that plugins asked for, by decision: allowed, denied or invalid.",
                &["plugin", "decision"],
            )?,
            connections: counter(
                "stormglass_plugin_connections_total",
                "Connections that plugins asked for, by decision: allowed, denied or invalid.",
                &["plugin", "decision"],
            )?,
            lookups: counter(
                "stormglass_plugin_dns_lookups_total",
                "Look-ups in the DNS that plugins asked for, by decision: allowed, denied or invalid.",
                &["plugin", "decision"],
            )?,
            log_lines_dropped: counter(
                "stormglass_plugin_log_lines_dropped_total",
                "Log lines of plugins that were over the limit of a call.",
                &["plugin"],
            )?,
            recycled: counter(
                "stormglass_plugin_recycled_total",
                "Instances replaced although nothing was wrong with them, by reason: calls, age or memory.",
                &["plugin", "reason"],
            )?,
            own,
            own_dropped: counter(
                "stormglass_plugin_own_dropped_total",
                "Values that plugins told of themselves and that were no metrics, or too many.",
                &["plugin"],
            )?,
        })
    }

    /// Counts one call.
    pub(crate) fn observe(&self, plugin: &str, operation: Operation, outcome: &str, took: Duration) {
        let operation = operation.as_str();
        self.calls.with_label_values(&[plugin, operation, outcome]).inc();
        self.call_duration.with_label_values(&[plugin, operation]).observe(took.as_secs_f64());
    }

    /// Counts one call that did not reach the guest.
    pub(crate) fn observe_refused(&self, plugin: &str, operation: Operation, outcome: &str) {
        self.calls.with_label_values(&[plugin, operation.as_str(), outcome]).inc();
    }
}
