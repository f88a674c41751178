//! `--enable-feature`: what Prometheus keeps behind flags, under the same names.
//!
//! A name that Prometheus does not know is told and does nothing, as there. One that Prometheus knows and that makes no
//! difference here, because it is always on or belongs to a part that we built otherwise, is told too.

use std::collections::BTreeSet;

use promql::EngineOptions;

/// Features of Prometheus 3.14 whose work is done here whether they are named or not.
const ALWAYS_ON: [&str; 8] = [
    "exemplar-storage",
    "metadata-wal-records",
    "native-histograms",
    "ooo-native-histograms",
    "promql-duration-expr",
    "st-storage",
    "search-api",
    "otlp-deltatocumulative",
];

/// Features that change something outside of the query language.
const AUTO_RELOAD: &str = "auto-reload-config";
const CONCURRENT_RULES: &str = "concurrent-rule-eval";

/// Features of Prometheus 3.14 that have no counterpart here.
const WITHOUT_EFFECT: [&str; 10] = [
    "memory-snapshot-on-shutdown",
    "xor2-encoding",
    "histograms-st-encoding",
    "st-synthesis",
    "delayed-compaction",
    "old-ui",
    "otlp-native-delta-ingestion",
    "use-uncached-io",
    "fast-startup",
    "promql-at-modifier",
];

/// Either makes start timestamps of OpenMetrics' `_created` lines. They are stored as such; no sample of zero is made up.
const CREATED_AS_STARTS: [&str; 2] = ["created-timestamp-zero-ingestion", "st-storage"];

/// What `global.extra_scrape_metrics` says too.
const EXTRA_SCRAPE_METRICS: &str = "extra-scrape-metrics";

/// What the command line enables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Features {
    enabled: BTreeSet<String>,
}

impl Features {
    /// Reads the values of the flag, each of which may hold several names.
    pub(crate) fn parse(values: &[String]) -> Self {
        let names = values.iter().flat_map(|value| value.split(',')).map(str::trim);
        Self { enabled: names.filter(|name| !name.is_empty()).map(str::to_owned).collect() }
    }

    /// What to say about names that change nothing.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for name in &self.enabled {
            let name = name.as_str();
            let elsewhere = [AUTO_RELOAD, CONCURRENT_RULES, EXTRA_SCRAPE_METRICS].contains(&name);
            if elsewhere
                || CREATED_AS_STARTS.contains(&name)
                || promql::Features::NAMES.contains(&name)
                || ALWAYS_ON.contains(&name)
            {
                continue;
            }
            if WITHOUT_EFFECT.contains(&name) {
                warnings.push(format!("--enable-feature={name} has no effect in this server"));
            } else {
                warnings.push(format!("unknown option for --enable-feature: {name}; it is ignored"));
            }
        }
        warnings
    }

    /// Whether the configuration is applied whenever its files change.
    pub(crate) fn auto_reload(&self) -> bool {
        self.enabled.contains(AUTO_RELOAD)
    }

    /// Whether rules of a group that do not need each other are evaluated at once.
    pub(crate) fn concurrent_rules(&self) -> bool {
        self.enabled.contains(CONCURRENT_RULES)
    }

    /// Whether scrapes report more, where the configuration does not say.
    pub(crate) fn extra_scrape_metrics(&self) -> bool {
        self.enabled.contains(EXTRA_SCRAPE_METRICS)
    }

    /// Whether `_created` lines of a scraped text are start timestamps rather than series.
    pub(crate) fn created_as_starts(&self) -> bool {
        CREATED_AS_STARTS.iter().any(|name| self.enabled.contains(*name))
    }

    /// The engine's options with what is enabled.
    pub(crate) fn engine(&self, mut options: EngineOptions) -> EngineOptions {
        for name in &self.enabled {
            // Names that are not the engine's are told by `warnings`.
            let _ = options.features.enable(name);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_one_flag_or_in_several() {
        let flags = ["promql-delayed-name-removal,old-ui".to_owned(), " nonsense ".to_owned()];
        let features = Features::parse(&flags);
        let options = features.engine(EngineOptions::prometheus_defaults());
        assert!(options.features.delayed_name_removal && !options.features.use_start_timestamps);
        assert_eq!(
            features.warnings(),
            [
                "unknown option for --enable-feature: nonsense; it is ignored",
                "--enable-feature=old-ui has no effect in this server",
            ]
        );
    }
}
