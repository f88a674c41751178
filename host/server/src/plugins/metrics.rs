//! What operators see of plugins, as metrics: who runs, in what state, with which grants, and when it failed last.
//!
//! Read off the plugins that run at each scrape, so that one that is gone leaves no series behind.

use std::sync::Arc;

use arc_swap::ArcSwap;
use plugin::InstanceState;
use prometheus::GaugeVec;
use prometheus::Opts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::{Running, RunningSet};

/// The states in which a plugin can be, by the words of the API.
const STATES: [InstanceState; 4] =
    [InstanceState::Running, InstanceState::Failed, InstanceState::Suspended, InstanceState::Paused];

/// The gauges.
pub(super) struct PluginGauges {
    running: Arc<ArcSwap<RunningSet>>,
    info: GaugeVec,
    state: GaugeVec,
    grants: GaugeVec,
    last_failure: GaugeVec,
}

impl PluginGauges {
    pub(super) fn new(running: Arc<ArcSwap<RunningSet>>) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            running,
            info: gauge(
                "stormglass_plugin_info",
                "Plugins that run: their file, version and SHA-256, and the kinds they are of.",
                &["plugin", "file", "version", "digest", "kinds"],
            )?,
            state: gauge(
                "stormglass_plugin_state",
                "1 for the state that the plugin is in, 0 for the others.",
                &["plugin", "state"],
            )?,
            grants: gauge(
                "stormglass_plugin_grant_info",
                "What plugins have been granted.",
                &["plugin", "capability", "target"],
            )?,
            last_failure: gauge(
                "stormglass_plugin_last_failure_timestamp_seconds",
                "When the plugin failed last, in what call and how.",
                &["plugin", "operation", "kind"],
            )?,
        })
    }

    fn all(&self) -> [&GaugeVec; 4] {
        [&self.info, &self.state, &self.grants, &self.last_failure]
    }

    fn tell(&self, running: &Running) {
        let Running { config, instance } = running;
        let (name, status) = (config.name.as_str(), instance.status());
        let kinds: Vec<&str> = instance.kinds().iter().map(|kind| kind.as_str()).collect();
        let info = [name, &config.plugin, &instance.info().version, instance.digest(), &kinds.join(",")];
        self.info.with_label_values(&info).set(1.0);
        for state in STATES {
            let is_it = f64::from(u8::from(state == status.state));
            self.state.with_label_values(&[name, state.as_str()]).set(is_it);
        }
        for (capability, target) in granted(&config.grants) {
            self.grants.with_label_values(&[name, &capability, &target]).set(1.0);
        }
        if let Some(error) = status.last_error {
            let since = error.at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let labels = [name, error.operation.as_str(), error.kind.as_str()];
            self.last_failure.with_label_values(&labels).set(since.as_secs_f64());
        }
    }
}

/// Each grant with what it is for, as the configuration has it; secrets by their names.
fn granted(grants: &plugin::Grants) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(grants)) = serde_json::to_value(grants) else { return Vec::new() };
    let mut found = Vec::new();
    for (capability, targets) in grants {
        match targets {
            serde_json::Value::Array(targets) => found.extend(targets.into_iter().map(|target| {
                let told = match target {
                    serde_json::Value::String(text) => text,
                    serde_json::Value::Object(fields) => {
                        let named = ["name", "path", "url", "host"].iter().find_map(|key| fields.get(*key));
                        named.and_then(serde_json::Value::as_str).map_or_else(
                            || serde_json::Value::Object(fields.clone()).to_string(),
                            str::to_owned,
                        )
                    }
                    other => other.to_string(),
                };
                (capability.clone(), told)
            })),
            serde_json::Value::Bool(true) => found.push((capability, String::new())),
            _ => {}
        }
    }
    found
}

impl Collector for PluginGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.all().into_iter().for_each(GaugeVec::reset);
        self.running.load().values().for_each(|running| self.tell(running));
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::granted;

    #[test]
    fn grants_are_told_by_what_they_are_for() {
        let grants = serde_json::json!({
            "http": ["https://api.example.com"],
            "net": ["db.example:5432"],
            "files": [{"path": "/proc", "mode": "read"}],
            "query": true,
        });
        let grants: plugin::Grants = serde_json::from_value(grants).unwrap();
        let told: Vec<String> =
            granted(&grants).iter().map(|(capability, target)| format!("{capability} {target}")).collect();
        assert_eq!(
            told,
            ["files /proc", "http https://api.example.com:443", "net db.example:5432", "query "]
        );
    }
}
