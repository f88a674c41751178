//! A snapshot opens as what was there when it was made, whatever becomes of the database.

use super::*;
use crate::db::snapshot_stopped;

const TO: &str = "/snapshots/one";

fn filled(fs: &SimFileSystem) -> Tsdb {
    let db = open(fs, &far_clock());
    for time in (0..2600).step_by(100) {
        let mut batch = db.appender();
        let id = batch.append(None, &series(1), Sample::new(time, time as f64)).unwrap();
        batch.append_start(id, ms(time / 300 * 300 - 1));
        batch.append(None, &series(2), Sample::new(time, -0.0)).unwrap();
        batch.commit().unwrap();
    }
    db.maintain().unwrap();
    db.delete(&[Matcher::equal("n", "2")], ms(500), ms(2100)).unwrap();
    db
}

fn open_snapshot(fs: &SimFileSystem) -> Tsdb {
    Tsdb::open(TO, options(WalSync::Always), Arc::new(fs.clone()), far_clock()).unwrap()
}

#[test]
fn a_snapshot_has_everything_and_changes_no_more() {
    for skip_head in [false, true] {
        let fs = SimFileSystem::default();
        let db = filled(&fs);
        let mut expected = everything(&db);
        db.snapshot(TO, skip_head).unwrap();
        append(&db, 3, 9000, 1.0);
        db.delete(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
        db.clean_tombstones().unwrap();
        db.maintain().unwrap();
        drop(db);
        if skip_head {
            expected.values_mut().for_each(|samples| samples.retain(|time, _| *time < 2000));
        }
        fs.restart(Loss::Unsynced);
        assert_eq!(everything(&open_snapshot(&fs)), expected, "skip_head: {skip_head}");
    }
}

#[test]
fn a_stopped_database_gives_the_same_and_stays_as_it_is() {
    let fs = SimFileSystem::default();
    let db = filled(&fs);
    let expected = everything(&db);
    drop(db);
    let names = |dir: &str| fs.list(&Path::new(DIR).join(dir)).unwrap();
    let before = (names("wal"), names("blocks"));
    snapshot_stopped(&fs, Path::new(DIR), Path::new(TO), false).unwrap();
    assert_eq!((names("wal"), names("blocks")), before);
    assert_eq!(everything(&open(&fs, &far_clock())), expected);
    fs.restart(Loss::Unsynced);
    assert_eq!(everything(&open_snapshot(&fs)), expected);
}

#[test]
fn a_snapshot_can_stop_at_any_step_and_be_made_again() {
    for step in 0.. {
        let fs = SimFileSystem::default();
        let db = filled(&fs);
        let expected = everything(&db);
        fs.fail(step, Fault::Error);
        let made = db.snapshot(TO, false);
        let met = !fs.clear_fault();
        assert_eq!(everything(&db), expected);
        // Where only the last step failed, it is there, and as a whole.
        if made.is_err() && fs.list(&Path::new(TO).join("blocks")).unwrap().is_empty() {
            db.snapshot(TO, false).unwrap();
        }
        append(&db, 1, 2700, 1.0);
        drop(db);
        fs.restart(Loss::Nothing);
        assert_eq!(everything(&open_snapshot(&fs)), expected, "step {step}");
        if !met {
            break;
        }
    }
}

#[test]
fn a_snapshot_holds_whole_batches() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let options = Options { wal_segment_bytes: 1 << 20, ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, options).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for time in 0..300 {
                let mut batch = db.appender();
                for number in 0..20 {
                    batch.append(None, &series(number), Sample::new(time, time as f64)).unwrap();
                }
                batch.commit().unwrap();
            }
        });
        for number in 0.. {
            let to = format!("/snapshots/{number}");
            db.snapshot(&to, false).unwrap();
            fs.restart(Loss::Nothing);
            let copy =
                Tsdb::open(&to, super::options(WalSync::Always), Arc::new(fs.clone()), far_clock()).unwrap();
            let lengths: Vec<usize> = everything(&copy).values().map(BTreeMap::len).collect();
            assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
            if writer.is_finished() {
                break;
            }
        }
    });
}
