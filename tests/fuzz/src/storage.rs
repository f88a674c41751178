//! Files that a database finds in its directory.

mod files;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use model::{
    Append as _, Buckets, Exemplar, Histogram, Labels, MatchOp, Matcher, Metadata, MetricKind, Sample,
    Timestamp,
};
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

/// The files of a small database: a block, tombstones beside it, a checkpoint and a log.
fn good_files() -> Files {
    let files = Files::default();
    let db = open(&files).unwrap_or_else(|error| panic!("open an empty directory: {error}"));
    for minute in 0..300i64 {
        let mut batch = db.appender();
        let time = Timestamp::from_millis(minute * 60_000);
        for (number, value) in [(1, minute as f64), (2, (minute as f64).sqrt()), (3, f64::NAN)] {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())]);
            if let Ok(id) = batch.append(None, &labels, Sample { timestamp: time, value })
                && number == 1
            {
                batch.append_start(id, Timestamp::from_millis(minute / 100 * 100));
                let labels = Labels::from_pairs([("trace_id", "4bf92f35")]);
                let _ = batch.append_exemplar(id, &Exemplar { labels, value, timestamp: time });
            }
        }
        let count = (minute % 70) as f64;
        let positive = Buckets::from_pairs([(-1, 1.0), (2, count)]);
        let histogram = Histogram { count: count + 1.0, sum: count, positive, ..Histogram::stale() };
        let _ = batch.append_histogram(None, &Labels::from_pairs([("__name__", "h")]), time, &histogram);
        batch.append_metadata(
            "m",
            &Metadata { kind: MetricKind::Gauge, help: "What it is.".to_owned(), unit: String::new() },
        );
        batch.commit().unwrap_or_else(|error| panic!("commit: {error}"));
    }
    db.maintain().unwrap_or_else(|error| panic!("cut a block: {error}"));
    let (from, to) = (Timestamp::from_millis(600_000), Timestamp::from_millis(900_000));
    db.delete(&[Matcher::equal("n", "2")], from, to).unwrap_or_else(|error| panic!("delete: {error}"));
    drop(db);
    files
}

/// The block among them.
static GOOD_BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| good_files().bytes(&block_path()));

fn block_path() -> PathBuf {
    PathBuf::from(DIR).join("blocks/00000001.block")
}

fn segment_path() -> PathBuf {
    PathBuf::from(DIR).join("wal/00000001.wal")
}

/// The sections of a block, each behind its number.
fn section_seeds() -> Vec<Vec<u8>> {
    let sections = (1u8..).zip(tsdb::fuzzing::sections(&GOOD_BLOCK));
    sections.map(|(number, section)| [&[number], section.as_slice()].concat()).collect()
}

fn payload_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        seeds("/wal/").iter().flat_map(|file| tsdb::fuzzing::payloads(file)).collect();
    // The batches of a log are much alike.
    seeds.sort_by_key(Vec::len);
    let step = (seeds.len() / 16).max(1);
    seeds.into_iter().rev().step_by(step).collect()
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
    open_and_read_all(&files);
}

fn open_and_read_all(files: &Files) {
    // An error is an answer, too: what matters is that there is one.
    let Ok(db) = open(files) else { return };
    if let Ok(series) = db.select(&[], Timestamp::MIN, Timestamp::MAX) {
        for series in series {
            let _ = series.read(Timestamp::MIN, Timestamp::MAX, &mut files::Ignore);
        }
    }
    let _ = db.exemplars(&[], Timestamp::MIN, Timestamp::MAX);
    let (from, to) = (Timestamp::from_millis(3_600_000), Timestamp::from_millis(7_000_000));
    let _ = db.label_values("n", &[], from, to);
    let _ = db.label_names(&[], Timestamp::MIN, Timestamp::MAX);
    for (op, text) in [(MatchOp::Regex, "[0-9]+"), (MatchOp::NotRegex, ".*2"), (MatchOp::NotEqual, "3")] {
        if let Ok(matcher) = Matcher::new(op, "n", text) {
            let _ = db.select(&[matcher], from, to);
        }
    }
    let _ = db.maintain();
}

pub(crate) const LOG: Target =
    Target { name: "log", run: |bytes| open_and_read(&segment_path(), bytes), seeds: || seeds("/wal/") };

/// What a frame holds, behind a checksum that is right.
pub(crate) const LOG_RECORD: Target = Target {
    name: "log_record",
    run: |bytes| open_and_read(&segment_path(), &tsdb::fuzzing::segment(bytes)),
    seeds: payload_seeds,
};

pub(crate) const BLOCK: Target =
    Target { name: "block", run: |bytes| open_and_read(&block_path(), bytes), seeds: || seeds(".block") };

/// One section of a block, whose number comes first, behind checksums that are right.
pub(crate) const BLOCK_SECTION: Target = Target {
    name: "block_section",
    run: |bytes| {
        if let Some((number, section)) = bytes.split_first()
            && let Some(block) = tsdb::fuzzing::with_section(&GOOD_BLOCK, *number, section)
        {
            open_and_read(&block_path(), &block);
        }
    },
    seeds: section_seeds,
};

/// What is deleted of a block that is good.
pub(crate) const TOMBSTONES: Target = Target {
    name: "tombstones",
    run: |bytes| {
        let files = Files::default();
        files.set(&block_path(), &GOOD_BLOCK);
        files.set(&block_path().with_extension("tombstones"), bytes);
        open_and_read_all(&files);
    },
    seeds: || seeds(".tombstones"),
};

pub(crate) const COLUMN: Target =
    Target { name: "column", run: tsdb::fuzzing::decode, seeds: tsdb::fuzzing::seeds };
