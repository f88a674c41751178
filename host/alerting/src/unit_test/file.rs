//! Test files as they are written; unknown keys are refused.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ConfigDuration, Timestamp};
use serde::Deserialize;

/// How often rules are evaluated where the file does not say.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(60);

/// A test file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Patterns of rule files, relative to the test file.
    #[serde(default)]
    pub rule_files: Vec<String>,
    /// How often rules are evaluated; zero, as no word at all, for every minute.
    #[serde(default)]
    pub evaluation_interval: ConfigDuration,
    /// Groups that are evaluated first, in this order.
    #[serde(default)]
    pub group_eval_order: Vec<String>,
    /// Whether values may be off by the last bit.
    #[serde(default)]
    pub fuzzy_compare: bool,
    /// The tests.
    #[serde(default)]
    pub tests: Vec<TestGroup>,
}

/// One test: series, and what comes of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestGroup {
    /// What it is called.
    pub name: String,
    /// How far apart the values of the series are; zero, as no word at all, for the evaluation interval.
    pub interval: ConfigDuration,
    /// The series.
    pub input_series: Vec<InputSeries>,
    /// Which alerts fire when.
    pub alert_rule_test: Vec<AlertTest>,
    /// What expressions yield when.
    pub promql_expr_test: Vec<ExprTest>,
    /// What templates see as external labels.
    pub external_labels: BTreeMap<String, String>,
    /// What templates see as the server's URL.
    pub external_url: String,
    /// When it all begins; the epoch, unless it says otherwise.
    pub start_timestamp: StartTime,
}

/// A series, in the notation of scripts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSeries {
    /// Its name and labels.
    pub series: String,
    /// Its values.
    #[serde(default)]
    pub values: String,
}

/// The alerts of one name that fire at one time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertTest {
    /// When, since the start.
    #[serde(default)]
    pub eval_time: ConfigDuration,
    /// The alert's name.
    #[serde(default)]
    pub alertname: String,
    /// All that fire.
    #[serde(default)]
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that fires.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedAlert {
    /// Its labels, but for `alertname`.
    pub exp_labels: Option<BTreeMap<String, String>>,
    /// Its annotations.
    pub exp_annotations: Option<BTreeMap<String, String>>,
}

/// What an expression yields at one time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExprTest {
    /// The expression.
    #[serde(default)]
    pub expr: String,
    /// When, since the start.
    #[serde(default)]
    pub eval_time: ConfigDuration,
    /// All samples.
    #[serde(default)]
    pub exp_samples: Vec<ExpectedSample>,
}

/// A sample of an expression's result.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedSample {
    /// Its name and labels.
    pub labels: String,
    /// Its value.
    pub value: f64,
    /// Its value where that is a native histogram, in the notation of scripts.
    pub histogram: String,
}

/// When a test begins: seconds since the epoch, or RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawTime")]
pub struct StartTime(pub Timestamp);

impl Default for StartTime {
    fn default() -> Self {
        Self(Timestamp::EPOCH)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTime {
    Seconds(f64),
    Text(String),
}

impl TryFrom<RawTime> for StartTime {
    type Error = String;

    fn try_from(raw: RawTime) -> Result<Self, String> {
        let seconds = match &raw {
            RawTime::Seconds(seconds) => Some(*seconds),
            RawTime::Text(text) => text.parse().ok(),
        };
        if let Some(seconds) = seconds.filter(|seconds: &f64| seconds.abs() < 9e15) {
            return Ok(Self(Timestamp::from_secs_f64(seconds)));
        }
        let text = match raw {
            RawTime::Seconds(seconds) => seconds.to_string(),
            RawTime::Text(text) => text,
        };
        chrono::DateTime::parse_from_rfc3339(&text)
            .map(|time| Self(Timestamp::from_millis(time.timestamp_millis())))
            .map_err(|_| format!("cannot parse {text:?} to a valid timestamp: give seconds or RFC 3339"))
    }
}

impl TestFile {
    pub(super) fn evaluation_interval(&self) -> Duration {
        let interval = self.evaluation_interval.0;
        if interval.is_zero() { EVALUATION_INTERVAL } else { interval }
    }
}
