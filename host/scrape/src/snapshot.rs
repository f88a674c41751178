//! What is scraped right now, in the shape of Prometheus' `/api/v1/targets`.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use model::{Labels, Timestamp};
use serde::{Serialize, Serializer};

/// How the latest scrape went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There was none yet.
    #[default]
    Unknown,
    /// Well.
    Up,
    /// It failed.
    Down,
}

/// All targets. Serialises to the value of `data`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// What is scraped, by pool.
    pub active_targets: Vec<ActiveTarget>,
    /// What relabelling dropped.
    pub dropped_targets: Vec<DroppedTarget>,
    /// How much relabelling dropped, by pool.
    pub dropped_target_counts: BTreeMap<String, u64>,
}

/// A target that is scraped.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveTarget {
    /// Before relabelling.
    #[serde(serialize_with = "as_map")]
    pub discovered_labels: Labels,
    /// What its samples get.
    #[serde(serialize_with = "as_map")]
    pub labels: Labels,
    /// Its job or collector.
    pub scrape_pool: String,
    /// What is asked for.
    pub scrape_url: String,
    /// The same, for people elsewhere.
    pub global_url: String,
    /// Why the latest scrape failed; empty where it did not.
    pub last_error: String,
    /// When the latest scrape was; none yet is Go's zero time, as Prometheus writes it.
    #[serde(serialize_with = "as_rfc3339")]
    pub last_scrape: Option<Timestamp>,
    /// How long it took, in seconds.
    pub last_scrape_duration: f64,
    /// How it went.
    pub health: Health,
    /// How often it is scraped.
    pub scrape_interval: String,
    /// How long an answer may take.
    pub scrape_timeout: String,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    /// Before relabelling.
    #[serde(serialize_with = "as_map")]
    pub discovered_labels: Labels,
    /// Its job.
    pub scrape_pool: String,
}

fn as_map<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels)
}

fn as_rfc3339<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = at.and_then(|at| DateTime::from_timestamp_millis(at.millis())).map_or_else(
        || "0001-01-01T00:00:00Z".to_owned(),
        |t| t.to_rfc3339_opts(SecondsFormat::Millis, true),
    );
    serializer.serialize_str(&text)
}
