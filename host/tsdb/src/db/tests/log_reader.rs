//! Following the log: everything that was acknowledged comes, in order, once, whatever maintenance and restarts do.

use std::collections::HashMap;

use super::*;
use crate::wal::{LogItems, LogPosition, LogReader};

/// A sample that came, by the labels of its series.
type Came = (Labels, i64, u64);

/// A reader with what its owner has to remember.
struct Follower {
    reader: LogReader,
    labels: HashMap<u32, Labels>,
    came: Vec<Came>,
    position: Option<LogPosition>,
}

impl Follower {
    fn open(db: &Tsdb, from: Option<LogPosition>) -> Self {
        let reader = db.log_reader(from).unwrap();
        let position = Some(reader.position());
        Self { reader, labels: HashMap::new(), came: Vec::new(), position }
    }

    /// Reads some batches, or all there are.
    fn read(&mut self, frames_max: usize) {
        for _ in 0..frames_max {
            let Some(frame) = self.reader.next_frame().unwrap() else { break };
            for items in frame.items {
                match items {
                    LogItems::Series(all) => self.labels.extend(all),
                    LogItems::Floats(samples) => {
                        let came = samples.ids.iter().zip(samples.times).zip(samples.values);
                        self.came.extend(
                            came.map(|((id, time), float)| (self.labels[id].clone(), time, float.to_bits())),
                        );
                    }
                    _ => {}
                }
            }
            self.position = Some(frame.end);
        }
    }

    fn release(&self) {
        self.reader.release(self.position.unwrap());
    }
}

fn sample(number: usize, time: i64, value: f64) -> Came {
    (series(number), time, value.to_bits())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_that_is_acknowledged_comes_once_and_in_order(
        steps in vec((0..5_usize, 0..30_usize), 1..60)
    ) {
        let fs = SimFileSystem::default();
        let clock = TestClock::at(0);
        let mut db = open(&fs, &clock);
        db.keep_log_for(Duration::from_secs(3600));
        let mut follower = Follower::open(&db, None);
        let mut expected = Vec::new();
        let mut came = Vec::new();
        let mut time = 0;
        for (step, number) in steps {
            match step {
                0 | 1 => for n in 0..=number {
                    time += 40;
                    clock.set(time);
                    append(&db, n % 7, time, n as f64);
                    expected.push(sample(n % 7, time, n as f64));
                },
                2 => { db.maintain().unwrap(); }
                3 => {
                    follower.read(number);
                    follower.release();
                }
                _ => {
                    let position = follower.position;
                    came.append(&mut follower.came);
                    drop(follower);
                    drop(db);
                    fs.restart(Loss::Nothing);
                    db = open(&fs, &clock);
                    db.keep_log_for(Duration::from_secs(3600));
                    follower = Follower::open(&db, position);
                }
            }
        }
        follower.read(usize::MAX);
        came.append(&mut follower.came);
        prop_assert_eq!(came, expected);
        prop_assert!(follower.reader.is_at_end());
        prop_assert_eq!((follower.reader.gaps(), follower.reader.damaged()), (0, 0));
    }
}

/// The numbers of the files of the log.
fn files(fs: &SimFileSystem) -> Vec<String> {
    let mut names = fs.list(Path::new(DIR).join("wal").as_path()).unwrap();
    names.sort();
    names
}

/// Fills until the log has been replaced by a checkpoint.
fn until_checkpoint(db: &Tsdb, clock: &TestClock, time: &mut i64) -> Vec<Came> {
    let mut appended = Vec::new();
    loop {
        *time += 40;
        clock.set(*time);
        append(db, 1, *time, 1.0);
        appended.push(sample(1, *time, 1.0));
        if db.maintain().unwrap().checkpointed {
            return appended;
        }
    }
}

#[test]
fn what_a_reader_needs_stays_for_so_long_and_then_goes_at_once() {
    let fs = SimFileSystem::default();
    let clock = TestClock::at(0);
    let db = open(&fs, &clock);
    db.keep_log_for(Duration::from_secs(100));
    let mut follower = Follower::open(&db, None);
    let mut time = 0;
    let mut expected = until_checkpoint(&db, &clock, &mut time);
    expected.extend(until_checkpoint(&db, &clock, &mut time));
    assert!(files(&fs).contains(&"00000001.wal".to_owned()), "{:?}", files(&fs));
    follower.read(3);
    assert_eq!(follower.came, expected[..3]);

    clock.set(time + 200_000);
    time += 200_000;
    db.maintain().unwrap();
    assert!(!files(&fs).contains(&"00000001.wal".to_owned()), "{:?}", files(&fs));
    assert_eq!(files(&fs).iter().filter(|name| name.ends_with("checkpoint")).count(), 1);
    append(&db, 2, time, 7.0);
    follower.read(usize::MAX);
    assert_eq!(follower.reader.gaps(), 1);
    assert_eq!(follower.came.last(), Some(&sample(2, time, 7.0)));
    drop(follower);

    // Nobody reads: nothing stays.
    until_checkpoint(&db, &clock, &mut time);
    let oldest = files(&fs)[0].clone();
    assert!(oldest.ends_with("checkpoint"), "{:?}", files(&fs));
}

#[test]
fn of_what_nobody_reads_the_oldest_goes_first() {
    let fs = SimFileSystem::default();
    let clock = TestClock::at(0);
    let db = open(&fs, &clock);
    let kept = Duration::from_secs(100);
    db.keep_log_for(kept);
    let mut follower = Follower::open(&db, None);
    let (mut time, mut expected, mut unread) = (0, Vec::new(), 0);
    for _ in 0..60 {
        time += 5_000;
        clock.set(time);
        loop {
            time += 40;
            clock.set(time);
            append(&db, 1, time, 1.0);
            expected.push(sample(1, time, 1.0));
            let report = db.maintain().unwrap();
            unread += report.segments_unread;
            if report.checkpointed {
                break;
            }
        }
        // A series of each round, whose labels are in no later checkpoint.
        let name = expected.len();
        append(&db, name, time, 1.0);
        expected.push(sample(name, time, 1.0));
        let checkpoints = files(&fs).iter().filter(|name| name.ends_with("checkpoint")).count();
        assert!(checkpoints <= 7, "{checkpoints} checkpoints are kept");
    }
    assert!(unread > 0);
    follower.read(usize::MAX);
    // Whole stretches go, and nothing that is younger.
    assert!(expected.ends_with(&follower.came));
    let age = time - follower.came[0].1;
    assert!((100_000..=140_000).contains(&age), "the oldest is {age} ms old");
    assert_eq!((follower.reader.gaps(), follower.reader.damaged()), (1, 0));
    // Who comes anew and wants all of it gets as much.
    let mut other = Follower::open(&db, Some(LogPosition::default()));
    other.read(usize::MAX);
    assert_eq!(other.came, follower.came);
    follower.release();
    other.release();
    db.maintain().unwrap();
    assert_eq!(files(&fs).iter().filter(|name| name.ends_with("checkpoint")).count(), 1);
}

#[test]
fn a_reader_without_a_place_begins_now_and_knows_the_series_there_are() {
    let fs = SimFileSystem::default();
    let clock = TestClock::at(0);
    let db = open(&fs, &clock);
    append(&db, 1, 10, 1.0);
    let mut follower = Follower::open(&db, None);
    // A place of another log, further than this one has come.
    let lost = LogPosition { segment: 99, offset: 5 };
    let mut other = Follower::open(&db, Some(lost));
    append(&db, 1, 20, 2.0);
    assert!(follower.reader.wait(Duration::ZERO));
    for follower in [&mut follower, &mut other] {
        follower.read(usize::MAX);
        assert_eq!(follower.came, [sample(1, 20, 2.0)]);
        assert_eq!(follower.labels[&1], series(1));
    }
    assert!(!follower.reader.wait(Duration::ZERO));
    assert_eq!(db.head_labels(1), Some(series(1)));
    assert_eq!(db.head_labels(2), None);
}

#[test]
fn starts_and_all_kinds_of_items_come() {
    let fs = SimFileSystem::default();
    let db = open(&fs, &TestClock::at(0));
    let mut reader = db.log_reader(None).unwrap();
    let mut batch = db.appender();
    let id = batch.append(None, &series(1), Sample::new(10, 1.0)).unwrap();
    batch.append_start(id, ms(7));
    let exemplar = Exemplar { labels: series(9), value: 2.0, timestamp: ms(10) };
    batch.append_exemplar(id, &exemplar).unwrap();
    batch.append_histogram(None, &series(2), ms(11), &Histogram::stale()).unwrap();
    batch.append_metadata("m", &Metadata { kind: MetricKind::Counter, ..Metadata::default() });
    batch.commit().unwrap();
    let mut seen = Vec::new();
    for items in reader.next_frame().unwrap().unwrap().items {
        seen.push(match items {
            LogItems::Series(all) => format!("{} series", all.len()),
            LogItems::Floats(samples) => format!("{:?} {:?}", samples.values, samples.starts),
            LogItems::Histograms(samples) => format!("{} histograms", samples.times.len()),
            LogItems::Exemplars(all) => format!("exemplar {}", all[0].1.value),
            LogItems::Metadata(all) => format!("{} is a {}", all[0].0, all[0].1.kind),
        });
    }
    assert_eq!(seen, ["2 series", "[1.0] [7]", "1 histograms", "exemplar 2", "m is a counter"]);
    assert!(reader.next_frame().unwrap().is_none());
}

#[test]
fn damage_is_passed_over_and_counted() {
    let fs = SimFileSystem::default();
    let clock = TestClock::at(0);
    let db = open(&fs, &clock);
    let mut follower = Follower::open(&db, None);
    append(&db, 1, 10, 1.0);
    let damaged = db.log_end();
    append(&db, 1, 20, 2.0);
    append(&db, 1, 30, 3.0);
    let path = Path::new(DIR).join("wal/00000001.wal");
    let mut bytes = fs.bytes(&path);
    bytes[damaged.offset as usize + 14] ^= 1;
    fs.set_bytes(&path, &bytes);
    follower.read(usize::MAX);
    assert_eq!(follower.came, [sample(1, 10, 1.0), sample(1, 30, 3.0)]);
    assert_eq!(follower.reader.damaged(), 1);
}

#[test]
fn a_log_alone_has_no_blocks_and_a_short_head_and_readers_get_everything() {
    let fs = SimFileSystem::default();
    let clock = TestClock::at(0);
    let options = || Options { log_only: true, ..options(WalSync::Always) };
    let mut db = try_open(&fs, &clock, options()).unwrap();
    db.keep_log_for(Duration::from_secs(3600));
    let mut follower = Follower::open(&db, None);
    let (mut expected, mut came) = (Vec::new(), Vec::new());
    for round in 0..40 {
        for time in (round * 500..(round + 1) * 500).step_by(50) {
            clock.set(time);
            append(&db, 1, time, time as f64);
            expected.push(sample(1, time, time as f64));
        }
        // A sender that is hours behind is as welcome; one that goes backwards is not.
        append(&db, 2, round - 100_000, 1.0);
        expected.push(sample(2, round - 100_000, 1.0));
        let mut batch = db.appender();
        let refused = batch.append(None, &series(1), Sample::new(round * 500, -1.0));
        assert_eq!(refused, Err(AppendError::OutOfOrder), "round {round}");
        drop(batch);
        assert!(!db.is_cut_due());
        let report = db.maintain().unwrap();
        assert_eq!((report.blocks_cut, report.segments_unread), (0, 0));
        assert!(db.stats().head_chunks <= 4, "{} chunks", db.stats().head_chunks);
        if round == 20 {
            follower.read(30);
            let position = follower.position;
            came.append(&mut follower.came);
            drop(follower);
            drop(db);
            fs.restart(Loss::Nothing);
            db = try_open(&fs, &clock, options()).unwrap();
            db.keep_log_for(Duration::from_secs(3600));
            follower = Follower::open(&db, position);
        }
    }
    follower.read(usize::MAX);
    came.append(&mut follower.came);
    assert_eq!(came, expected);
    assert_eq!(db.stats().blocks, 0);
}
