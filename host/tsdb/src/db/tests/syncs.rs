//! A log that is synced now and then: what a power cut takes, also where a sync has failed.

use super::*;

const INTERVAL_MS: i64 = 100;

fn every_interval() -> Options {
    options(WalSync::Interval(Duration::from_millis(INTERVAL_MS as u64)))
}

/// With an interval, a killed process loses nothing, a power cut only what is younger than the interval.
#[test]
fn an_interval_bounds_what_a_power_cut_takes() {
    for (loss, lost) in [(Loss::Nothing, 0), (Loss::Unsynced, 5)] {
        let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
        let options =
            Options { wal_segment_bytes: 1 << 20, ..options(WalSync::Interval(Duration::from_millis(100))) };
        let db = try_open(&fs, &clock, options.clone()).unwrap();
        for time in 0..16 {
            clock.set(time * 10);
            append(&db, 1, time, 1.0);
        }
        drop(db);
        fs.restart(loss);
        let db = try_open(&fs, &clock, options).unwrap();
        assert_eq!(everything(&db)[&series(1)].len(), 16 - lost);
    }
}

#[test]
fn an_idle_log_is_synced_when_it_is_due() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let options = options(WalSync::Interval(Duration::from_millis(100)));
    let db = try_open(&fs, &clock, options.clone()).unwrap();
    append(&db, 1, 1, 1.0);
    clock.set(100);
    db.sync().unwrap();
    drop(db);
    fs.restart(Loss::Unsynced);
    assert_eq!(everything(&try_open(&fs, &clock, options).unwrap()).len(), 1);
}

#[test]
fn what_a_killed_process_left_is_synced_by_the_next_one() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    append(&try_open(&fs, &clock, every_interval()).unwrap(), 1, 1, 1.0);
    fs.restart(Loss::Nothing);
    drop(try_open(&fs, &clock, every_interval()).unwrap());
    fs.restart(Loss::Unsynced);
    let db = try_open(&fs, &clock, every_interval()).unwrap();
    assert_eq!(everything(&db), Content::from([(series(1), floats(&[(1, 1.0)]))]));
}

fn append_all(db: &Tsdb, number: usize, times: std::ops::Range<i64>) {
    for time in times {
        append(db, number, time, 1.0);
    }
}

/// Whichever call of a sync fails, made by a commit, by the clock, by maintenance or by closing: what was acknowledged
/// before is safe once one has succeeded, and the disk is not full of attempts.
#[test]
fn what_a_failed_sync_has_lost_is_written_anew() {
    type Step = fn(&Tsdb);
    let by_commit: Step = |db| {
        let mut batch = db.appender();
        batch.append(None, &series(2), Sample::new(900, 1.0)).unwrap();
        assert!(batch.commit().is_err());
    };
    let by_clock: Step = |db| assert!(db.sync().is_err());
    let by_maintenance: Step = |db| assert!(db.maintain().is_err());
    let mended: Step = |db| db.sync().unwrap();
    let maintained: Step = |db| assert_eq!(db.maintain().unwrap().blocks_cut, 0);
    let closed: Step = |db| db.close().unwrap();
    // The calls before the sync: a commit writes its frame first.
    let ways = [(by_commit, 1), (by_clock, 0), (by_clock, 1), (by_maintenance, 0)];
    for (fails, before) in ways {
        for mends in [mended, maintained, closed] {
            for loss in [Loss::Unsynced, Loss::UnsyncedIsZeros] {
                let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
                let options = Options { wal_segment_bytes: 1 << 20, ..every_interval() };
                let db = try_open(&fs, &clock, options.clone()).unwrap();
                append_all(&db, 1, 0..8);
                clock.set(INTERVAL_MS);
                fs.fail(before, Fault::Error);
                fails(&db);
                append(&db, 1, 8, 1.0);
                append(&db, 3, 8, 1.0);
                mends(&db);
                drop(db);
                fs.restart(loss);
                let db = try_open(&fs, &clock, options).unwrap();
                assert_eq!((db.recovery().corruptions.len(), db.recovery().orphans), (0, 0));
                let found = everything(&db);
                assert!((0..8).all(|time| found[&series(1)].contains_key(&time)), "{found:?}");
            }
        }
    }
}

/// Who is killed before the log was written anew leaves it to the next process, which knows nothing of it by itself: the
/// system still has all frames, and says that they are synced.
#[test]
fn what_a_failed_sync_has_lost_is_written_anew_by_the_next_process() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let options = Options { wal_segment_bytes: 1 << 20, ..every_interval() };
    let open = || try_open(&fs, &clock, options.clone()).unwrap();
    let has_mark = || fs.list(&Path::new(DIR).join("wal")).unwrap().contains(&"sync-failed".to_owned());
    let db = open();
    append_all(&db, 1, 0..8);
    clock.set(INTERVAL_MS);
    // The log is opened for it first.
    fs.fail(1, Fault::Error);
    assert!(db.sync().is_err());
    // The call that failed has made up for it; the second one fails before it could.
    assert!(!has_mark());
    // The log before goes.
    db.maintain().unwrap();
    append_all(&db, 1, 8..16);
    clock.set(2 * INTERVAL_MS);
    fs.fail(0, Fault::Error);
    assert!(db.maintain().is_err());
    assert!(has_mark());
    drop(db);
    fs.restart(Loss::Nothing);
    let db = open();
    db.sync().unwrap();
    assert!(!has_mark());
    drop(db);
    fs.restart(Loss::UnsyncedIsZeros);
    assert_eq!(everything(&open())[&series(1)].len(), 16);
}

#[test]
fn attempts_at_checkpoints_that_fail_leave_nothing() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let db = try_open(&fs, &clock, every_interval()).unwrap();
    for time in 0..20 {
        append(&db, 1, time, 1.0);
        clock.set((time + 1) * INTERVAL_MS);
        fs.fail(time as u64, Fault::Error);
        let _ = db.maintain();
        fs.clear_fault();
        let names = fs.list(&Path::new(DIR).join("wal")).unwrap();
        assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{names:?}");
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// Commits a sample of a series, so many milliseconds later by the clock.
    Commit(usize, i64),
    /// Lets the interval pass, and syncs.
    Sync,
    Maintain,
    /// The changing call after so many more fails.
    Inject(u64),
    Restart(Loss),
}

fn any_op() -> impl Strategy<Value = Op> {
    let loss = vec![Loss::Nothing, Loss::Unsynced, Loss::HalfOfUnsynced, Loss::UnsyncedIsZeros];
    prop_oneof![
        8 => (0usize..6, 0i64..40).prop_map(|(number, later)| Op::Commit(number, later)),
        3 => Just(Op::Sync),
        1 => Just(Op::Maintain),
        3 => (0u64..6).prop_map(Op::Inject),
        1 => prop::sample::select(loss).prop_map(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// What was acknowledged before a sync that succeeded is there after any power cut.
    #[test]
    fn a_sync_that_succeeds_covers_all_before_it(ops in vec(any_op(), 1..80)) {
        let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
        let mut db = try_open(&fs, &clock, every_interval()).unwrap();
        let (mut now, mut time) = (0, 0);
        let (mut sent, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
        let (mut durable, mut faulty) = (BTreeSet::new(), false);
        for op in ops.into_iter().chain([Op::Sync, Op::Restart(Loss::UnsyncedIsZeros)]) {
            match op {
                Op::Commit(number, later) => {
                    (now, time) = (now + later, time + 7);
                    clock.set(now);
                    sent.insert((number, time));
                    let mut batch = db.appender();
                    batch.append(None, &series(number), Sample::new(time, 1.0)).unwrap();
                    if batch.commit().is_ok() {
                        acknowledged.insert((number, time));
                    }
                }
                Op::Sync => {
                    now += INTERVAL_MS;
                    clock.set(now);
                    match db.sync() {
                        Ok(()) => durable.clone_from(&acknowledged),
                        // Where nothing fails any more, the next one succeeds.
                        Err(_) => {
                            fs.clear_fault();
                            db.sync().unwrap();
                            durable.clone_from(&acknowledged);
                        }
                    }
                }
                Op::Maintain => drop(db.maintain()),
                Op::Inject(after) => {
                    faulty = true;
                    fs.fail(after, Fault::Error);
                }
                Op::Restart(loss) => {
                    drop(db);
                    fs.restart(loss);
                    db = try_open(&fs, &clock, every_interval()).unwrap();
                    let content = everything(&db);
                    let number = |labels: &Labels| labels.get("n").unwrap().parse().unwrap();
                    let found: BTreeSet<(usize, i64)> = content
                        .iter()
                        .flat_map(|(labels, samples)| samples.keys().map(move |time| (number(labels), *time)))
                        .collect();
                    let expected = if loss == Loss::Nothing { &acknowledged } else { &durable };
                    prop_assert!(found.is_superset(expected), "{found:?} lack some of {expected:?}");
                    prop_assert!(found.is_subset(&sent), "{found:?} are more than {sent:?}");
                    if loss != Loss::Nothing || !faulty {
                        // A start syncs what a killed process has left, but for what a sync has lost before.
                        durable.clone_from(&found);
                    }
                    faulty &= loss == Loss::Nothing;
                    acknowledged = found;
                }
            }
        }
    }
}
