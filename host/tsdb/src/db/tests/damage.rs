//! Damage to every kind of file that a directory holds: it is named, set aside and survived, and nothing else is lost.

use std::path::PathBuf;

use super::*;
use crate::options::{Downsampling, DownsamplingLevel};

const HOUR: i64 = 3_600_000;

/// About how many places of each file are damaged: a start takes a millisecond or two.
const PLACES: usize = 40;

fn damageable() -> Options {
    let level = |hours: u64| DownsamplingLevel { after: Duration::from_secs(hours * 3600), retention: None };
    Options {
        block_range: Duration::from_secs(2 * 3600),
        wal_segment_bytes: 700,
        checkpoint_bytes: 1 << 20,
        // Keeps what this test appends, and blocks from being merged.
        retention: Retention::of_time(Duration::from_secs(59 * 3600)),
        downsampling: Some(Downsampling { five_minutes: level(24), one_hour: level(48) }),
        ..options(WalSync::Always)
    }
}

fn histogram(count: i64) -> Histogram {
    Histogram { count: count as f64, sum: count as f64, ..Histogram::stale() }
}

/// Floats, histograms, exemplars, metadata and starts in blocks, downsampled blocks, a checkpoint and a log of several
/// segments, tombstones beside a block.
fn filled(fs: &SimFileSystem) -> Tsdb {
    let db = try_open(fs, &far_clock(), damageable()).unwrap();
    let exemplar =
        |time| Exemplar { labels: Labels::from_pairs([("t", "1")]), value: 0.5, timestamp: ms(time) };
    for step in 0..196 {
        let time = step * HOUR / 3 + 5;
        let mut batch = db.appender();
        for number in 1..3 {
            let id = batch.append(None, &series(number), Sample::new(time, (time as f64).sqrt())).unwrap();
            batch.append_start(id, ms(time / HOUR - 1));
            batch.append_exemplar(id, &exemplar(time)).unwrap();
        }
        batch.append_histogram(None, &series(3), ms(time), &histogram(step)).unwrap();
        batch.append_metadata(
            "m",
            &Metadata { kind: MetricKind::Counter, help: format!("{}", step / 90), unit: String::new() },
        );
        batch.commit().unwrap();
        // The last ones are in segments behind the checkpoint.
        if step % 30 == 29 || step == 170 {
            db.maintain().unwrap();
        }
    }
    db
}

/// Every file by its path.
fn files(fs: &SimFileSystem) -> Vec<PathBuf> {
    let dirs = ["wal", "blocks", "blocks-5m", "blocks-1h"].map(|dir| Path::new(DIR).join(dir));
    let mut all: Vec<PathBuf> = Vec::new();
    for dir in dirs {
        all.extend(fs.list(&dir).unwrap().into_iter().map(|name| dir.join(name)));
    }
    all.sort();
    all
}

/// What a database with damage gives: what of it can be read, and what was said of the rest.
fn survey(db: &Tsdb) -> (Content, Vec<Error>) {
    let (mut content, mut said) = (Content::new(), Vec::new());
    // A read that meets damage gives nothing that counts: what is beside the damage is read by itself.
    for start in (0..70 * HOUR).step_by(2 * HOUR as usize) {
        let (start, end) = (ms(start), ms(start + 2 * HOUR - 1));
        for series in db.select(&[], start, end).unwrap() {
            let mut collect = Collect::default();
            match series.read(start, end, &mut collect) {
                Err(error) => said.push(error),
                Ok(()) if collect.0.is_empty() => {}
                Ok(()) => content.entry(series.labels().clone()).or_default().extend(collect.0),
            }
        }
    }
    said.extend(db.exemplars(&[], Timestamp::MIN, Timestamp::MAX).err());
    (content, said)
}

fn is_of(error: &Error, path: &Path, len: usize) -> bool {
    match error {
        Error::Corrupt { path: named, offset, what } => {
            named == path && *offset <= len as u64 && !what.is_empty()
        }
        Error::UnsupportedVersion { path: named, .. } => named == path,
        _ => false,
    }
}

/// Gives a file other bytes, and checks what comes of it.
fn check(whole: &SimFileSystem, path: &Path, damaged: &[u8], expected: &Content, what: &str) {
    let fs = whole.copy();
    fs.set_bytes(path, damaged);
    let len = whole.bytes(path).len();
    let db = match try_open(&fs, &far_clock(), damageable()) {
        Ok(db) => db,
        // What a newer version wrote is left alone, and so is the directory.
        Err(error @ Error::UnsupportedVersion { .. }) => {
            assert!(is_of(&error, path, len), "{what}: {error}");
            return;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let named: Vec<Error> = db.recovery().corruptions.iter().map(copy_of).collect();
    let (found, said) = survey(&db);
    for error in named.iter().chain(&said) {
        assert!(is_of(error, path, len), "{what}: {error}");
    }
    let is_last = path.extension().is_some_and(|extension| extension == "wal")
        && files(whole).iter().rfind(|other| other.extension() == path.extension()) == Some(&path.to_owned());
    let unnoticed = named.is_empty() && said.is_empty();
    if unnoticed {
        // The end of the last segment is what a write that did not end looks like; and a log that has been cut off between
        // two frames looks whole.
        let torn = is_last && db.recovery().torn_bytes > 0 || damaged.is_empty();
        let cut = path.starts_with(Path::new(DIR).join("wal")) && is_cut_between_frames(damaged);
        assert!(torn || cut || found == *expected, "{what}: unnoticed");
    }
    // A damaged list of deletions brings back what it named.
    let brings_back = path.extension().is_some_and(|extension| extension == "tombstones");
    for (labels, samples) in &found {
        for (time, seen) in samples {
            let known = expected.get(labels).and_then(|all| all.get(time));
            assert!(
                brings_back || known.map(Seen::value) == Some(seen.value()),
                "{what}: {labels} at {time}"
            );
        }
    }
    let lost_in: Vec<i64> = expected
        .iter()
        .flat_map(|(labels, all)| {
            let found = found.get(labels);
            all.keys().filter(move |time| found.is_none_or(|found| !found.contains_key(*time))).copied()
        })
        .collect();
    let in_block = path.extension().is_some_and(|extension| extension == "block");
    if let (Some(first), Some(last)) = (lost_in.iter().min(), lost_in.iter().max()) {
        // A file takes along what it holds: a series' chunk where one is damaged, a block's range at most.
        assert!(!in_block || last - first < 2 * HOUR, "{what}: lost from {first} to {last}");
        assert!(!brings_back, "{what}: lost from {first} to {last}");
    }
    // It goes on, and what was set aside is not named again.
    append(&db, 7, 58 * HOUR, 7.0);
    drop(db);
    let db = try_open(&fs, &far_clock(), damageable()).unwrap();
    assert!(db.recovery().corruptions.is_empty(), "{what}: {:?}", db.recovery());
    let (mut again, _) = survey(&db);
    assert_eq!(again.remove(&series(7)), Some(floats(&[(58 * HOUR, 7.0)])), "{what}");
    assert_eq!(again, found, "{what}");
}

/// Whether bytes of the log end where a frame does, or where the first would begin, or before.
fn is_cut_between_frames(bytes: &[u8]) -> bool {
    let frames: usize = crate::wal::payloads_of(bytes).iter().map(|payload| payload.len() + 12).sum();
    bytes.len() <= 16 + frames
}

/// [`Error`] is not to be cloned by anybody else.
fn copy_of(error: &Error) -> Error {
    match error {
        Error::Corrupt { path, offset, what } => {
            Error::Corrupt { path: path.clone(), offset: *offset, what: what.clone() }
        }
        other => panic!("{other}"),
    }
}

#[test]
fn damage_to_any_file_is_named_and_survived() {
    let fs = SimFileSystem::default();
    let db = filled(&fs);
    db.delete(&[Matcher::equal("n", "1")], ms(HOUR), ms(3 * HOUR)).unwrap();
    let expected = everything(&db);
    drop(db);
    let mut kinds = BTreeMap::new();
    for path in files(&fs) {
        let kind = (path.parent().unwrap().to_owned(), path.extension().unwrap().to_owned());
        // The oldest and the newest of each kind stand for those between.
        kinds.entry(kind).or_insert_with(Vec::new).push(path);
    }
    // Log and checkpoint; blocks and tombstones of samples and of both resolutions.
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    let segments = &kinds[&(Path::new(DIR).join("wal"), "wal".into())];
    assert!(segments.len() > 2, "{segments:?}");
    for paths in kinds.values() {
        for path in [paths.first().unwrap(), paths.last().unwrap()] {
            let whole = fs.bytes(path);
            let places = (0..whole.len()).step_by((whole.len() / PLACES).max(1));
            for at in places.chain([whole.len() - 1]) {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << (at % 8);
                let what = format!("{}: bit flipped at {at} of {}", path.display(), whole.len());
                check(&fs, path, &damaged, &expected, &what);
            }
            for len in [0, 1, 15, 16, 17, whole.len() / 2, whole.len() - 1] {
                let what = format!("{}: cut to {len} of {}", path.display(), whole.len());
                check(&fs, path, &whole[..len.min(whole.len() - 1)], &expected, &what);
            }
        }
    }
}

/// A read that fails, as that of a bad disk does, is no damage: nothing is set aside for it, and the next start is whole.
#[test]
fn a_failing_read_sets_nothing_aside() {
    let fs = SimFileSystem::default();
    let db = filled(&fs);
    let expected = everything(&db);
    drop(db);
    let before = files(&fs);
    for path in before.clone() {
        fs.fail_reads_of(Some(&path));
        let opened = try_open(&fs, &far_clock(), damageable());
        assert!(
            matches!(&opened, Err(Error::Io { path: named, .. }) if *named == path),
            "{}: {:?}",
            path.display(),
            opened.map(|_| ())
        );
        fs.fail_reads_of(None);
        assert_eq!(files(&fs), before);
    }
    assert_eq!(everything(&try_open(&fs, &far_clock(), damageable()).unwrap()), expected);
}

/// On a full disk nothing is acknowledged that is not there, what is there can be read, and once there is room it all
/// goes on.
#[test]
fn a_full_disk_loses_nothing_and_is_left_behind() {
    for room in (0..1300).step_by(19) {
        let (fs, clock) = (SimFileSystem::default(), far_clock());
        let db = open(&fs, &clock);
        let mut expected = Content::new();
        let put = |time: i64, expected: &mut Content| {
            let mut batch = db.appender();
            for number in 0..3 {
                batch.append(None, &series(number), Sample::new(time, time as f64 / 7.0)).unwrap();
            }
            let committed = batch.commit();
            if committed.is_ok() {
                for number in 0..3 {
                    let seen = Seen::Float((time as f64 / 7.0).to_bits());
                    expected.entry(series(number)).or_default().insert(time, seen);
                }
            }
            committed.is_ok()
        };
        (0..1000).step_by(100).for_each(|time| assert!(put(time, &mut expected)));
        fs.set_room(Some(room));
        let mut refused = 0;
        for time in (1000..4000).step_by(100) {
            refused += usize::from(!put(time, &mut expected));
            if time % 500 == 0 {
                let _ = db.maintain();
            }
            assert_eq!(everything(&db), expected, "{room} bytes of room, at {time}");
        }
        assert!(refused > 0, "{room} bytes were enough");
        fs.set_room(None);
        assert!(put(5000, &mut expected), "there is room again");
        db.maintain().unwrap();
        assert_eq!(everything(&db), expected);
        drop(db);
        fs.restart(Loss::Unsynced);
        let db = open(&fs, &clock);
        assert!(db.recovery().corruptions.is_empty(), "{:?}", db.recovery());
        assert_eq!(everything(&db), expected, "{room} bytes of room, after a power cut");
    }
}
