//! `file_sd_configs`: targets in files that somebody else writes. Changes are seen within a second.
//!
//! Files are looked at by their metadata rather than watched: this works on every file system, and where a file
//! is a link to what changes, as in a mounted ConfigMap. A file that cannot be read keeps the targets that it
//! had; one that is gone takes them with it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::groups::groups_of;
use super::{Discover, Snapshot};
use crate::config::FileSdConfig;
use crate::target::TargetGroup;
use crate::worker::Shared;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The label by which relabelling can tell the file.
const META_FILEPATH: &str = "__meta_filepath";

/// Reads files of targets.
pub(crate) struct FileDiscovery {
    config: FileSdConfig,
    shared: Arc<Shared>,
    read: Mutex<BTreeMap<PathBuf, ReadFile>>,
}

struct ReadFile {
    version: Version,
    groups: Vec<TargetGroup>,
}

/// What tells a file from what it was before.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    len: u64,
    mtime: (i64, i64),
}

impl FileDiscovery {
    pub(crate) fn new(config: &FileSdConfig, shared: &Arc<Shared>) -> Self {
        Self { config: config.clone(), shared: Arc::clone(shared), read: Mutex::default() }
    }

    fn read_all(&self) -> Snapshot {
        let metrics = &self.shared.metrics.discovery;
        let mut before = std::mem::take(&mut *self.read.lock());
        let mut now = BTreeMap::new();
        for (path, version) in files(&self.config) {
            let old = before.remove(&path);
            let name = path.display().to_string();
            let file = match (read(&path), old) {
                (Ok(groups), _) => {
                    metrics.file_read(&name, Some(version.mtime.0 as f64 + version.mtime.1 as f64 / 1e9));
                    ReadFile { version, groups }
                }
                (Err(error), old) => {
                    metrics.file_failed();
                    tracing::warn!(
                        file = name,
                        error,
                        "a file of targets cannot be read; its last targets stay"
                    );
                    ReadFile { version, groups: old.map(|old| old.groups).unwrap_or_default() }
                }
            };
            now.insert(path, file);
        }
        for path in before.keys() {
            metrics.file_read(&path.display().to_string(), None);
        }
        let groups = now.values().flat_map(|file| file.groups.iter().cloned()).collect();
        *self.read.lock() = now;
        Snapshot { groups, next_poll: None }
    }

    fn is_current(&self) -> bool {
        let found = files(&self.config);
        let read = self.read.lock();
        found.len() == read.len()
            && found.iter().all(|(path, version)| read.get(path).is_some_and(|file| file.version == *version))
    }
}

#[async_trait]
impl Discover for FileDiscovery {
    async fn poll(&self) -> Result<Snapshot, String> {
        Ok(self.read_all())
    }

    async fn changed(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.is_current() {
                return;
            }
        }
    }
}

/// The files that there are, with what tells them from what they were.
fn files(config: &FileSdConfig) -> BTreeMap<PathBuf, Version> {
    let mut found = BTreeMap::new();
    for pattern in &config.files {
        let paths: Vec<PathBuf> = match pattern.contains('*') {
            // A pattern that is none has been refused with the configuration.
            true => {
                glob::glob(pattern).map(|paths| paths.filter_map(Result::ok).collect()).unwrap_or_default()
            }
            false => vec![PathBuf::from(pattern)],
        };
        for path in paths {
            if let Ok(metadata) = fs::metadata(&path)
                && metadata.is_file()
            {
                let mtime = (metadata.mtime(), metadata.mtime_nsec());
                found.insert(path, Version { inode: metadata.ino(), len: metadata.len(), mtime });
            }
        }
    }
    found
}

/// Reads all files once.
pub(crate) fn read_now(config: &FileSdConfig) -> Result<Vec<TargetGroup>, String> {
    let mut groups = Vec::new();
    for path in files(config).keys() {
        groups.extend(read(path)?);
    }
    Ok(groups)
}

/// Reads one file.
pub(crate) fn read(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("read {name}: {error}"))?;
    groups_of(&text, &name, &[(META_FILEPATH, &name)]).map_err(|error| format!("read {name}: {error}"))
}
