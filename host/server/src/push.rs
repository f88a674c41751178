//! What short jobs push, as Prometheus' Pushgateway keeps it: groups of metrics by their grouping labels, until somebody
//! replaces or deletes them.
//!
//! A Pushgateway is scraped, so that its metrics stay for as long as it has them. Here they are written to storage at the
//! interval at which targets are scraped, and right after each push; what is gone is marked stale. Each group is a file of
//! its own, which is there before the push is acknowledged:
//!
//! ```text
//! {"version": 1, "labels": {…}, "pushed_ms": …, "failed_ms": …, "families": {name: base64}}
//! ```
//! where each family is a request of remote write 1.0 with its series and what was declared of it.

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::exposition::Format;
use formats::remote_write::{self, Limits};
use formats::{TimeSeries, WriteRequest};
use model::staleness::STALE_NAN;
use model::{Append, CommitError, Labels, METRIC_NAME, Metadata, MetricKind, Sample, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use parse::grouping_labels;

/// Groups that are kept at most: a job that puts something unique among its grouping labels must not fill the disk.
const GROUPS_MAX: usize = 100_000;

/// What a family of a group's file may hold; it was pushed in a body that is bounded too.
const LIMITS: Limits = Limits { decompressed_bytes_max: 256 << 20, items_max: 4_000_000 };

const VERSION: u32 = 1;

/// When a group was last pushed to.
const PUSH_TIME: &str = "push_time_seconds";
/// When a push to a group last failed.
const FAILURE_TIME: &str = "push_failure_time_seconds";

/// How a push changes its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// All metrics of the group go first.
    Replace,
    /// Metrics of the same names go.
    Update,
}

/// One name's metrics in one group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) metadata: Metadata,
    /// With the grouping labels, and one sample each, whose time does not count.
    pub(crate) series: Vec<TimeSeries>,
}

pub(crate) type Families = BTreeMap<String, Family>;

/// What was pushed under the same grouping labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) families: Families,
    /// Zero where that has not been.
    pub(crate) pushed_ms: i64,
    pub(crate) failed_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    labels: BTreeMap<String, String>,
    pushed_ms: i64,
    failed_ms: i64,
    families: BTreeMap<String, String>,
}

/// Why a push was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {0}")]
    Invalid(String),
    #[error(
        "there are {GROUPS_MAX} groups already; delete some, or leave out of the grouping labels what differs each time"
    )]
    TooManyGroups,
    #[error("keep the pushed metrics: {0}")]
    Io(#[from] io::Error),
}

/// All groups.
pub(crate) struct PushGateway {
    dir: PathBuf,
    groups: Mutex<BTreeMap<Labels, Group>>,
    /// The series that were written last, to be marked stale when they are gone.
    written: Mutex<BTreeSet<Labels>>,
    changed: Notify,
}

impl PushGateway {
    /// Reads the groups of an earlier run; files that are none are named and left alone.
    pub(crate) fn open(dir: PathBuf) -> Self {
        let mut groups = BTreeMap::new();
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| read(&bytes)) {
                Ok((labels, group)) => drop(groups.insert(labels, group)),
                Err(error) => tracing::error!(path = %path.display(), error, "pushed metrics cannot be read"),
            }
        }
        Self { dir, groups: Mutex::new(groups), written: Mutex::default(), changed: Notify::new() }
    }

    /// Takes a push. Where it is not taken, its group remembers when that was.
    pub(crate) fn push(
        &self,
        labels: &Labels,
        format: Format,
        body: &[u8],
        how: How,
        now: Timestamp,
    ) -> Result<(), PushError> {
        let mut groups = self.groups.lock();
        let mut group = groups.get(labels).cloned().unwrap_or_default();
        if !groups.contains_key(labels) && groups.len() >= GROUPS_MAX {
            return Err(PushError::TooManyGroups);
        }
        let taken = parse::families(format, body, labels).and_then(|families| {
            check(&families, labels, &groups)?;
            Ok(families)
        });
        match taken {
            Ok(families) => {
                if how == How::Replace {
                    group.families.clear();
                }
                group.families.extend(families);
                group.pushed_ms = now.millis();
                self.store(labels, &group)?;
                groups.insert(labels.clone(), group);
                self.changed.notify_one();
                Ok(())
            }
            Err(what) => {
                group.failed_ms = now.millis();
                self.store(labels, &group)?;
                groups.insert(labels.clone(), group);
                self.changed.notify_one();
                Err(PushError::Invalid(what))
            }
        }
    }

    /// Deletes a group; one that is not there is fine.
    pub(crate) fn delete(&self, labels: &Labels) -> Result<(), PushError> {
        let mut groups = self.groups.lock();
        if groups.remove(labels).is_some() {
            remove(&self.path(labels))?;
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Deletes all groups.
    pub(crate) fn wipe(&self) -> Result<(), PushError> {
        let mut groups = self.groups.lock();
        for labels in groups.keys() {
            remove(&self.path(labels))?;
        }
        groups.clear();
        self.changed.notify_one();
        Ok(())
    }

    /// The groups as they are.
    pub(crate) fn groups(&self) -> Vec<(Labels, Group)> {
        self.groups.lock().iter().map(|(labels, group)| (labels.clone(), group.clone())).collect()
    }

    /// Waits until something was pushed or deleted.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Writes all metrics as they are now, and marks those stale that are gone.
    pub(crate) fn write(&self, storage: &dyn Append, now: Timestamp) -> Result<(), CommitError> {
        let groups = self.groups();
        let mut written = self.written.lock();
        if groups.is_empty() && written.is_empty() {
            return Ok(());
        }
        let mut appender = storage.appender();
        let mut current = BTreeSet::new();
        for (labels, group) in &groups {
            for (name, family) in group.families.iter().chain(&times(labels, group)) {
                appender.append_metadata(name, &family.metadata);
                for series in &family.series {
                    for sample in &series.samples {
                        // What storage refuses, such as a series over a limit, others must not suffer from.
                        let _ = appender.append(None, &series.labels, Sample { timestamp: now, ..*sample });
                    }
                    for (_, histogram) in &series.histograms {
                        let _ = appender.append_histogram(None, &series.labels, now, histogram);
                    }
                    current.insert(series.labels.clone());
                }
            }
        }
        for gone in written.difference(&current) {
            let _ = appender.append(None, gone, Sample { timestamp: now, value: STALE_NAN });
        }
        appender.commit()?;
        *written = current;
        Ok(())
    }

    fn path(&self, labels: &Labels) -> PathBuf {
        self.dir.join(format!("{:016x}.json", parse::name_of(labels)))
    }

    fn store(&self, labels: &Labels, group: &Group) -> io::Result<()> {
        let families = group.families.iter().map(|(name, family)| {
            let request = WriteRequest {
                series: family.series.clone(),
                metadata: vec![(name.clone(), family.metadata.clone())],
            };
            (name.clone(), STANDARD.encode(remote_write::encode(&request)))
        });
        let written = Written {
            version: VERSION,
            labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            pushed_ms: group.pushed_ms,
            failed_ms: group.failed_ms,
            families: families.collect(),
        };
        fs::create_dir_all(&self.dir)?;
        replace(&self.path(labels), &serde_json::to_vec(&written)?)
    }
}

/// Makes bytes the content of a file, durably and in one step.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(bytes: &[u8]) -> Result<(Labels, Group), String> {
    let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if written.version != VERSION {
        return Err(format!("version {} is not known", written.version));
    }
    let mut group = Group { pushed_ms: written.pushed_ms, failed_ms: written.failed_ms, ..Group::default() };
    for (name, encoded) in written.families {
        let bytes = STANDARD.decode(encoded).map_err(|error| error.to_string())?;
        let (request, _) = remote_write::decode(&bytes, &LIMITS).map_err(|error| error.to_string())?;
        let metadata = request.metadata.into_iter().next().map(|(_, metadata)| metadata).unwrap_or_default();
        group.families.insert(name, Family { metadata, series: request.series });
    }
    Ok((Labels::from_pairs(written.labels), group))
}

/// Says what of a push cannot stand beside what others have pushed: a name has one type, and a series one sample.
fn check(families: &Families, labels: &Labels, groups: &BTreeMap<Labels, Group>) -> Result<(), String> {
    for (other, group) in groups.iter().filter(|(other, _)| *other != labels) {
        for (name, family) in families {
            let Some(known) = group.families.get(name) else { continue };
            if known.metadata.kind != family.metadata.kind {
                let (ours, theirs) = (family.metadata.kind, known.metadata.kind);
                return Err(format!("{name} is a {ours} here and a {theirs} in the group {other}"));
            }
            if let Some(twice) = family
                .series
                .iter()
                .find(|series| known.series.iter().any(|other| other.labels == series.labels))
            {
                return Err(format!("{} is in the group {other} as well", twice.labels));
            }
        }
    }
    Ok(())
}

/// The series that say when a group was pushed to.
pub(crate) fn times(labels: &Labels, group: &Group) -> Families {
    let family = |name: &str, millis: i64, help: &str| {
        let series = TimeSeries {
            labels: labels.with(METRIC_NAME, name),
            samples: vec![Sample::new(0, millis as f64 / 1000.0)],
            ..TimeSeries::default()
        };
        let metadata =
            Metadata { kind: MetricKind::Gauge, help: help.to_owned(), unit: "seconds".to_owned() };
        (name.to_owned(), Family { metadata, series: vec![series] })
    };
    BTreeMap::from([
        family(
            PUSH_TIME,
            group.pushed_ms,
            "Last Unix time when changing this group in the Pushgateway succeeded.",
        ),
        family(
            FAILURE_TIME,
            group.failed_ms,
            "Last Unix time when changing this group in the Pushgateway failed.",
        ),
    ])
}

#[cfg(test)]
mod tests;
