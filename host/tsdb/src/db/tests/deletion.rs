//! Deletion: what is deleted is gone for every question, for ever, and nothing else is.

use super::*;

/// Opens with a retention that keeps all there is and blocks from being merged.
fn open(fs: &SimFileSystem, clock: &Arc<TestClock>) -> Tsdb {
    let retention = Retention::of_time(Duration::from_millis(29_999));
    try_open(fs, clock, Options { retention, ..options(WalSync::Always) }).unwrap()
}

/// Three block ranges and a head, with series 1 to 4.
fn filled(fs: &SimFileSystem, clock: &Arc<TestClock>) -> Tsdb {
    let db = open(fs, clock);
    fill(&db, 3600);
    assert_eq!(db.maintain().unwrap().blocks_cut, 3);
    db
}

fn fill(db: &Tsdb, end: i64) {
    for time in (0..end).step_by(100) {
        let mut batch = db.appender();
        for number in 1..4 {
            let id = batch.append(None, &series(number), Sample::new(time, time as f64 / 8.0)).unwrap();
            batch.append_start(id, ms(time / 700 * 700 - 1));
            batch.append_exemplar(id, &exemplar(time)).unwrap();
        }
        let id = batch.append_histogram(None, &series(4), ms(time), &Histogram::stale()).unwrap();
        batch.append_start(id, ms(7));
        batch.commit().unwrap();
    }
}

fn exemplar(time: i64) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", "1")]), value: 0.5, timestamp: ms(time) }
}

fn number(number: &str) -> Vec<Matcher> {
    vec![Matcher::equal("n", number)]
}

/// The times of the exemplars of each series.
type Exemplars = Vec<(Labels, Vec<i64>)>;

/// What all questions together say.
fn answers(db: &Tsdb) -> (Content, Exemplars, Vec<String>) {
    let exemplars = db.exemplars(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
    let times = |exemplars: &[Exemplar]| exemplars.iter().map(|e| e.timestamp.millis()).collect();
    (
        everything(db),
        exemplars.into_iter().map(|series| (series.labels, times(&series.exemplars))).collect(),
        db.label_values("n", &[], Timestamp::MIN, Timestamp::MAX).unwrap(),
    )
}

#[test]
fn what_is_deleted_is_gone_for_every_question_and_stays_so() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = filled(&fs, &clock);
    let selected = db.select(&number("1"), ms(0), ms(9000)).unwrap();
    let (mut samples, mut exemplars, mut values) = answers(&db);
    // Some of a series in two blocks, all of another, the head's part of a third, histograms.
    assert_eq!(db.delete(&number("1"), ms(350), ms(1200)).unwrap(), 2);
    assert_eq!(db.delete(&number("2"), Timestamp::MIN, Timestamp::MAX).unwrap(), 4);
    assert_eq!(db.delete(&number("3"), ms(3050), Timestamp::MAX).unwrap(), 1);
    assert_eq!(db.delete(&number("4"), ms(0), ms(99)).unwrap(), 1);
    assert_eq!(db.delete(&number("9"), Timestamp::MIN, Timestamp::MAX).unwrap(), 0);
    let gone = |number: usize, time: i64| match number {
        1 => (350..=1200).contains(&time),
        2 => true,
        3 => time >= 3050,
        _ => time < 100,
    };
    for (labels, kept) in &mut samples {
        kept.retain(|time, _| !gone(labels.get("n").unwrap().parse().unwrap(), *time));
    }
    samples.retain(|_, kept| !kept.is_empty());
    for (labels, kept) in &mut exemplars {
        kept.retain(|time| !gone(labels.get("n").unwrap().parse().unwrap(), *time));
    }
    exemplars.retain(|(_, kept)| !kept.is_empty());
    values.retain(|value| value != "2");
    let expected = (samples, exemplars, values);
    assert_eq!(answers(&db), expected);
    assert_eq!(db.label_names(&number("2"), Timestamp::MIN, Timestamp::MAX).unwrap(), [""; 0]);
    assert_eq!(db.label_values("n", &number("3"), ms(3100), ms(9000)).unwrap(), [""; 0]);
    let mut before = Collect::default();
    selected[0].read(ms(0), ms(9000), &mut before).unwrap();
    assert_eq!(before.0.len(), 36, "a selection from before reads on");

    // Again, from the log and the files beside the blocks.
    drop(db);
    let db = open(&fs, &clock);
    assert_eq!(answers(&db), expected);
    // Again, after the head has been cut, and the log replaced by a checkpoint.
    for time in [5000, 6600] {
        append(&db, 5, time, 1.0);
    }
    assert_eq!(db.maintain().unwrap().blocks_cut, 2);
    assert_eq!(db.delete(&number("5"), Timestamp::MIN, Timestamp::MAX).unwrap(), 2);
    assert_eq!(answers(&db), expected);
    // Again, after the blocks were written anew, and the tombstones went.
    assert!(db.clean_tombstones().unwrap() > 0);
    assert_eq!(answers(&db), expected);
    drop(db);
    let db = open(&fs, &clock);
    assert_eq!(answers(&db), expected);
    let names = fs.list(&Path::new(DIR).join("blocks")).unwrap();
    let beside = names.iter().filter(|name| name.ends_with(".tombstones")).count();
    // The newest block had nothing else: it stays, to say until when the head has been cut.
    assert_eq!(beside, 1, "{names:?}");
}

#[test]
fn what_comes_after_a_deletion_is_not_deleted() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    append(&db, 1, 100, 1.0);
    append(&db, 2, 500, 1.0);
    assert_eq!(db.delete(&[], Timestamp::MIN, Timestamp::MAX).unwrap(), 2);
    assert_eq!(everything(&db), Content::new());
    append(&db, 1, 200, 2.0);
    let expected = Content::from([(series(1), floats(&[(200, 2.0)]))]);
    assert_eq!(everything(&db), expected);
    drop(db);
    let db = open(&fs, &clock);
    assert_eq!(everything(&db), expected);
    append(&db, 1, 2000, 3.0);
    db.maintain().unwrap();
    assert_eq!(everything(&db)[&series(1)], floats(&[(200, 2.0), (2000, 3.0)]));
}

#[test]
fn merging_leaves_out_what_is_deleted() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = super::open(&fs, &clock);
    fill(&db, 2600);
    assert_eq!(db.maintain().unwrap().blocks_cut, 2);
    db.delete(&number("1"), ms(350), ms(1200)).unwrap();
    let expected = answers(&db);
    append(&db, 5, 4600, 1.0);
    assert_eq!(db.maintain().unwrap().blocks_compacted, 1);
    db.delete(&number("5"), Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(answers(&db), expected);
    let names = fs.list(&Path::new(DIR).join("blocks")).unwrap();
    assert!(!names.iter().any(|name| name.ends_with(".tombstones")), "{names:?}");
}

#[test]
fn damaged_tombstones_are_named_and_set_aside() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = filled(&fs, &clock);
    let all = everything(&db);
    db.delete(&number("1"), ms(350), ms(900)).unwrap();
    drop(db);
    let path = Path::new(DIR).join("blocks/00000001.tombstones");
    let mut bytes = fs.bytes(&path);
    bytes[20] ^= 1;
    fs.set_bytes(&path, &bytes);
    let db = open(&fs, &clock);
    let [Error::Corrupt { path: named, .. }] = &db.recovery().corruptions[..] else {
        panic!("{:?}", db.recovery());
    };
    assert_eq!(*named, path);
    assert_eq!(everything(&db), all);
    assert_eq!(fs.bytes(&path.with_extension("tombstones.corrupt")), bytes);
}

#[test]
fn a_deletion_can_stop_at_any_step() {
    let whole = (SimFileSystem::default(), far_clock());
    let before = everything(&filled(&whole.0, &whole.1));
    let mut after = before.clone();
    after.get_mut(&series(1)).unwrap().retain(|time, _| !(350..=3200).contains(time));
    for step in 0.. {
        let (fs, clock) = (SimFileSystem::default(), far_clock());
        let db = filled(&fs, &clock);
        fs.fail(step, Fault::Crash);
        let deleted = db.delete(&number("1"), ms(350), ms(3200));
        let crashed = fs.has_crashed();
        drop(db);
        fs.restart(Loss::Unsynced);
        let db = open(&fs, &clock);
        assert!(db.recovery().corruptions.is_empty(), "step {step}: {:?}", db.recovery());
        let found = everything(&db);
        if deleted.is_ok() {
            assert_eq!(found, after, "step {step}");
        }
        // Nothing but what was asked for is ever missing.
        for (labels, samples) in &before {
            for (time, value) in samples {
                let must_stay = after[labels].contains_key(time);
                assert!(
                    !must_stay || found[labels].get(time) == Some(value),
                    "step {step}: {labels} at {time}"
                );
            }
        }
        fs.fail(step, Fault::Crash);
        let cleaned = db.delete(&number("1"), ms(350), ms(3200)).and_then(|_| db.clean_tombstones());
        drop(db);
        fs.restart(Loss::Unsynced);
        let db = open(&fs, &clock);
        if cleaned.is_ok() {
            assert_eq!(everything(&db), after, "step {step}");
        }
        db.delete(&number("1"), ms(350), ms(3200)).unwrap();
        assert_eq!(everything(&db), after, "step {step}");
        if !crashed && cleaned.is_ok() {
            break;
        }
    }
}
