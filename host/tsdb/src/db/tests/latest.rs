//! The short ways to what many series have in a range: their latest samples, and that they have any.

use super::*;

fn take_any(db: &Tsdb, (start, end): (i64, i64)) -> bool {
    db.latest(&[], ms(start), ms(end), LatestBy::Nothing, 2).unwrap().is_some()
}

/// Series that stay the same, that change, that end, of histograms, and one with times of its own.
fn fill(db: &Tsdb) {
    for time in (0..900).step_by(10) {
        let mut batch = db.appender();
        let mut put = |number, time, value| {
            batch.append(None, &series(number), Sample::new(time, value)).unwrap();
        };
        put(1, time, 4.0);
        put(2, time, time as f64 / 7.0);
        if time <= 500 {
            put(3, time, if time == 500 { model::staleness::STALE_NAN } else { 1.0 });
        }
        if time % 90 == 0 {
            put(5, time + 3, time as f64);
        }
        batch.append_histogram(None, &series(4), ms(time), &Histogram::stale()).unwrap();
        let histogram = Histogram { sum: time as f64, ..Histogram::stale() };
        batch.append_histogram(None, &series(6), ms(time), &histogram).unwrap();
        batch.commit().unwrap();
    }
}

/// A range that one block has alone is answered by it; each answer is checked against what is selected.
#[test]
fn latest_samples_of_a_range_in_a_block_are_found_there() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let options = Options { out_of_order_window: Duration::from_millis(5000), ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, options).unwrap();
    fill(&db);
    append(&db, 1, 1600, 5.0);
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    let ranges = || (0..95).flat_map(|at| [(at * 10 - 300, at * 10), (at * 10 + 1, at * 10 + 8)]);
    for (start, end) in ranges() {
        assert!(take_any(&db, (start, end)), "{start} to {end}");
        check_latest(&db, &[], (start, end), &selected(&db, &[], start, end));
    }
    let count = |start, end| content(&db, &[], start, end).len();
    assert_eq!((count(0, 450), count(501, 890), count(899, 950)), (6, 5, 0));
    // What the head has as well has to be told from it by labels.
    assert!(!take_any(&db, (0, 1600)));
    assert!(take_any(&db, (1000, 1600)));
    // A late sample of the same series, and then one of another.
    append(&db, 2, 455, 1.5);
    assert!(!take_any(&db, (300, 460)));
    assert!(take_any(&db, (300, 450)));
    check_latest(&db, &[], (300, 450), &selected(&db, &[], 300, 450));
    // What is deleted is passed over.
    db.delete(&[Matcher::equal("n", "1")], ms(200), ms(2000)).unwrap();
    for (start, end) in ranges().filter(|(_, end)| *end < 455) {
        assert!(take_any(&db, (start, end)), "{start} to {end}");
        check_latest(&db, &[], (start, end), &selected(&db, &[], start, end));
    }
}

/// Who has samples in a range is told alike at first and when it is known already, before and after a cut.
#[test]
fn series_are_named_where_they_have_samples() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let check = |start, end, expected: &[usize]| {
        let mut expected: Vec<String> = expected.iter().map(usize::to_string).collect();
        expected.sort();
        for attempt in ["first", "again"] {
            let found = db.label_values("n", &[], ms(start), ms(end)).unwrap();
            assert_eq!(found, expected, "{start} to {end}, {attempt}");
        }
    };
    let commit = |time, numbers: std::ops::Range<usize>| {
        let mut batch = db.appender();
        for number in numbers {
            batch.append(None, &series(number), Sample::new(time, 1.0)).unwrap();
        }
        batch.commit().unwrap();
    };
    commit(10, 0..8);
    check(10, 10, &[0, 1, 2, 3, 4, 5, 6, 7]);
    check(11, 400, &[]);
    commit(20, 0..8);
    commit(30, 0..5);
    commit(40, 4..9);
    check(0, 50, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    check(31, 50, &[4, 5, 6, 7, 8]);
    check(15, 20, &[0, 1, 2, 3, 4, 5, 6, 7]);
    check(41, 90, &[]);
    commit(1600, 2..10);
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    check(1000, 1700, &[2, 3, 4, 5, 6, 7, 8, 9]);
    check(31, 50, &[4, 5, 6, 7, 8]);
    check(1601, 1700, &[]);
    commit(1650, 2..10);
    db.delete(&[Matcher::equal("n", "3")], ms(0), ms(5000)).unwrap();
    check(1000, 1700, &[2, 4, 5, 6, 7, 8, 9]);
}
