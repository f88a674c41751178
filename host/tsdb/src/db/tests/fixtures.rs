//! Files of every format version, written once: what was written then must be read for as long as the version
//! counts as readable.

use super::*;

type Files = [(&'static str, &'static [u8]); 3];

const VERSIONS: [Files; 6] = [
    [
        ("wal/00000005.checkpoint", include_bytes!("../../../fixtures/v1.checkpoint")),
        ("wal/00000005.wal", include_bytes!("../../../fixtures/v1.wal")),
        ("blocks/00000001.block", include_bytes!("../../../fixtures/v1.block")),
    ],
    [
        ("wal/00000010.checkpoint", include_bytes!("../../../fixtures/v2.checkpoint")),
        ("wal/00000010.wal", include_bytes!("../../../fixtures/v2.wal")),
        ("blocks/00000001.block", include_bytes!("../../../fixtures/v2.block")),
    ],
    [
        ("wal/00000011.checkpoint", include_bytes!("../../../fixtures/v3.checkpoint")),
        ("wal/00000011.wal", include_bytes!("../../../fixtures/v3.wal")),
        ("blocks/00000001.block", include_bytes!("../../../fixtures/v3.block")),
    ],
    [
        ("wal/00000011.checkpoint", include_bytes!("../../../fixtures/v4.checkpoint")),
        ("wal/00000011.wal", include_bytes!("../../../fixtures/v4.wal")),
        ("blocks/00000001.block", include_bytes!("../../../fixtures/v2.block")),
    ],
    [
        ("wal/00000011.checkpoint", include_bytes!("../../../fixtures/v5.checkpoint")),
        ("wal/00000011.wal", include_bytes!("../../../fixtures/v5.wal")),
        ("blocks/00000001.block", include_bytes!("../../../fixtures/v5.block")),
    ],
    [
        ("wal/00000011.checkpoint", include_bytes!("../../../fixtures/v5.checkpoint")),
        ("wal/00000011.wal", include_bytes!("../../../fixtures/v5.wal")),
        ("blocks/00000001.block", include_bytes!("../../../fixtures/v6.block")),
    ],
];

/// The first version of the log that knows deletions.
const DELETIONS: usize = 3;
/// The first version of the log that knows late samples.
const LATE: usize = 4;
/// The first version of the log, and of blocks, that knows starts.
const STARTS: usize = 5;

fn exemplar(time: i64) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", "4bf92f35")]), value: 0.25, timestamp: ms(time) }
}

fn histogram(count: f64) -> Histogram {
    Histogram {
        schema: 3,
        zero_threshold: 1e-128,
        count,
        sum: 12.5,
        positive: model::Buckets::from_pairs([(-1, 1.0), (0, count), (7, 0.5)]),
        ..Histogram::stale()
    }
}

/// The history that the fixtures hold.
fn write(db: &Tsdb, clock: &TestClock, version: usize) {
    let metadata =
        Metadata { kind: MetricKind::Histogram, help: "Time.".to_owned(), unit: "seconds".to_owned() };
    for time in (0..2600).step_by(100) {
        let mut batch = db.appender();
        let id = batch.append(None, &series(1), Sample::new(time, time as f64 / 4.0)).unwrap();
        if version >= STARTS {
            batch.append_start(id, ms(time / 700 * 700 - 20));
        }
        batch.append(None, &series(2), Sample::new(time, model::staleness::STALE_NAN)).unwrap();
        let of_histogram =
            batch.append_histogram(None, &series(3), ms(time), &histogram(time as f64)).unwrap();
        if version >= STARTS && time % 500 == 0 {
            batch.append_start(of_histogram, ms(-20));
        }
        batch.append_exemplar(id, &exemplar(time)).unwrap();
        batch.append_metadata("m", &metadata);
        batch.commit().unwrap();
    }
    let delete = |number: &str, start, end| {
        db.delete(&[Matcher::equal("n", number)], ms(start), ms(end)).unwrap();
    };
    if version >= DELETIONS {
        delete("2", 1100, 1300);
    }
    clock.set(1600);
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    append(db, 4, 2600, -0.0);
    if version >= DELETIONS {
        delete("1", 2100, 2300);
    }
    if version >= LATE {
        db.set_out_of_order_window(Duration::from_secs(10));
        let mut batch = db.appender();
        let id = batch.append(None, &series(1), Sample::new(550, 0.5)).unwrap();
        if version >= STARTS {
            batch.append_start(id, ms(540));
        }
        batch.append_histogram(None, &series(3), ms(-50), &histogram(7.0)).unwrap();
        assert_eq!(batch.commit().unwrap(), []);
    }
}

#[test]
fn fixtures_of_every_version_are_read() {
    (1..).zip(&VERSIONS).for_each(|(version, files)| check(version, files));
}

fn check(version: usize, files: &Files) {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(1600));
    for (name, bytes) in files {
        fs.set_bytes(&Path::new(DIR).join(name), bytes);
    }
    let db = open(&fs, &clock);
    assert!(db.recovery().corruptions.is_empty(), "{:?}", db.recovery());
    assert_eq!(db.recovery().blocks, 1);

    let (fresh, now) = (SimFileSystem::default(), TestClock::at(0));
    let expected = open(&fresh, &now);
    write(&expected, &now, version);
    assert_eq!(everything(&db), everything(&expected));
    assert_eq!(everything(&db).len(), 4);
    let exemplars = |db: &Tsdb| db.exemplars(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(exemplars(&db), exemplars(&expected));
    assert_eq!(exemplars(&db)[0].exemplars.len(), if version >= DELETIONS { 23 } else { 26 });
    assert_eq!(db.metadata(), expected.metadata());
    assert_eq!(db.metadata().len(), 1);
}
