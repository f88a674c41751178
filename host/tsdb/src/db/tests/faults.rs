//! Random histories: appends, commits, cuts, faults, crashes and restarts, against an ordered map.

use super::*;

#[derive(Debug, Clone)]
enum Op {
    /// Commits one batch: per item a series, how far its time goes on, a value, and a start.
    Commit(Vec<(usize, i64, Given, i64)>),
    Maintain,
    /// The changing call after so many more meets a fault.
    Inject(u64, Fault),
    Restart(Loss),
    Query(i64, i64, usize),
}

#[derive(Debug, Clone)]
enum Given {
    Float(f64),
    Histogram(Arc<Histogram>),
}

fn any_op() -> impl Strategy<Value = Op> {
    let given = prop_oneof![
        4 => any_float().prop_map(Given::Float),
        1 => any_histogram().prop_filter("a valid one", |h| h.validate().is_ok()).prop_map(Given::Histogram),
    ];
    prop_oneof![
        8 => vec((0usize..4, -20i64..300, given, any_start()), 1..6).prop_map(Op::Commit),
        2 => Just(Op::Maintain),
        2 => (0u64..12, any_fault()).prop_map(|(after, fault)| Op::Inject(after, fault)),
        1 => any_loss().prop_map(Op::Restart),
        2 => (0i64..5000, 0i64..3000, 0usize..4).prop_map(|(start, len, number)| Op::Query(start, start + len, number)),
    ]
}

/// The database, and what it must hold.
struct World {
    fs: SimFileSystem,
    clock: Arc<TestClock>,
    db: Option<Tsdb>,
    expected: Content,
    /// What it holds instead if a commit whose outcome nobody saw went through.
    unsure: Option<Content>,
    time: i64,
}

impl World {
    fn new() -> Self {
        let (fs, clock) = (SimFileSystem::default(), far_clock());
        let db = Some(open(&fs, &clock));
        Self { fs, clock, db, expected: Content::new(), unsure: None, time: 0 }
    }

    fn db(&self) -> &Tsdb {
        self.db.as_ref().unwrap()
    }

    fn commit(&mut self, items: &[(usize, i64, Given, i64)]) {
        let mut after = self.expected.clone();
        let db = self.db.as_ref().unwrap();
        let mut batch = db.appender();
        for (number, step, given, start) in items {
            let (labels, time) = (series(*number), self.time + step);
            let appended = match given {
                Given::Float(value) => batch.append(None, &labels, Sample::new(time, *value)),
                Given::Histogram(histogram) => batch.append_histogram(None, &labels, ms(time), histogram),
            };
            if let Ok(id) = appended {
                batch.append_start(id, ms(*start));
            }
            let seen = match given {
                Given::Float(value) => Seen::Float(value.to_bits()),
                Given::Histogram(histogram) => Seen::Histogram(histogram.clone()),
            };
            let known = after.get(&labels).and_then(|samples| samples.last_key_value());
            match (known, appended) {
                // What a cut has closed is refused without a look at the series.
                (_, Err(AppendError::OutOfBounds)) => {
                    let closed = db.stats().block_samples > 0 || self.unsure.is_some();
                    assert!(closed || time < self.time, "refused {time} though nothing was cut");
                }
                (Some((last, _)), Err(AppendError::OutOfOrder)) => assert!(time < *last),
                (Some(_), Err(AppendError::DuplicateTimestamp)) => {
                    assert!(after[&labels].get(&time).is_some_and(|known| *known.value() != seen));
                }
                (known, Ok(_)) => {
                    // A sample that is there already may come again, however late.
                    let there = after.get(&labels).and_then(|samples| samples.get(&time));
                    let repeated = there.map(Seen::value) == Some(&seen);
                    assert!(repeated || known.is_none_or(|(last, _)| time > *last));
                    if !repeated {
                        after.entry(labels).or_default().insert(time, seen.started(*start));
                    }
                }
                (_, Err(error)) => panic!("refused with {error}"),
            }
            self.time = self.time.max(time);
        }
        match batch.commit() {
            Ok(refused) => {
                assert_eq!(refused, []);
                self.expected = after;
            }
            // Refused before anything was written, or written and not acknowledged.
            Err(_) if self.fs.has_crashed() => self.unsure = self.unsure.take().or(Some(after)),
            Err(_) => {}
        }
    }

    /// Starts again; a start may itself meet the fault that is still pending, and must then work the next time.
    fn restart(&mut self, loss: Loss, pending: Option<(u64, Fault)>) {
        self.db = None;
        self.fs.restart(loss);
        if let Some((after, fault)) = pending {
            self.fs.fail(after, fault);
            match try_open(&self.fs, &self.clock, options(WalSync::Always)) {
                Ok(db) => drop(db),
                Err(error) => assert!(matches!(error, Error::Io { .. }), "{error}"),
            }
            self.fs.restart(loss);
        }
        let db = open(&self.fs, &self.clock);
        assert!(db.recovery().corruptions.is_empty(), "{:?}", db.recovery());
        assert_eq!(db.recovery().orphans, 0);
        self.db = Some(db);
        let found = everything(self.db());
        match self.unsure.take() {
            Some(after) if found == after => self.expected = after,
            _ => assert_eq!(found, self.expected),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Commit(items) => self.commit(&items),
            Op::Maintain => {
                let _ = self.db().maintain();
            }
            Op::Inject(after, fault) => self.fs.fail(after, fault),
            Op::Restart(loss) => self.restart(loss, Some((3, Fault::Error))),
            Op::Query(start, end, number) => {
                let matcher = Matcher::equal("n", number.to_string());
                let mut expected = self.expected.clone();
                expected.retain(|labels, samples| {
                    samples.retain(|time, _| (start..=end).contains(time));
                    matcher.matches_labels(labels) && !samples.is_empty()
                });
                assert_eq!(content(self.db(), &[matcher], start, end), expected);
            }
        }
        if self.fs.has_crashed() {
            self.restart(Loss::HalfOfUnsynced, None);
        }
        assert_eq!(everything(self.db()), self.expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_else_appears(ops in vec(any_op(), 1..60)) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
        }
        world.fs.clear_fault();
        world.restart(Loss::UnsyncedIsZeros, None);
    }
}

/// Every single step of a cut and of a checkpoint can be the last one before the power fails.
#[test]
fn maintenance_can_stop_at_any_step() {
    for fault in [Fault::Error, Fault::Crash] {
        for loss in [Loss::Nothing, Loss::Unsynced] {
            let mut step = 0;
            loop {
                let mut world = World::new();
                let items =
                    (0..20).map(|i| (i % 2, 200, Given::Float(i as f64), (i / 7) as i64)).collect::<Vec<_>>();
                world.commit(&items);
                assert_eq!(world.expected.values().map(BTreeMap::len).sum::<usize>(), 20);
                for time in (0..5000).step_by(250) {
                    world.time = 4000 + time;
                    world.commit(&[(2, 0, Given::Float(time as f64), 3), (3, 0, Given::Float(1.5), 0)]);
                }
                world.fs.fail(step, fault);
                let failed = world.db().maintain().is_err();
                let untouched = world.fs.clear_fault();
                if !world.fs.has_crashed() {
                    assert_eq!(everything(world.db()), world.expected);
                    world.db().maintain().unwrap();
                    assert_eq!(everything(world.db()), world.expected);
                }
                world.restart(loss, None);
                assert_eq!(failed, !untouched, "a fault at step {step} went unnoticed");
                if untouched {
                    break;
                }
                step += 1;
            }
            assert!(step > 20, "maintenance took only {step} steps");
        }
    }
}

#[test]
fn a_torn_tail_is_cut_off_at_every_length() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    append(&db, 1, 1, 1.0);
    append(&db, 1, 2, 2.0);
    drop(db);
    let path = Path::new(DIR).join("wal/00000001.wal");
    let whole = fs.bytes(&path);
    for len in 0..whole.len() {
        let fs = SimFileSystem::default();
        fs.set_bytes(&path, &whole[..len]);
        let db = open(&fs, &clock);
        assert!(db.recovery().corruptions.is_empty(), "cut at {len}: {:?}", db.recovery());
        let samples = everything(&db).values().map(BTreeMap::len).sum::<usize>();
        assert!(samples < 2, "{samples} samples of a log cut at {len}");
        append(&db, 1, 3, 3.0);
        drop(db);
        let db = open(&fs, &clock);
        assert_eq!(everything(&db)[&series(1)].len(), samples + 1);
    }
}

#[test]
fn corruption_in_the_middle_is_named_and_set_aside() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    for time in 0..5 {
        append(&db, 1, time, time as f64);
    }
    drop(db);
    let path = Path::new(DIR).join("wal/00000001.wal");
    let whole = fs.bytes(&path);
    let frames: Vec<usize> =
        (0..whole.len()).filter(|at| whole[*at..].starts_with(&[b'S', b'G', b'F', 0xf1])).collect();
    let damaged_at = frames[2] + 14;
    let mut damaged = whole;
    damaged[damaged_at] ^= 1;
    fs.set_bytes(&path, &damaged);
    let db = open(&fs, &clock);
    let [Error::Corrupt { path: named, offset, .. }] = &db.recovery().corruptions[..] else {
        panic!("{:?}", db.recovery());
    };
    assert_eq!((named.as_path(), *offset), (path.as_path(), frames[2] as u64));
    let kept = Content::from([(series(1), floats(&[(0, 0.0), (1, 1.0), (3, 3.0), (4, 4.0)]))]);
    assert_eq!(everything(&db), kept);
    drop(db);
    assert_eq!(fs.bytes(&path.with_extension("wal.corrupt")), damaged);
    let db = open(&fs, &clock);
    assert!(db.recovery().corruptions.is_empty());
    assert_eq!(everything(&db), kept);
}

#[test]
fn a_damaged_block_is_noticed_wherever_the_damage_is() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    for time in (0..3000).step_by(20) {
        append(&db, 1, time, (time as f64).sqrt());
    }
    db.maintain().unwrap();
    let expected = everything(&db);
    drop(db);
    let path = Path::new(DIR).join("blocks/00000001.block");
    let whole = fs.bytes(&path);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs.restart(Loss::Nothing);
        fs.set_bytes(&path, &damaged);
        let clock = far_clock();
        let db = open(&fs, &clock);
        let noticed = match &db.recovery().corruptions[..] {
            [] => db.select(&[], ms(0), ms(999)).unwrap()[0]
                .read(ms(0), ms(999), &mut Collect::default())
                .is_err(),
            [Error::Corrupt { path: named, .. }] => *named == path,
            other => panic!("{other:?}"),
        };
        assert!(noticed, "damage at byte {at} of {} went unnoticed", whole.len());
    }
    fs.set_bytes(&path, &whole);
    assert_eq!(everything(&open(&fs, &clock)), expected);
}
