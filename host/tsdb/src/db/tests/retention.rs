//! Retention by time, by rule and by size.

use super::*;

fn rule(name: &str, value: &str, millis: u64) -> RetentionRule {
    RetentionRule { matchers: vec![Matcher::equal(name, value)], time: Duration::from_millis(millis) }
}

/// Ten block ranges and a head of series 1 to 3, of which series 2 ends after the fifth range.
fn filled(fs: &SimFileSystem, retention: Retention) -> Tsdb {
    let db = try_open(fs, &far_clock(), Options { retention, ..options(WalSync::Always) }).unwrap();
    for time in (0..10_600).step_by(100) {
        let mut batch = db.appender();
        for number in [1, 2, 3] {
            if number != 2 || time < 5000 {
                batch.append(None, &series(number), Sample::new(time, time as f64)).unwrap();
            }
        }
        batch.commit().unwrap();
    }
    db
}

/// The oldest sample of each series.
fn oldest(db: &Tsdb) -> Vec<(String, i64)> {
    let all = everything(db).into_iter();
    all.map(|(labels, samples)| (labels.get("n").unwrap().to_owned(), *samples.first_key_value().unwrap().0))
        .collect()
}

fn of(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(number, time)| ((*number).to_owned(), *time)).collect()
}

#[test]
fn a_rule_keeps_series_for_longer_or_for_less_long() {
    let check = |time: u64, rules: &[RetentionRule], expected: &[(&str, i64)]| {
        let fs = SimFileSystem::default();
        let retention =
            Retention { rules: rules.to_vec(), ..Retention::of_time(Duration::from_millis(time)) };
        let db = filled(&fs, retention.clone());
        db.maintain().unwrap();
        assert_eq!(oldest(&db), of(expected), "{rules:?}");
        // On disk, too: without any retention there is not more than the block of the oldest sample holds.
        drop(db);
        let db = try_open(&fs, &far_clock(), Options { retention, ..options(WalSync::Always) }).unwrap();
        assert_eq!(oldest(&db), of(expected), "{rules:?}");
        db.set_retention(Retention::ALL);
        db.maintain().unwrap();
        for ((number, seen), (_, there)) in expected.iter().zip(oldest(&db)) {
            assert!(there <= *seen && there > seen - 1000, "{number} begins at {there} instead of {seen}");
        }
    };
    // The newest sample is at 10,500.
    check(100_000, &[], &[("1", 0), ("2", 0), ("3", 0)]);
    // Blocks go as a whole: the one that ends at 6,900 has samples that are not past.
    check(4_000, &[], &[("1", 6000), ("3", 6000)]);
    // Rules are exact for queries.
    check(100_000, &[rule("n", "1", 3_000)], &[("1", 7500), ("2", 0), ("3", 0)]);
    check(100_000, &[rule("n", "2", 3_000)], &[("1", 0), ("3", 0)]);
    check(2_000, &[rule("n", "2", 100_000)], &[("1", 8000), ("2", 0), ("3", 8000)]);
    // The first rule that matches counts.
    check(100_000, &[rule("n", "1", 3_000), rule("__name__", "m", 2_000)], &[("1", 7500), ("3", 8500)]);
}

#[test]
fn blocks_are_rewritten_once() {
    let fs = SimFileSystem::default();
    let retention = Retention { rules: vec![rule("n", "1", 3_000)], ..Retention::ALL };
    let db = filled(&fs, retention);
    assert!(db.maintain().unwrap().blocks_rewritten > 0);
    assert_eq!(db.maintain().unwrap(), Default::default());
}

#[test]
fn the_oldest_blocks_go_when_there_are_too_many_bytes() {
    let fs = SimFileSystem::default();
    let db = filled(&fs, Retention::ALL);
    db.maintain().unwrap();
    let stats = db.stats();
    let too_much = |bytes_max, disk_part_max| Retention { bytes_max, disk_part_max, ..Retention::ALL };
    db.set_retention(too_much(Some(stats.block_bytes + stats.wal_bytes), None));
    assert_eq!(db.maintain().unwrap().blocks_removed, 0);
    db.set_retention(too_much(Some(stats.block_bytes + stats.wal_bytes - 1), None));
    assert_eq!(db.maintain().unwrap().blocks_removed, 1);
    assert!(oldest(&db).iter().all(|(_, time)| *time > 0));
    // A part of the disk, where that is less.
    let bytes = db.stats().block_bytes + db.stats().wal_bytes;
    let part = (bytes - 1) as f64 / crate::fs::sim::DISK_BYTES as f64;
    db.set_retention(too_much(Some(bytes), Some(part)));
    assert_eq!(db.maintain().unwrap().blocks_removed, 1);
    db.set_retention(too_much(Some(0), None));
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 0);
    assert_eq!(oldest(&db), of(&[("1", 10_000), ("3", 10_000)]), "the head stays");
}

#[test]
fn the_head_is_trimmed() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let retention = Retention::of_time(Duration::from_millis(200));
    let db = try_open(&fs, &clock, Options { retention, ..options(WalSync::Always) }).unwrap();
    append(&db, 1, 100, 1.0);
    append(&db, 2, 1000, 1.0);
    db.maintain().unwrap();
    assert_eq!(everything(&db), Content::from([(series(2), floats(&[(1000, 1.0)]))]));
    let mut batch = db.appender();
    assert_eq!(batch.append(None, &series(1), Sample::new(700, 1.0)), Err(AppendError::OutOfBounds));
    drop(batch);
    drop(db);
    assert!(open(&fs, &clock).stats().head_series <= 2);
}
