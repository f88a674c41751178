//! Blocks are merged without a sample, an exemplar or a reader being lost.

use super::*;

/// Fills block ranges `from..to` with samples of series that come and go, and cuts them.
fn fill(db: &Tsdb, from: i64, to: i64) {
    for time in (from * 1000..to * 1000 + 600).step_by(100) {
        let mut batch = db.appender();
        let id = batch.append(None, &series(1), Sample::new(time, time as f64 / 8.0)).unwrap();
        batch.append_start(id, ms(time / 800 * 800 - 1));
        batch.append_exemplar(id, &exemplar(time)).unwrap();
        // One that is only in every other range, and one of both kinds.
        if time / 1000 % 2 == 0 {
            batch.append(None, &series(2), Sample::new(time, model::staleness::STALE_NAN)).unwrap();
            batch.append_histogram(None, &series(3), ms(time), &Histogram::stale()).unwrap();
        } else {
            batch.append(None, &series(3), Sample::new(time, -0.0)).unwrap();
        }
        batch.commit().unwrap();
    }
}

fn exemplar(time: i64) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", "4bf92f35")]),
        value: time as f64,
        timestamp: ms(time),
    }
}

#[test]
fn merged_blocks_answer_as_before() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    fill(&db, 0, 9);
    let exemplars = || db.exemplars(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
    let (expected, expected_exemplars) = (everything(&db), exemplars());
    let selected = db.select(&[], ms(0), ms(10_000)).unwrap();
    let report = db.maintain().unwrap();
    // Nine to three, three to one.
    assert_eq!((report.blocks_cut, report.blocks_compacted, db.stats().blocks), (9, 4, 1));
    assert_eq!(everything(&db), expected);
    assert_eq!(exemplars(), expected_exemplars);
    for matcher in [Matcher::equal("n", "2"), Matcher::equal("__name__", "m")] {
        let mut wanted = expected.clone();
        wanted.retain(|labels, _| matcher.matches_labels(labels));
        assert_eq!(content(&db, &[matcher], 0, 10_000), wanted);
    }
    let mut old = Collect::default();
    selected[0].read(ms(0), ms(10_000), &mut old).unwrap();
    assert_eq!(old.0.len(), 96, "a selection from before reads on");
    assert_eq!(db.maintain().unwrap().blocks_compacted, 0);
    let names = fs.list(&Path::new(DIR).join("blocks")).unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
    drop(db);
    assert_eq!(everything(&open(&fs, &clock)), expected);
}

#[test]
fn retention_bounds_how_much_is_merged() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let retention = Retention::of_time(Duration::from_millis(89_999));
    let db = try_open(&fs, &clock, Options { retention, ..options(WalSync::Always) }).unwrap();
    fill(&db, 0, 9);
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 3);
}

#[test]
fn a_block_that_cannot_be_read_is_named_once_and_left_as_it_is() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    fill(&db, 0, 1);
    db.maintain().unwrap();
    drop(db);
    let path = Path::new(DIR).join("blocks/00000001.block");
    let mut bytes = fs.bytes(&path);
    // Behind the header and the first chunk's checksum.
    bytes[21] ^= 0x55;
    fs.set_bytes(&path, &bytes);
    let db = open(&fs, &clock);
    for time in (1600..4700).step_by(100) {
        append(&db, 4, time, 1.0);
    }
    let error = db.maintain().unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path: named, .. } if *named == path), "{error}");
    assert_eq!(db.maintain().unwrap().blocks_compacted, 0);
    assert_eq!(content(&db, &[Matcher::equal("n", "4")], 0, 9000)[&series(4)].len(), 31);
    let names = fs.list(&Path::new(DIR).join("blocks")).unwrap();
    assert!(names.iter().all(|name| name.ends_with(".block")), "{names:?}");
}
