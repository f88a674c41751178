//! The section `storage`: how long what is kept. As in Prometheus, but for the rules.

use std::time::Duration;

use model::{ConfigDuration, Matcher};
use plugin::ByteSize;
use serde::{Deserialize, Deserializer, de};
use tsdb::{Downsampling, DownsamplingLevel, Retention, RetentionRule};

/// The section `storage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StorageConfig {
    #[serde(default)]
    pub(crate) tsdb: TsdbConfig,
    /// Prometheus keeps exemplars in a ring of that size; here they are kept as long as samples are.
    exemplars: Option<ExemplarsConfig>,
}

/// The section `storage.exemplars`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExemplarsConfig {
    #[serde(rename = "max_exemplars")]
    _max_exemplars: Option<i64>,
}

/// The section `storage.tsdb.chunk_encoding`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunkEncodingConfig {
    #[serde(rename = "floats")]
    _floats: Option<String>,
}

impl StorageConfig {
    /// Keys that are there and change nothing, and why.
    pub(super) fn idle(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let tsdb = &self.tsdb;
        [
            (self.exemplars.is_some(), "storage.exemplars", "exemplars are kept as long as samples are"),
            (
                tsdb.stale_series_compaction_threshold.is_some(),
                "storage.tsdb.stale_series_compaction_threshold",
                "series that have ended leave the head by themselves",
            ),
            (
                tsdb.chunk_encoding.is_some(),
                "storage.tsdb.chunk_encoding",
                "each chunk is written in the encoding that suits it",
            ),
        ]
        .into_iter()
        .filter_map(|(there, key, why)| there.then_some((key, why)))
    }
}

/// The section `storage.tsdb`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TsdbConfig {
    #[serde(default)]
    pub(crate) retention: RetentionConfig,
    /// How much older than the newest sample of its series a sample may come; nothing, unless this is given.
    pub(crate) out_of_order_time_window: Option<ConfigDuration>,
    stale_series_compaction_threshold: Option<f64>,
    chunk_encoding: Option<ChunkEncodingConfig>,
    /// Where it is missing, nothing is downsampled. Takes effect with a start.
    pub(crate) downsampling: Option<DownsamplingConfig>,
}

impl TsdbConfig {
    /// The window for late samples, zero where there is none.
    pub(crate) fn out_of_order_window(&self) -> Duration {
        self.out_of_order_time_window.as_ref().map_or(Duration::ZERO, |window| window.0)
    }
}

/// The section `storage.tsdb.downsampling`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownsamplingConfig {
    #[serde(default, rename = "5m")]
    five_minutes: LevelConfig,
    #[serde(default, rename = "1h")]
    one_hour: LevelConfig,
}

/// When samples are downsampled, and how long what comes of it is kept; for ever with 0s.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelConfig {
    after: Option<ConfigDuration>,
    retention: Option<ConfigDuration>,
}

const HOUR: Duration = Duration::from_secs(3600);

impl DownsamplingConfig {
    /// What is to be made of samples. Where nothing else is said: summaries of five minutes after 40 hours, when alerts
    /// and today's dashboards have done with the samples, for half a year; summaries of an hour after ten days, for two
    /// years.
    pub(crate) fn resolve(&self) -> Downsampling {
        let level = |config: &LevelConfig, after: Duration, retention: Duration| DownsamplingLevel {
            after: config.after.map_or(after, |after| after.0),
            retention: Some(config.retention.map_or(retention, |time| time.0)).filter(|time| !time.is_zero()),
        };
        Downsampling {
            five_minutes: level(&self.five_minutes, 40 * HOUR, 180 * 24 * HOUR),
            one_hour: level(&self.one_hour, 240 * HOUR, 730 * 24 * HOUR),
        }
    }
}

/// The section `storage.tsdb.retention`; what it says goes before the flags.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    time: Option<ConfigDuration>,
    size: Option<ByteSize>,
    percentage: Option<Percentage>,
    #[serde(default)]
    rules: Vec<RuleConfig>,
}

/// How long some series are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    r#match: Selector,
    time: ConfigDuration,
}

/// A series selector.
#[derive(Debug, Clone)]
struct Selector(Vec<Matcher>);

/// A part of the disk.
#[derive(Debug, Clone, Copy)]
struct Percentage(f64);

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percentage = f64::deserialize(deserializer)?;
        if (0.0..=100.0).contains(&percentage) {
            Ok(Self(percentage))
        } else {
            Err(de::Error::custom(format!("{percentage} is no percentage: it must be between 0 and 100")))
        }
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        promql::parse_selector(&text).map(Self).map_err(de::Error::custom)
    }
}

impl RetentionConfig {
    /// What is to be kept, where flags say `time` and `size`. As in Prometheus, a bound of zero is none, and only where
    /// nothing bounds anything it is `default_time` that does.
    pub(crate) fn resolve(
        &self,
        time: Option<Duration>,
        size: Option<ByteSize>,
        default_time: Duration,
    ) -> Retention {
        let time = self.time.map(|time| time.0).or(time);
        let bytes_max = self.size.or(size).map(|size| size.0).filter(|bytes| *bytes > 0);
        let disk_part_max = self.percentage.map(|part| part.0 / 100.0).filter(|part| *part > 0.0);
        let default = if bytes_max.is_none() && disk_part_max.is_none() { Some(default_time) } else { None };
        let rule = |rule: &RuleConfig| RetentionRule { matchers: rule.r#match.0.clone(), time: rule.time.0 };
        Retention {
            time: time.or(default).filter(|time| !time.is_zero()),
            bytes_max,
            disk_part_max,
            rules: self.rules.iter().map(rule).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_before_the_flags_and_these_before_the_default() {
        const DAY: Duration = Duration::from_secs(86_400);
        let check =
            |yaml: &str, time: Option<Duration>, size: Option<u64>, expected: (Option<u32>, Option<u64>)| {
                let config: RetentionConfig = serde_saphyr::from_str(yaml).unwrap();
                let retention = config.resolve(time, size.map(ByteSize), 15 * DAY);
                assert_eq!(
                    (retention.time, retention.bytes_max),
                    (expected.0.map(|days| days * DAY), expected.1),
                    "{yaml}"
                );
            };
        check("{}", None, None, (Some(15), None));
        check("{}", Some(3 * DAY), None, (Some(3), None));
        check("{}", None, Some(100), (None, Some(100)));
        check("{time: 2d, size: 1KB}", Some(3 * DAY), Some(100), (Some(2), Some(1024)));
        check("{percentage: 50}", None, None, (None, None));
        check("{time: 0s}", None, None, (None, None));
        let rules = "{rules: [{match: '{team=\"x\"}', time: 400d}]}";
        let config: RetentionConfig = serde_saphyr::from_str(rules).unwrap();
        assert_eq!(config.resolve(None, None, DAY).rules[0].time, 400 * DAY);
        for wrong in [
            "{percentage: 101}",
            "{size: much}",
            "{rules: [{match: '{a', time: 1d}]}",
            "{rules: [{time: 1d}]}",
        ] {
            assert!(serde_saphyr::from_str::<RetentionConfig>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn levels_have_defaults() {
        let config: TsdbConfig =
            serde_saphyr::from_str("downsampling: {5m: {retention: 1d}, 1h: {after: 3d}}").unwrap();
        let levels = config.downsampling.unwrap().resolve();
        assert_eq!((levels.five_minutes.after, levels.five_minutes.retention), (40 * HOUR, Some(24 * HOUR)));
        assert_eq!((levels.one_hour.after, levels.one_hour.retention), (72 * HOUR, Some(730 * 24 * HOUR)));
        assert!(serde_saphyr::from_str::<TsdbConfig>("{}").unwrap().downsampling.is_none());
    }

    #[test]
    fn late_samples_are_taken_only_where_a_window_is_given() {
        let window = |text| serde_saphyr::from_str::<TsdbConfig>(text).unwrap().out_of_order_window();
        assert_eq!(window("{}"), Duration::ZERO);
        assert_eq!(window("out_of_order_time_window: 30m"), HOUR / 2);
    }
}
