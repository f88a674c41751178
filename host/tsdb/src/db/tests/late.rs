//! Late samples, and batches that are committed side by side.

use super::*;

const WINDOW: i64 = 1500;

fn windowed() -> Options {
    let out_of_order_window = Duration::from_millis(WINDOW.unsigned_abs());
    Options { out_of_order_window, ..options(WalSync::Always) }
}

/// Commits one sample alone.
fn put(db: &Tsdb, number: usize, time: i64, value: f64) -> std::result::Result<(), AppendError> {
    let mut batch = db.appender();
    batch.append(None, &series(number), Sample::new(time, value))?;
    match batch.commit().unwrap().pop() {
        Some(refused) => Err(refused.error),
        None => Ok(()),
    }
}

/// Of two samples of one batch, series and time the first one stays, of whichever kinds they are.
#[test]
fn of_late_samples_of_one_time_the_first_stays() {
    let histogram = Seen::Histogram(Arc::new(Histogram::stale()));
    for histogram_first in [true, false] {
        for newest in [None, Some(1000)] {
            let db = try_open(&SimFileSystem::default(), &far_clock(), windowed()).unwrap();
            let mut batch = db.appender();
            newest.map(|time| batch.append(None, &series(1), Sample::new(time, 0.0)).unwrap());
            for is_histogram in [histogram_first, true, false] {
                let (id, time) = (series(1), ms(500));
                let taken = if is_histogram {
                    batch.append_histogram(None, &id, time, &Histogram::stale())
                } else {
                    batch.append(None, &id, Sample::new(500, 1.0))
                };
                // Without a newer one the batch tells at once.
                let told_at_once = newest.is_none() && is_histogram != histogram_first;
                assert_eq!(taken.err(), told_at_once.then_some(AppendError::DuplicateTimestamp));
            }
            let refused: Vec<_> =
                batch.commit().unwrap().into_iter().map(|r| (r.timestamp, r.error)).collect();
            let told = (ms(500), AppendError::DuplicateTimestamp);
            assert_eq!(refused, newest.map(|_| told).into_iter().collect::<Vec<_>>());
            let mut expected: BTreeMap<i64, Seen> =
                newest.map(|_| floats(&[(1000, 0.0)])).unwrap_or_default();
            let float = Seen::Float(1f64.to_bits());
            expected.insert(500, if histogram_first { histogram.clone() } else { float });
            assert_eq!(everything(&db), Content::from([(series(1), expected)]));
        }
    }
}

#[test]
fn late_samples_are_taken_within_the_window_and_end_up_in_blocks() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = try_open(&fs, &clock, windowed()).unwrap();
    for time in [100, 900, 2600] {
        assert_eq!(put(&db, 1, time, time as f64), Ok(()));
    }
    db.maintain().unwrap();
    assert_eq!(db.stats().blocks, 1);
    assert_eq!(put(&db, 1, 1099, 0.0), Err(AppendError::TooOld));
    assert_eq!(put(&db, 1, 1100, 1.0), Ok(()), "of a range that is in no block yet");
    assert_eq!(put(&db, 1, 1100, 1.0), Ok(()), "the same again");
    assert_eq!(put(&db, 1, 1100, 2.0), Err(AppendError::DuplicateTimestamp));
    db.set_out_of_order_window(Duration::from_millis(2000));
    assert_eq!(put(&db, 1, 700, 7.0), Ok(()), "of a range that is in a block");
    assert_eq!(put(&db, 1, 700, 8.0), Err(AppendError::DuplicateTimestamp));
    assert_eq!(put(&db, 1, 900, 8.0), Err(AppendError::DuplicateTimestamp), "the block has another");
    assert_eq!(put(&db, 1, 900, 900.0), Ok(()), "the block has the same");
    assert_eq!(put(&db, 2, 650, 6.0), Ok(()), "a series that the block does not know");
    let mut batch = db.appender();
    batch.append_histogram(None, &series(1), ms(800), &Histogram::stale()).unwrap();
    assert_eq!(batch.commit().unwrap(), []);

    let stale = Seen::Histogram(Arc::new(Histogram::stale()));
    let mut of_first = floats(&[(100, 100.0), (700, 7.0), (900, 900.0), (1100, 1.0), (2600, 2600.0)]);
    of_first.insert(800, stale);
    let expected = Content::from([(series(1), of_first), (series(2), floats(&[(650, 6.0)]))]);
    assert_eq!(everything(&db), expected);
    drop(db);
    let db = try_open(&fs, &clock, windowed()).unwrap();
    assert_eq!(everything(&db), expected, "after a restart");
    assert_eq!(content(&db, &[], 650, 650).len(), 1);

    // Nothing as old can come any more: the block is written anew, and the log lets go of them.
    let report = db.maintain().unwrap();
    assert_eq!((report.blocks_rewritten, report.checkpointed), (1, true));
    assert_eq!(everything(&db), expected, "after the block was written anew");
    drop(db);
    let db = try_open(&fs, &clock, options(WalSync::Always)).unwrap();
    assert_eq!(everything(&db), expected);
    assert_eq!(db.stats().block_samples, 6);
    assert_eq!(put(&db, 1, 2000, 0.0), Err(AppendError::OutOfOrder), "without a window none is taken");
}

#[test]
fn a_late_sample_of_a_range_without_a_block_makes_one() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let wide = Options { out_of_order_window: Duration::from_secs(10), ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, wide).unwrap();
    for time in [5100, 6900] {
        assert_eq!(put(&db, 1, time, 1.0), Ok(()));
    }
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    for time in [-2100, 1200, 1300, 5200] {
        assert_eq!(put(&db, 1, time, 2.0), Ok(()));
    }
    let expected = everything(&db);
    assert_eq!(expected[&series(1)].len(), 6);
    db.set_out_of_order_window(Duration::ZERO);
    assert_eq!(db.maintain().unwrap().blocks_rewritten, 3);
    assert_eq!(everything(&db), expected);
    drop(db);
    assert_eq!(everything(&open(&fs, &clock)), expected);
}

/// What writes late samples to blocks leaves the head a range whose cut has failed.
#[test]
fn late_samples_of_a_range_whose_cut_failed_are_cut_with_it() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let wide = Options { out_of_order_window: Duration::from_secs(10), ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, wide.clone()).unwrap();
    for (number, time) in [(0, 200), (0, 1200), (0, 2700), (0, 1500), (1, 1600)] {
        assert_eq!(put(&db, number, time, 1.0), Ok(()));
    }
    let mut expected = everything(&db);
    // The block of the first range is written, that of the second is not.
    let before = fs.calls();
    let mut after = 0;
    while db.stats().blocks == 0 {
        fs.fail(after, Fault::Error);
        assert!(db.maintain().is_err(), "no fault was met");
        after += 1;
    }
    assert!(fs.calls() > before);
    assert_eq!(db.stats().blocks, 1);
    assert_eq!(db.delete(&[Matcher::equal("n", "0")], ms(2700), ms(2700)).unwrap(), 1);
    expected.get_mut(&series(0)).unwrap().remove(&2700);
    for _ in 0..2 {
        assert_eq!(everything(&db), expected);
        let again = try_open(&fs.copy(), &clock, wide.clone()).unwrap();
        assert_eq!(everything(&again), expected, "after a restart");
        db.maintain().unwrap();
    }
    drop(db);
    assert_eq!(everything(&try_open(&fs, &clock, wide).unwrap()), expected);
}

#[test]
fn a_deletion_reaches_late_samples() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let wide = Options { out_of_order_window: Duration::from_secs(10), ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, wide.clone()).unwrap();
    for time in [100, 2600, 2000, 500] {
        assert_eq!(put(&db, 1, time, 1.0), Ok(()));
        db.maintain().unwrap();
    }
    db.delete(&[], ms(400), ms(2100)).unwrap();
    for _ in 0..2 {
        assert_eq!(everything(&db)[&series(1)].keys().collect::<Vec<_>>(), [&100, &2600]);
        db.set_out_of_order_window(Duration::ZERO);
        db.maintain().unwrap();
    }
    drop(db);
    assert_eq!(everything(&try_open(&fs, &clock, wide).unwrap())[&series(1)].len(), 2);
}

#[derive(Debug, Clone)]
enum Op {
    Commit(Vec<(usize, i64, i8, i64)>),
    Maintain,
    Inject(u64, Fault),
    Restart(Loss),
}

fn any_op() -> impl Strategy<Value = Op> {
    let loss = prop::sample::select(vec![Loss::Nothing, Loss::HalfOfUnsynced, Loss::UnsyncedIsZeros]);
    prop_oneof![
        8 => vec((0usize..3, -2500i64..400, 0i8..3, any_start()), 1..6).prop_map(Op::Commit),
        2 => Just(Op::Maintain),
        1 => (0u64..15, any_fault()).prop_map(|(after, fault)| Op::Inject(after, fault)),
        1 => loss.prop_map(Op::Restart),
    ]
}

/// The database, what it must hold, and what it holds instead if a commit that nobody saw the end of went through.
struct World {
    fs: SimFileSystem,
    db: Option<Tsdb>,
    expected: Content,
    unsure: Option<Content>,
    newest: i64,
}

impl World {
    fn commit(&mut self, items: &[(usize, i64, i8, i64)]) {
        let mut after = self.expected.clone();
        let base = self.newest;
        let db = self.db.as_ref().unwrap();
        let mut batch = db.appender();
        let mut added: Vec<(SeriesRef, Labels, i64, Seen)> = Vec::new();
        for (number, step, value, start) in items {
            // Multiples of ten: repeated times are frequent.
            let (labels, time) = (series(*number), (base + step) / 10 * 10);
            let seen = Seen::Float(f64::from(*value).to_bits());
            match batch.append(None, &labels, Sample::new(time, f64::from(*value))) {
                Ok(id) => {
                    batch.append_start(id, ms(*start));
                    added.push((id, labels, time, seen.started(*start)));
                }
                Err(AppendError::DuplicateTimestamp) => {
                    let same_batch =
                        added.iter().any(|a| a.1 == labels && a.2 == time && *a.3.value() != seen);
                    let there =
                        after.get(&labels).and_then(|all| all.get(&time)).is_some_and(|v| *v.value() != seen);
                    assert!(same_batch || there, "no other value at {time}");
                }
                Err(AppendError::TooOld) => assert!(time < base - WINDOW, "{time} is not too old at {base}"),
                Err(error) => panic!("refused with {error}"),
            }
        }
        let result = batch.commit();
        let refused = result.as_ref().map(Vec::clone).unwrap_or_default();
        for (id, labels, time, seen) in added {
            let all = after.entry(labels).or_default();
            let known = all.get(&time).map(Seen::value);
            if known == Some(seen.value()) {
                // There already, with the start that it came with first.
            } else if known.is_some() {
                let told = refused.iter().any(|r| {
                    r.series == id && r.timestamp == ms(time) && r.error == AppendError::DuplicateTimestamp
                });
                assert!(told || result.is_err(), "another value at {time} was taken without a word");
            } else {
                all.insert(time, seen);
                self.newest = self.newest.max(time);
            }
        }
        after.retain(|_, samples| !samples.is_empty());
        match result {
            Ok(_) => self.expected = after,
            Err(_) if self.fs.has_crashed() => self.unsure = self.unsure.take().or(Some(after)),
            Err(_) => {}
        }
    }

    fn restart(&mut self, loss: Loss) {
        self.db = None;
        self.fs.restart(loss);
        let db = try_open(&self.fs, &far_clock(), windowed()).unwrap();
        assert!(db.recovery().corruptions.is_empty(), "{:?}", db.recovery());
        assert_eq!(db.recovery().orphans, 0);
        let found = everything(&db);
        self.db = Some(db);
        match self.unsure.take() {
            Some(after) if found == after => self.expected = after,
            _ => assert_eq!(found, self.expected),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Commit(items) => self.commit(&items),
            Op::Maintain => drop(self.db.as_ref().unwrap().maintain()),
            Op::Inject(after, fault) => self.fs.fail(after, fault),
            Op::Restart(loss) => {
                self.fs.clear_fault();
                self.restart(loss);
            }
        }
        if self.fs.has_crashed() {
            self.restart(Loss::HalfOfUnsynced);
        }
        assert_eq!(everything(self.db.as_ref().unwrap()), self.expected);
        let newest = self.expected.values().filter_map(|all| all.last_key_value()).map(|(time, _)| *time);
        self.newest = newest.max().unwrap_or(0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn nothing_late_that_was_acknowledged_is_lost(ops in vec(any_op(), 1..50)) {
        let fs = SimFileSystem::default();
        let db = Some(try_open(&fs, &far_clock(), windowed()).unwrap());
        let mut world = World { fs, db, expected: Content::new(), unsure: None, newest: 0 };
        for op in ops {
            world.step(op);
        }
        world.fs.clear_fault();
        world.restart(Loss::UnsyncedIsZeros);
    }
}

/// Writers commit side by side until the power fails, at any write. What was acknowledged is there, and of every batch
/// there is all or nothing.
#[test]
fn batches_side_by_side_survive_whole_or_not_at_all() {
    const WRITERS: usize = 3;
    for step in 0..60 {
        let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
        let db = open(&fs, &clock);
        let acknowledged: Vec<i64> = std::thread::scope(|scope| {
            let write = |writer: usize| {
                let (db, fs) = (&db, &fs);
                move || {
                    let mut last = -1;
                    for time in 0..40 {
                        let mut batch = db.appender();
                        for number in [writer, writer + WRITERS] {
                            batch.append(None, &series(number), Sample::new(time, time as f64)).unwrap();
                        }
                        // One series is everybody's: who comes second has the same sample, or an older one.
                        let _ = batch.append(None, &series(99), Sample::new(time, 1.0));
                        if writer == 0 && time == 5 {
                            fs.fail(step, Fault::Crash);
                        }
                        match batch.commit() {
                            Ok(_) => last = time,
                            Err(_) => break,
                        }
                    }
                    last
                }
            };
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        drop(db);
        fs.restart(Loss::HalfOfUnsynced);
        let seen = everything(&open(&fs, &clock));
        for (writer, last) in acknowledged.into_iter().enumerate() {
            let (one, other) = (seen.get(&series(writer)), seen.get(&series(writer + WRITERS)));
            assert_eq!(one, other, "part of a batch at step {step}");
            let count = one.map_or(0, |samples| samples.len()) as i64;
            assert!(count > last, "{last} was acknowledged, {count} samples are there at step {step}");
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    for time in 0..90 {
        append(&db, 1, time, 1.0);
    }
    drop(db);
    let dir = Path::new(DIR).join("wal");
    let names = fs.list(&dir).unwrap();
    assert!(names.len() > 3, "{names:?}");
    let gone = dir.join("00000002.wal");
    fs.remove(&gone).unwrap();
    let db = open(&fs, &clock);
    let [Error::Corrupt { path, what, .. }] = &db.recovery().corruptions[..] else {
        panic!("{:?}", db.recovery());
    };
    assert_eq!(*path, gone);
    assert!(what.contains("missing") && what.contains("number 3"), "{what}");
    let kept = everything(&db);
    assert!(kept[&series(1)].len() < 90);
    drop(db);
    let db = open(&fs, &clock);
    assert!(db.recovery().corruptions.is_empty(), "{:?}", db.recovery());
    assert_eq!(everything(&db), kept);
}

/// Late batches of different series share one write and one sync; two of the same series are judged one after the other.
#[test]
fn late_batches_that_wait_together_are_written_together() {
    const BATCHES: usize = 6;
    let fs = SimFileSystem::default();
    // No segment ends meanwhile.
    let options = Options { wal_segment_bytes: 1 << 30, ..windowed() };
    let db = try_open(&fs, &far_clock(), options).unwrap();
    for number in 0..BATCHES {
        put(&db, number, 1000, 0.0).unwrap();
    }
    let commits = |values: &[(usize, f64)]| {
        let before = fs.calls();
        let alone = db.shared.flight.write();
        std::thread::scope(|scope| {
            let put = |(number, value): (usize, f64)| {
                let db = &db;
                scope.spawn(move || put(db, number, 500 + value as i64 / 10, value))
            };
            let threads: Vec<_> = values.iter().copied().map(put).collect();
            while db.shared.waiting.lock().len() < values.len() {
                std::thread::yield_now();
            }
            drop(alone);
            let refused = threads.into_iter().map(|thread| thread.join().unwrap());
            (refused.filter(|result| result.is_err()).count(), fs.calls() - before)
        })
    };
    let apart: Vec<_> = (0..BATCHES).map(|number| (number, 1.0)).collect();
    assert_eq!(commits(&apart), (0, 2), "one write, one sync");
    // Two values of one series for one time: one of them is refused, and the one of another series goes along.
    assert_eq!(commits(&[(0, 21.0), (0, 22.0), (1, 21.0)]), (1, 2));
    let expected = everything(&db);
    assert_eq!(expected[&series(1)].len(), 3);
    drop(db);
    assert_eq!(everything(&try_open(&fs, &far_clock(), windowed()).unwrap()), expected);
}
