//! Senders that are far behind the newest sample of all, each in order, lose nothing while they send.

use super::*;

const QUIET_MS: i64 = 100;

fn patient() -> Options {
    Options {
        cut_after_quiet: Duration::from_millis(QUIET_MS as u64),
        wal_segment_bytes: 1 << 20,
        ..options(WalSync::Always)
    }
}

/// A clock past the time at which a sender of before the start is no longer awaited.
fn started(fs: &SimFileSystem) -> (Tsdb, Arc<TestClock>) {
    let clock = TestClock::at(1_000_000);
    let db = try_open(fs, &clock, patient()).unwrap();
    clock.set(1_000_000 + 2 * QUIET_MS);
    (db, clock)
}

fn try_append(db: &Tsdb, number: usize, time: i64) -> std::result::Result<SeriesRef, AppendError> {
    let mut batch = db.appender();
    let id = batch.append(None, &series(number), Sample::new(time, time as f64))?;
    assert!(batch.commit().unwrap().is_empty());
    Ok(id)
}

#[test]
fn a_backfill_beside_samples_of_the_present_loses_nothing() {
    let fs = SimFileSystem::default();
    let (db, clock) = started(&fs);
    let start = clock.now().millis();
    let mut cut = 0;
    // Ten ranges of the past in the time that the present takes for one.
    for step in 0..100 {
        clock.set(start + step * 10);
        try_append(&db, 1, step * 100).unwrap();
        try_append(&db, 2, start + step * 10).unwrap();
        if step % 7 == 0 {
            cut += db.maintain().unwrap().blocks_cut;
        }
    }
    // What the backfill has left behind was cut meanwhile.
    assert!(cut >= 7, "{cut}");
    let there = everything(&db);
    assert_eq!(there[&series(1)].len(), 100);
    assert_eq!(there[&series(2)].len(), 100);
    // Once it is over, its last ranges go, too.
    assert!(!db.is_cut_due());
    clock.set(clock.now().millis() + 2 * QUIET_MS);
    assert!(db.is_cut_due());
    assert!(db.maintain().unwrap().blocks_cut > 0);
    assert_eq!(try_append(&db, 1, 9_950), Err(AppendError::OutOfBounds));
    assert_eq!(everything(&db), there);
}

#[test]
fn a_backfill_goes_on_after_a_restart() {
    let fs = SimFileSystem::default();
    let (db, clock) = started(&fs);
    for time in (0..3000).step_by(100) {
        try_append(&db, 1, time).unwrap();
    }
    try_append(&db, 2, clock.now().millis()).unwrap();
    drop(db);
    let db = try_open(&fs, &clock, patient()).unwrap();
    assert_eq!(db.maintain().unwrap().blocks_cut, 0);
    try_append(&db, 1, 3000).unwrap();
}

#[test]
fn who_never_catches_up_is_awaited_for_a_range_of_time() {
    let fs = SimFileSystem::default();
    let (db, clock) = started(&fs);
    let start = clock.now().millis();
    for passed in (0..1500).step_by(50) {
        clock.set(start + passed);
        try_append(&db, 2, start + passed).unwrap();
        let taken = try_append(&db, 1, 500 + passed / 50);
        assert_eq!(taken.is_ok(), passed <= 1000, "{passed}: {taken:?}");
        db.maintain().unwrap();
    }
}

#[test]
fn memory_that_is_short_ends_the_wait() {
    let fs = SimFileSystem::default();
    let (db, clock) = started(&fs);
    try_append(&db, 1, 500).unwrap();
    try_append(&db, 2, clock.now().millis()).unwrap();
    assert!(!db.is_cut_due());
    db.shed_new_series(true);
    assert!(db.is_cut_due());
}

#[test]
fn late_samples_that_are_taken_anyhow_keep_no_range_waiting() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(1_000_000));
    let out_of_order_window = Duration::from_secs(2000);
    let db = try_open(&fs, &clock, Options { out_of_order_window, ..patient() }).unwrap();
    clock.set(1_000_000 + 2 * QUIET_MS);
    try_append(&db, 1, 500).unwrap();
    try_append(&db, 2, clock.now().millis()).unwrap();
    try_append(&db, 1, 600).unwrap();
    clock.set(clock.now().millis() + 2 * QUIET_MS);
    try_append(&db, 1, 700).unwrap();
    assert!(db.is_cut_due());
    db.maintain().unwrap();
    try_append(&db, 1, 800).unwrap();
    assert_eq!(everything(&db)[&series(1)].len(), 4);
}
