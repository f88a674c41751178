//! One entry of `plugins:` in the configuration: which plugin, how often, with what, and what it may reach.
//!
//! A value that deserialises is valid: names, grants and limits are checked while they are read, so that an error
//! carries its position in the file. Only the plugin's own `config` waits for the plugin's schema.

pub(crate) mod decode;

use std::time::Duration;

use model::ConfigDuration;
use serde::{Deserialize, Deserializer, Serialize, de};

pub use self::decode::{DecodeConfig, Listen};
use crate::grants::Grants;
use crate::limits::{ByteSize, Limits};

/// One configured plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginConfig {
    /// Names this use of the plugin: the job label of what it yields. Unique in a configuration.
    pub name: String,
    /// The file: its stem in the plugin directory, or a path.
    pub plugin: String,
    /// How often a collector collects, a discoverer looks and a detector scores.
    pub interval: ConfigDuration,
    /// What the plugin itself is configured with; an object by the plugin's own schema.
    pub config: serde_json::Value,
    /// What it may reach.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
    /// SHA-256 of the file in hexadecimal, where only that one may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When an instance is replaced although nothing is wrong with it.
    #[serde(skip_serializing_if = "RecycleConfig::is_never")]
    pub recycle: RecycleConfig,
    /// What a detector scores; none for other kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect: Option<DetectConfig>,
    /// Where a decoder listens; none for other kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode: Option<DecodeConfig>,
    /// What a processor does when it fails; none for other kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessConfig>,
}

/// When an instance is replaced by a new one although nothing is wrong with it, as against a runtime that grows. The
/// instance's state is lost; what is in `kv` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecycleConfig {
    /// After so many calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// After so much time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<ConfigDuration>,
    /// Once it holds so much memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
}

impl RecycleConfig {
    fn is_never(&self) -> bool {
        *self == Self::default()
    }
}

/// What a processor does when it fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// Whether what it could not process is stored as it was, or not at all.
    pub on_failure: OnFailure,
}

/// What becomes of what a processor could not process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is stored as it was.
    Pass,
    /// It is not stored.
    Drop,
}

/// What a detector is run over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectConfig {
    /// A PromQL expression that yields an instant vector.
    pub expr: String,
    /// How far back its values are shown to the detector.
    #[serde(default = "default_range")]
    pub range: ConfigDuration,
    /// The distance of those values.
    #[serde(default = "default_step")]
    pub step: ConfigDuration,
    /// How a detector that learns is taught; none where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainConfig>,
}

/// How a detector is taught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// How often.
    #[serde(default = "default_train_interval")]
    pub interval: ConfigDuration,
    /// How far back the values go that it is shown.
    #[serde(default = "default_train_range")]
    pub range: ConfigDuration,
    /// The distance of those values.
    #[serde(default = "default_train_step")]
    pub step: ConfigDuration,
}

fn default_train_interval() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(24 * 3600))
}

fn default_train_range() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(7 * 24 * 3600))
}

fn default_train_step() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(300))
}

fn default_interval() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(15))
}

fn default_range() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(3600))
}

fn default_step() -> ConfigDuration {
    ConfigDuration(Duration::from_secs(15))
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// A plugin's configuration as it is written, before it is checked as a whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "PluginConfig")]
struct Written {
    name: String,
    plugin: String,
    #[serde(default = "default_interval")]
    interval: ConfigDuration,
    #[serde(default = "empty_object")]
    config: serde_json::Value,
    #[serde(default)]
    grants: Grants,
    #[serde(default = "standard_limits")]
    limits: Limits,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    recycle: RecycleConfig,
    #[serde(default)]
    detect: Option<DetectConfig>,
    #[serde(default)]
    decode: Option<DecodeConfig>,
    #[serde(default)]
    process: Option<ProcessConfig>,
}

fn standard_limits() -> Limits {
    Limits::STANDARD
}

impl<'de> Deserialize<'de> for PluginConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written {
            name,
            plugin,
            interval,
            config,
            grants,
            limits,
            digest,
            recycle,
            detect,
            decode,
            process,
        } = Written::deserialize(deserializer)?;
        let config =
            Self { name, plugin, interval, config, grants, limits, digest, recycle, detect, decode, process };
        config.check().map_err(de::Error::custom)?;
        Ok(config)
    }
}

impl PluginConfig {
    /// A plugin with the default limits and interval, no configuration and no grants, named after its file.
    pub fn of(plugin: &str) -> Self {
        let stem = std::path::Path::new(plugin).file_stem().and_then(|stem| stem.to_str()).unwrap_or(plugin);
        Self {
            name: stem.to_owned(),
            plugin: plugin.to_owned(),
            interval: default_interval(),
            config: empty_object(),
            grants: Grants::default(),
            limits: Limits::STANDARD,
            digest: None,
            recycle: RecycleConfig::default(),
            detect: None,
            decode: None,
            process: None,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("name: must not be empty".to_owned());
        }
        if self.plugin.is_empty() {
            return Err("plugin: must not be empty".to_owned());
        }
        if self.interval.0.is_zero() {
            return Err("interval: must be longer than 0s".to_owned());
        }
        if !self.config.is_object() {
            return Err("config: must be a map of keys and values".to_owned());
        }
        if let Some(detect) = &self.detect {
            if detect.expr.is_empty() {
                return Err("detect.expr: must not be empty".to_owned());
            }
            if detect.step.0.is_zero() || detect.range.0 < detect.step.0 {
                return Err("detect: step must be longer than 0s and not longer than range".to_owned());
            }
            if let Some(train) = &detect.train
                && (train.step.0.is_zero() || train.range.0 < train.step.0 || train.interval.0.is_zero())
            {
                let what = "interval and step must be longer than 0s, and step not longer than range";
                return Err(format!("detect.train: {what}"));
            }
        }
        if let Some(digest) = &self.digest
            && (digest.len() != 64 || !digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        {
            return Err("digest: must be a SHA-256 of 64 lower-case hexadecimal digits".to_owned());
        }
        if let Some(decode) = &self.decode {
            decode.check(&self.limits)?;
        }
        self.limits.check()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(yaml: &str, expected: &Expect) {
        let shown = match serde_saphyr::from_str::<PluginConfig>(yaml) {
            Ok(config) => serde_json::to_string(&config).unwrap(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn everything_but_the_names_has_a_default() {
        check(
            "{name: host, plugin: host-metrics}",
            &expect![[
                r#"{"name":"host","plugin":"host-metrics","interval":"15s","config":{},"grants":{"files":[],"http":[]},"limits":{"memory":"64MiB","deadline":"5s","payload":"16MiB","response":"8MiB","connections":64,"received":"16MiB","file":"4MiB","stderr":"16KiB","log_lines":100,"series":100000,"host_calls":10000,"component":"32MiB","compile":"2m","kv":"1MiB","telemetry_series":100,"model":"8MiB","instances":2}}"#
            ]],
        );
    }

    #[test]
    fn a_whole_entry_is_read() {
        check(
            "name: host\nplugin: ./x.wasm\ninterval: 1m\nconfig: {a: [1]}\n\
             grants:\n  files: [{path: /proc, mode: read}]\n  http: ['https://a.b', 'c:80']\n\
             limits: {memory: 32MiB, deadline: 1s}\ndetect: {expr: up}\n",
            &expect![[
                r#"{"name":"host","plugin":"./x.wasm","interval":"1m","config":{"a":[1]},"grants":{"files":[{"path":"/proc","mode":"read"}],"http":["https://a.b:443","c:80"]},"limits":{"memory":"32MiB","deadline":"1s","payload":"16MiB","response":"8MiB","connections":64,"received":"16MiB","file":"4MiB","stderr":"16KiB","log_lines":100,"series":100000,"host_calls":10000,"component":"32MiB","compile":"2m","kv":"1MiB","telemetry_series":100,"model":"8MiB","instances":2},"detect":{"expr":"up","range":"1h","step":"15s"}}"#
            ]],
        );
    }

    #[test]
    fn mistakes_are_named() {
        check(
            "{name: a, plugin: b, colour: red}",
            &expect![[r#"
                error: line 1 column 22: unknown field `colour`, expected one of name, plugin, interval, config, grants, limits, digest, recycle, detect, decode, process
                 --> <input>:1:22
                  |
                1 | {name: a, plugin: b, colour: red}
                  |                      ^ unknown field `colour`, expected one of name, plugin, interval, config, grants, limits, digest, recycle, detect, decode, process"#]],
        );
        check("{name: '', plugin: b}", &expect!["name: must not be empty"]);
        check(
            "{name: a, plugin: b, limits: {memory: lots}}",
            &expect![[r#"
            error: line 1 column 39: not a size: "lots"; write a number and a unit, such as 64MiB
             --> <input>:1:39
              |
            1 | {name: a, plugin: b, limits: {memory: lots}}
              |                                       ^ not a size: "lots"; write a number and a unit, such as 64MiB"#]],
        );
        check(
            "{name: a, plugin: b, limits: {deadline: 0}}",
            &expect!["limits.deadline: must be longer than 0s"],
        );
        check(
            "{name: a, plugin: b, grants: {files: [{path: proc, mode: read}]}}",
            &expect![[r#"
            error: line 1 column 46: proc is not an absolute path without `..`
             --> <input>:1:46
              |
            1 | {name: a, plugin: b, grants: {files: [{path: proc, mode: read}]}}
              |                                              ^ proc is not an absolute path without `..`"#]],
        );
        check(
            "{name: a, plugin: b, grants: {files: [{path: /proc, mode: write}]}}",
            &expect![[r#"
            error: line 1 column 59: unknown variant `write`, expected one of stat, read
             --> <input>:1:59
              |
            1 | {name: a, plugin: b, grants: {files: [{path: /proc, mode: write}]}}
              |                                                           ^ unknown variant `write`, expected one of stat, read"#]],
        );
        check(
            "{name: a, plugin: b, grants: {http: ['*:80']}}",
            &expect![[r#"
            error: line 1 column 38: not a server: "*:80" has a wildcard, and each server must be named; write https://host, https://host:port or host:port
             --> <input>:1:38
              |
            1 | {name: a, plugin: b, grants: {http: ['*:80']}}
              |                                      ^ not a server: "*:80" has a wildcard, and each server must be named; write https://host, https://host:port or host:port"#]],
        );
    }
}
