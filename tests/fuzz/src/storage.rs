//! Files that a database finds in its directory.

mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Append as _, Labels, Sample, Timestamp};
use tsdb::{Clock, Options, Retention, Tsdb};

use crate::Target;
use files::Files;

const DIR: &str = "/db";

/// A clock that stands still, far enough ahead for blocks to be cut.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(40_000_000)
    }
}

fn open(files: &Files) -> tsdb::Result<Tsdb> {
    let options = Options { retention: Retention::ALL, ..Options::prometheus() };
    Tsdb::open(DIR, options, Arc::new(files.clone()), Arc::new(Noon))
}

/// The files of a small database: a block, and a log.
fn good_files() -> Files {
    let files = Files::default();
    let db = open(&files).unwrap_or_else(|error| panic!("open an empty directory: {error}"));
    for minute in 0..300i64 {
        let mut batch = db.appender();
        for (number, value) in [(1, minute as f64), (2, (minute as f64).sqrt()), (3, f64::NAN)] {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())]);
            let _ = batch.append(None, &labels, Sample::new(minute * 60_000, value));
        }
        batch.commit().unwrap_or_else(|error| panic!("commit: {error}"));
    }
    db.maintain().unwrap_or_else(|error| panic!("cut a block: {error}"));
    drop(db);
    files
}

fn seeds(part: &str) -> Vec<Vec<u8>> {
    let files = good_files();
    let paths = files.paths().into_iter().filter(|path| path.to_string_lossy().contains(part));
    paths.map(|path| files.bytes(&path)).collect()
}

/// Opens a directory with one file of these bytes, and reads whatever is in it.
fn open_and_read(path: &Path, bytes: &[u8]) {
    let files = Files::default();
    files.set(path, bytes);
    // An error is an answer, too: what matters is that there is one.
    let Ok(db) = open(&files) else { return };
    if let Ok(series) = db.select(&[], Timestamp::MIN, Timestamp::MAX) {
        for series in series {
            let _ = series.read(Timestamp::MIN, Timestamp::MAX, &mut files::Ignore);
        }
    }
    let _ = db.exemplars(&[], Timestamp::MIN, Timestamp::MAX);
    let _ = db.label_values("n", &[], Timestamp::MIN, Timestamp::MAX);
    let _ = db.maintain();
}

pub(crate) const LOG: Target = Target {
    name: "log",
    run: |bytes| open_and_read(&PathBuf::from(DIR).join("wal/00000001.wal"), bytes),
    seeds: || seeds("/wal/"),
};

pub(crate) const BLOCK: Target = Target {
    name: "block",
    run: |bytes| open_and_read(&PathBuf::from(DIR).join("blocks/00000001.block"), bytes),
    seeds: || seeds("/blocks/"),
};

pub(crate) const COLUMN: Target =
    Target { name: "column", run: tsdb::fuzzing::decode, seeds: tsdb::fuzzing::seeds };
