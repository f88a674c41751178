//! The place in the log that a queue goes on from after a restart, in a file of its own.
//!
//! The file is one line of JSON: `{"version":1,"segment":7,"offset":4096}`. It takes the place of the one before in one step, and is
//! not synced: after a power cut it may be an older one, and a few batches are sent once more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tsdb::LogPosition;

use crate::Error;

const VERSION: u32 = 1;
const EXTENSION: &str = "position";

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    segment: u64,
    offset: u64,
}

/// The file of one queue.
pub(crate) struct PositionFile {
    path: PathBuf,
    stored: Option<LogPosition>,
}

impl PositionFile {
    /// The file of the queue with that key, in a directory that is made where it is missing.
    pub(crate) fn open(dir: &Path, key: &str) -> Result<Self, Error> {
        let path = dir.join(key).with_extension(EXTENSION);
        fs::create_dir_all(dir).map_err(|source| Error::Position { path: dir.to_owned(), source })?;
        let stored = match fs::read(&path) {
            // What cannot be read is from a power cut: the oldest log there is has all that may be missing.
            Ok(bytes) => Some(read(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(Error::Position { path, source }),
        };
        Ok(Self { path, stored })
    }

    /// The place that was stored last, by this process or an earlier one.
    pub(crate) fn get(&self) -> Option<LogPosition> {
        self.stored
    }

    /// Stores a place, if it is another one.
    pub(crate) fn set(&mut self, position: LogPosition) -> Result<(), Error> {
        if self.stored == Some(position) {
            return Ok(());
        }
        let written = Written { version: VERSION, segment: position.segment, offset: position.offset };
        let temporary = self.path.with_extension("tmp");
        let text = serde_json::to_vec(&written).map_err(io::Error::other);
        text.and_then(|text| fs::write(&temporary, text))
            .and_then(|()| fs::rename(&temporary, &self.path))
            .map_err(|source| Error::Position { path: self.path.clone(), source })?;
        self.stored = Some(position);
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Option<LogPosition> {
    let written: Written = serde_json::from_slice(bytes).ok()?;
    (written.version == VERSION).then_some(LogPosition { segment: written.segment, offset: written.offset })
}

/// Removes the files of queues that are not configured any more: whoever configures one again begins with what comes then.
pub(crate) fn remove_others(dir: &Path, keys: &[&str]) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == EXTENSION) && !keys.contains(&stem) {
            // One that stays does no harm: it is tried again with the next configuration.
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = PositionFile::open(dir.path(), "a").unwrap();
        assert_eq!(file.get(), None);
        let place = LogPosition { segment: 7, offset: 4096 };
        file.set(place).unwrap();
        assert_eq!(PositionFile::open(dir.path(), "a").unwrap().get(), Some(place));
        let text = fs::read_to_string(dir.path().join("a.position")).unwrap();
        assert_eq!(text, r#"{"version":1,"segment":7,"offset":4096}"#);
        for broken in ["", "{", r#"{"version":2,"segment":7,"offset":4096}"#] {
            fs::write(dir.path().join("b.position"), broken).unwrap();
            let oldest = LogPosition::default();
            assert_eq!(PositionFile::open(dir.path(), "b").unwrap().get(), Some(oldest), "{broken}");
        }
        remove_others(dir.path(), &["a"]);
        assert!(dir.path().join("a.position").exists() && !dir.path().join("b.position").exists());
    }
}
