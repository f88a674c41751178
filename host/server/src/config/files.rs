//! The files that a configuration names: which they are, and whether any of them has changed.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The files that a pattern of the configuration names, relative to its folder. A pattern without wildcards names one
/// file, which has to be there; one with wildcards may name none.
pub(super) fn named(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let full = folder.join(pattern);
    if pattern.contains(['*', '?', '[']) {
        let paths = glob::glob(&full.to_string_lossy());
        let paths = paths.map_err(|error| format!("not a pattern for files: {error}"))?;
        Ok(paths.filter_map(Result::ok).collect())
    } else if full.is_file() {
        Ok(vec![full])
    } else {
        Err(format!("there is no file {}", full.display()))
    }
}

/// Says whether files have changed since it was made or last asked.
pub(crate) struct Watched {
    path: PathBuf,
    seen: u64,
}

impl Watched {
    /// Watches a configuration file and what it names, as they are now.
    pub(crate) fn new(path: PathBuf) -> Self {
        let mut watched = Self { path, seen: 0 };
        watched.seen = watched.sum();
        watched
    }

    /// Whether anything has changed: content, or which files there are. Reads all of them.
    pub(crate) fn changed(&mut self) -> bool {
        let now = self.sum();
        std::mem::replace(&mut self.seen, now) != now
    }

    fn sum(&self) -> u64 {
        /// As much of a configuration as names files.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Names {
            rule_files: Vec<String>,
            scrape_config_files: Vec<String>,
            #[serde(flatten)]
            _rest: std::collections::BTreeMap<String, IgnoredAny>,
        }
        let mut hasher = DefaultHasher::new();
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        hasher.write(text.as_bytes());
        // While a file is being written it may make no sense; it has changed then in any case.
        let names: Names = serde_saphyr::from_str(&text).unwrap_or_default();
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let patterns = names.rule_files.iter().chain(&names.scrape_config_files);
        let files: BTreeSet<PathBuf> =
            patterns.flat_map(|pattern| named(folder, pattern).unwrap_or_default()).collect();
        for file in files {
            hasher.write(file.as_os_str().as_encoded_bytes());
            hasher.write(&[0xff]);
            hasher.write(&fs::read(&file).unwrap_or_default());
            hasher.write(&[0xff]);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_named_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "a.yml",
            "global: {scrape_interval: 1s}\nrule_files: ['r*.yml']\nscrape_config_files: [s.yml]\n",
        );
        let mut watched = Watched::new(folder.path().join("a.yml"));
        assert!(!watched.changed());
        write("r1.yml", "groups: []");
        assert!(watched.changed() && !watched.changed());
        write("s.yml", "scrape_configs: []");
        assert!(watched.changed() && !watched.changed());
        write("other.yml", "");
        assert!(!watched.changed());
        write("a.yml", "global: [");
        assert!(watched.changed() && !watched.changed());
    }
}
