//! A sound directory passes, every flipped byte is found, and analysis counts what is there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Append as _, Exemplar, Histogram, Labels, Matcher, Sample, Timestamp};

use super::*;
use crate::analyze::analyze;
use crate::fs::sim::SimFileSystem;
use crate::{Clock, Options, Retention, Tsdb, WalSync, snapshot_stopped};

const DIR: &str = "/db";

struct Late;

impl Clock for Late {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::MAX / 2)
    }
}

fn open(fs: &SimFileSystem, dir: &str) -> Tsdb {
    let options = Options {
        wal_sync: WalSync::Interval(Duration::from_secs(1)),
        block_range: Duration::from_millis(1000),
        // Keeps all there is, and blocks from being merged.
        retention: Retention::of_time(Duration::from_millis(29_999)),
        ..Options::prometheus()
    };
    Tsdb::open(dir, options, Arc::new(fs.clone()), Arc::new(Late)).unwrap()
}

/// Two blocks, tombstones and a log.
fn filled(fs: &SimFileSystem) -> Tsdb {
    let db = open(fs, DIR);
    for time in (0..2600).step_by(100) {
        let mut batch = db.appender();
        for number in 0..4 {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())]);
            // Series 3 comes with the second block.
            if number < 3 || time >= 1000 {
                let id = batch.append(None, &labels, Sample::new(time, time as f64 / 3.0)).unwrap();
                let exemplar =
                    Exemplar { labels: Labels::empty(), value: 1.0, timestamp: Timestamp::from_millis(time) };
                batch.append_exemplar(id, &exemplar).unwrap();
            }
        }
        let labels = Labels::from_pairs([("__name__", "h")]);
        batch.append_histogram(None, &labels, Timestamp::from_millis(time), &Histogram::stale()).unwrap();
        batch.commit().unwrap();
    }
    assert_eq!(db.maintain().unwrap().blocks_cut, 2);
    let first = [Matcher::equal("n", "0")];
    db.delete(&first, Timestamp::from_millis(300), Timestamp::from_millis(500)).unwrap();
    db
}

#[test]
fn a_sound_directory_passes_and_every_flipped_byte_is_found() {
    let fs = SimFileSystem::default();
    drop(filled(&fs));
    let found = verify(&fs, Path::new(DIR)).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!((found.blocks, found.series, found.samples), (2, 9, 3 * 20 + 10 + 20));
    assert!(found.log_sections > 0);
    for name in ["blocks/00000002.block", "blocks/00000001.tombstones", "wal/00000002.checkpoint"] {
        let path = PathBuf::from(DIR).join(name);
        let whole = fs.bytes(&path);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x41;
            fs.set_bytes(&path, &damaged);
            let found = verify(&fs, Path::new(DIR));
            let named = match &found {
                Ok(found) => found.problems.iter().any(|problem| problem.to_string().contains(name)),
                // The version is told apart from damage.
                Err(Error::UnsupportedVersion { .. }) => true,
                Err(other) => panic!("{other}"),
            };
            assert!(named, "damage at byte {at} of {name}: {found:?}");
        }
        fs.set_bytes(&path, &whole);
    }
}

/// Segments one to five without a checkpoint; without some of them, what is missing is named and nothing else.
#[test]
fn missing_segments_of_the_log_are_named() {
    let fs = SimFileSystem::default();
    let options = Options { wal_segment_bytes: 1, ..Options::prometheus() };
    let db = Tsdb::open(DIR, options, Arc::new(fs.clone()), Arc::new(Late)).unwrap();
    for time in 0..5 {
        let mut batch = db.appender();
        let labels = Labels::from_pairs([("__name__", "m")]);
        batch.append(None, &labels, Sample::new(i64::MAX / 2 - 10 + time, 1.0)).unwrap();
        batch.commit().unwrap();
    }
    drop(db);
    let segment = |number: u64| PathBuf::from(DIR).join(format!("wal/{number:08}.wal"));
    let whole: Vec<_> = (1..=5).map(|number| (segment(number), fs.bytes(&segment(number)))).collect();
    assert!(verify(&fs, Path::new(DIR)).unwrap().is_sound());
    for (gone, expected) in [
        (
            &[3][..],
            &["00000003.wal is corrupt at byte 0: segment is missing, the log goes on with number 4"][..],
        ),
        (
            &[2, 3],
            &["00000002.wal is corrupt at byte 0: 2 segments are missing, the log goes on with number 4"],
        ),
        (
            &[2, 4],
            &["00000002.wal is corrupt at byte 0: segment", "00000004.wal is corrupt at byte 0: segment"],
        ),
    ] {
        gone.iter().for_each(|number| fs.remove(&segment(*number)).unwrap());
        let found = verify(&fs, Path::new(DIR)).unwrap().problems;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} instead of {expected}");
        }
        whole.iter().for_each(|(path, bytes)| fs.set_bytes(path, bytes));
    }
    // The series is defined in the first: what uses it without that is named, too.
    fs.remove(&segment(1)).unwrap();
    let found = verify(&fs, Path::new(DIR)).unwrap().problems;
    assert!(
        found[0].to_string().contains("00000001.wal is corrupt at byte 0: segment is missing"),
        "{found:?}"
    );
}

#[test]
fn an_open_database_is_not_touched() {
    let fs = SimFileSystem::default();
    let _open = filled(&fs);
    assert!(matches!(verify(&fs, Path::new(DIR)), Err(Error::Locked { .. })));
    assert!(matches!(analyze(&fs, Path::new(DIR), None, 10), Err(Error::Locked { .. })));
    let snapshot = snapshot_stopped(&fs, Path::new(DIR), Path::new("/s"), false);
    assert!(matches!(snapshot, Err(Error::Locked { .. })));
}

#[test]
fn analysis_counts_what_is_there() {
    let fs = SimFileSystem::default();
    drop(filled(&fs));
    let analysis = analyze(&fs, Path::new(DIR), None, 10).unwrap();
    let samples: Vec<u64> = analysis.blocks.iter().map(|block| block.samples).collect();
    assert_eq!(samples, [40, 50]);
    assert_eq!(analysis.blocks[0].series_with_tombstones, 1);
    for block in &analysis.blocks {
        let sections: u64 = block.sections.iter().map(|(_, bytes)| bytes).sum();
        assert!(sections < block.bytes && block.bytes < sections + 400, "{block:?}");
    }
    let series = analysis.series.unwrap();
    assert_eq!(series.series_new, Some(1));
    let of = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(series.series_by_metric, of(&[("m", 4), ("h", 1)]));
    assert_eq!(series.values_by_label, of(&[("n", 4), ("__name__", 2)]));
    assert_eq!(series.samples_by_kind, of(&[("floats", 40), ("histograms", 10)]));
    let first = analyze(&fs, Path::new(DIR), Some("00000001"), 10).unwrap().series.unwrap();
    assert_eq!((first.series_new, first.series_by_metric), (None, of(&[("m", 3), ("h", 1)])));
}
