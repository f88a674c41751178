//! What each operation promises, one at a time.

use model::staleness::STALE_NAN;

use super::*;

#[test]
fn what_was_committed_is_seen_and_nothing_else() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let mut batch = db.appender();
    batch.append(None, &series(1), Sample::new(10, 1.0)).unwrap();
    assert!(everything(&db).is_empty());
    assert!(db.label_names(&[], ms(0), ms(100)).unwrap().is_empty());
    batch.commit().unwrap();
    let mut dropped = db.appender();
    dropped.append(None, &series(2), Sample::new(10, 1.0)).unwrap();
    drop(dropped);
    assert_eq!(everything(&db), Content::from([(series(1), floats(&[(10, 1.0)]))]));
    assert_eq!(db.maintain().unwrap().series_removed, 1);
    assert_eq!(db.stats().head_series, 1);
}

#[test]
fn samples_are_refused_as_prometheus_does() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let id = append(&db, 1, 10, f64::NAN);
    let mut batch = db.appender();
    let mut try_append = |time, value| batch.append(Some(id), &series(1), Sample::new(time, value)).map(drop);
    assert_eq!(try_append(10, f64::NAN), Ok(()));
    assert_eq!(try_append(10, 0.0), Err(AppendError::DuplicateTimestamp));
    assert_eq!(try_append(9, f64::NAN), Err(AppendError::OutOfOrder));
    assert_eq!(try_append(11, 0.0), Ok(()));
    assert_eq!(try_append(11, -0.0), Err(AppendError::DuplicateTimestamp));
    assert_eq!(try_append(10, f64::NAN), Ok(()), "what is visible already is no reason to complain");
    assert_eq!(try_append(9, 0.0), Err(AppendError::OutOfOrder));
    let refused = batch.append(None, &Labels::empty(), Sample::new(1, 1.0));
    assert!(matches!(refused, Err(AppendError::InvalidLabels(_))));
    batch.commit().unwrap();
    assert_eq!(everything(&db), Content::from([(series(1), floats(&[(10, f64::NAN), (11, 0.0)]))]));
}

#[test]
fn labels_decide_over_a_wrong_reference() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let one = append(&db, 1, 10, 1.0);
    let mut batch = db.appender();
    let two = batch.append(Some(one), &series(2), Sample::new(10, 2.0)).unwrap();
    batch.append(Some(SeriesRef(u64::MAX)), &series(3), Sample::new(10, 3.0)).unwrap();
    batch.commit().unwrap();
    assert_ne!(one, two);
    assert_eq!(everything(&db).len(), 3);
    assert_eq!(everything(&db)[&series(2)], floats(&[(10, 2.0)]));
}

#[test]
fn exemplars_and_metadata_survive_cut_and_restart() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let exemplar = |time, value: f64| Exemplar {
        labels: Labels::from_pairs([("trace_id", "abc")]),
        value,
        timestamp: ms(time),
    };
    let metadata = Metadata {
        kind: MetricKind::Counter,
        help: "What it counts.".to_owned(),
        unit: "seconds".to_owned(),
    };
    let check = |db: &Tsdb| {
        let found = db.exemplars(&[Matcher::equal("n", "1")], ms(0), ms(5000)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].labels, series(1));
        assert_eq!(found[0].exemplars, [exemplar(5, 1.0), exemplar(5, 2.0), exemplar(2600, 3.0)]);
        let late = db.exemplars(&[], ms(100), ms(5000)).unwrap();
        assert_eq!(late[0].exemplars, [exemplar(2600, 3.0)]);
        assert!(db.exemplars(&[Matcher::equal("n", "2")], ms(0), ms(5000)).unwrap().is_empty());
        assert_eq!(db.metadata(), [("m".to_owned(), metadata.clone())]);
    };
    let db = open(&fs, &clock);
    let id = append(&db, 1, 10, 1.0);
    append(&db, 2, 2600, 1.0);
    let mut batch = db.appender();
    for given in [exemplar(5, 1.0), exemplar(5, 1.0), exemplar(5, 2.0), exemplar(2600, 3.0)] {
        batch.append_exemplar(id, &given).unwrap();
    }
    assert_eq!(batch.append_exemplar(id, &exemplar(4, 1.0)), Err(AppendError::OutOfOrderExemplar));
    assert_eq!(
        batch.append_exemplar(SeriesRef(999), &exemplar(4, 1.0)),
        Err(AppendError::UnknownSeries(999))
    );
    let long = Exemplar { labels: Labels::from_pairs([("a", "x".repeat(128))]), ..exemplar(9, 1.0) };
    assert_eq!(batch.append_exemplar(id, &long), Err(AppendError::ExemplarTooLong));
    batch.append_metadata("m", &metadata);
    batch.commit().unwrap();
    check(&db);
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    check(&db);
    drop(db);
    let db = open(&fs, &clock);
    check(&db);
    let mut batch = db.appender();
    assert_eq!(batch.append_exemplar(id, &exemplar(4, 1.0)), Err(AppendError::OutOfBounds));
}

#[test]
fn a_cut_moves_whole_ranges_and_shortens_the_log() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let db = open(&fs, &clock);
    for time in (0..4000).step_by(10) {
        append(&db, 1, time, time as f64);
    }
    assert_eq!(db.maintain().unwrap().blocks_cut, 0, "cut by samples from the future");
    clock.set(2499);
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    clock.set(4000);
    let before = db.stats();
    let selected = db.select(&[], ms(0), ms(4000)).unwrap();
    let report = db.maintain().unwrap();
    assert_eq!((report.blocks_cut, report.blocks_compacted, report.checkpointed), (2, 1, true));
    let after = db.stats();
    assert!(after.wal_bytes < before.wal_bytes, "{} to {}", before.wal_bytes, after.wal_bytes);
    assert_eq!((after.blocks, after.block_samples, after.head_series), (1, 300, 1));
    assert_eq!(after.head_min_time, Some(ms(3000)));
    let mut old = Collect::default();
    selected[0].read(ms(0), ms(4000), &mut old).unwrap();
    assert_eq!(old.0.len(), 400, "a selection from before the cut reads on");
    assert_eq!(everything(&db)[&series(1)].len(), 400);
    assert_eq!(content(&db, &[], 995, 1005)[&series(1)], floats(&[(1000, 1000.0)]));
    let mut batch = db.appender();
    assert_eq!(batch.append(None, &series(2), Sample::new(2999, 0.0)), Err(AppendError::OutOfBounds));
    assert!(batch.append(None, &series(2), Sample::new(3000, 0.0)).is_ok());
    drop(batch);
    drop(db);
    let db = open(&fs, &clock);
    assert_eq!(everything(&db)[&series(1)].len(), 400);
    assert_eq!(db.stats().head_min_time, Some(ms(3000)));
}

#[test]
fn what_a_cut_overtakes_is_refused_by_name_and_the_rest_is_kept() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    append(&db, 1, 10, 1.0);
    let mut late = db.appender();
    let id = late.append(None, &series(2), Sample::new(20, 1.0)).unwrap();
    late.append(None, &series(3), Sample::new(2600, 1.0)).unwrap();
    append(&db, 1, 2600, 1.0);
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    let refused = [Refused { series: id, timestamp: ms(20), error: AppendError::OutOfBounds }];
    assert_eq!(late.commit().unwrap(), refused);
    let seen = everything(&db);
    assert_eq!(seen.keys().collect::<Vec<_>>(), [&series(1), &series(3)]);
    drop(db);
    assert_eq!(everything(&open(&fs, &clock)), seen);
}

#[test]
fn of_two_batches_with_the_same_time_the_first_commit_counts() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let id = append(&db, 1, 10, 1.0);
    let (mut first, mut second, mut third) = (db.appender(), db.appender(), db.appender());
    for (batch, time, value) in [(&mut first, 20, 2.0), (&mut second, 20, 3.0), (&mut third, 20, 2.0)] {
        batch.append(Some(id), &series(1), Sample::new(time, value)).unwrap();
        batch.append(None, &series(2), Sample::new(value as i64, value)).unwrap();
    }
    second.append(Some(id), &series(1), Sample::new(30, 4.0)).unwrap();
    assert_eq!(first.commit().unwrap(), []);
    let refused = Refused { series: id, timestamp: ms(20), error: AppendError::DuplicateTimestamp };
    assert_eq!(second.commit().unwrap(), [refused]);
    // Of the third, both samples are there already, exactly or as something older than the newest.
    let refused = third.commit().unwrap();
    assert_eq!(refused.iter().map(|r| &r.error).collect::<Vec<_>>(), [&AppendError::OutOfOrder; 2]);
    let expected = Content::from([
        (series(1), floats(&[(10, 1.0), (20, 2.0), (30, 4.0)])),
        (series(2), floats(&[(2, 2.0), (3, 3.0)])),
    ]);
    assert_eq!(everything(&db), expected);
    drop(db);
    assert_eq!(everything(&open(&fs, &clock)), expected);
}

#[test]
fn columns_go_by_reference_and_name_what_they_cannot_take() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let ids: Vec<SeriesRef> = (0..200).map(|number| append(&db, number, 10, 1.0)).collect();
    let unknown = [SeriesRef(0), SeriesRef(9999), SeriesRef(u64::MAX), SeriesRef(ids[5].0 | 1 << 32)];
    let mut refs: Vec<SeriesRef> = ids.iter().rev().copied().collect();
    refs.extend(unknown);
    refs.extend([ids[7], ids[7]]);
    let values: Vec<f64> = (0..refs.len()).map(|at| at as f64).collect();
    assert!(FloatColumns::at(ms(20), &refs, &values[1..]).is_none());
    let (mut batch, mut refused) = (db.appender(), Vec::new());
    batch.append_columns(&FloatColumns::at(ms(20), &refs, &values).unwrap(), &mut refused);
    let mut expected: Vec<(usize, AppendError)> =
        unknown.iter().enumerate().map(|(at, id)| (200 + at, AppendError::UnknownSeries(id.0))).collect();
    expected.extend([(204, AppendError::DuplicateTimestamp), (205, AppendError::DuplicateTimestamp)]);
    assert_eq!(refused, expected);
    refused.clear();
    let times = [ms(5), ms(20), ms(30), ms(25)];
    let again = [ids[1], ids[1], ids[1], ids[1]];
    let timed = FloatColumns::timed(&again, &times, &[1.0, 198.0, 3.0, 2.0]).unwrap();
    batch.append_columns(&timed, &mut refused);
    assert_eq!(refused, [(0, AppendError::OutOfOrder), (3, AppendError::OutOfOrder)]);
    assert_eq!(batch.commit().unwrap(), []);
    let seen = everything(&db);
    assert_eq!(seen[&series(1)], floats(&[(10, 1.0), (20, 198.0), (30, 3.0)]));
    assert_eq!(seen[&series(199)], floats(&[(10, 1.0), (20, 0.0)]));
    drop(db);
    assert_eq!(everything(&open(&fs, &clock)), seen);
}

#[test]
fn a_span_finds_its_series_while_it_is_there() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let id = append(&db, 1, 10, 1.0);
    assert_eq!(db.resolve(series(1).as_encoded()), Some(id));
    assert_eq!(db.resolve(series(2).as_encoded()), None);
    assert_eq!(db.resolve(b"no span"), None);
    append(&db, 2, 2600, 1.0);
    assert_eq!(db.maintain().unwrap().series_removed, 1);
    assert_eq!(db.resolve(series(1).as_encoded()), None);
    let mut refused = Vec::new();
    let columns = FloatColumns::at(ms(3000), std::slice::from_ref(&id), &[1.0]).unwrap();
    db.appender().append_columns(&columns, &mut refused);
    assert_eq!(refused, [(0, AppendError::UnknownSeries(id.0))]);
}

#[test]
fn blocks_past_retention_go() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(10_000));
    let options =
        Options { retention: Retention::of_time(Duration::from_millis(5000)), ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, options).unwrap();
    for time in (0..10_000).step_by(500) {
        append(&db, 1, time, 1.0);
    }
    append(&db, 1, 1_000_000, 1.0);
    let report = db.maintain().unwrap();
    assert_eq!(
        (report.blocks_cut, report.blocks_removed),
        (9, 5),
        "the present is 10000, not the sample's 1000000"
    );
    assert_eq!(everything(&db)[&series(1)].first_key_value().unwrap().0, &5000);
    drop(db);
    assert_eq!(open(&fs, &clock).stats().blocks, 4);
}

#[test]
fn label_questions_see_head_and_blocks() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    append(&db, 1, 10, 1.0);
    append(&db, 2, 500, 1.0);
    append(&db, 3, 2600, 1.0);
    for _ in 0..2 {
        let values = |matchers: &[Matcher], start, end| {
            db.label_values("n", matchers, ms(start), ms(end)).unwrap().concat()
        };
        assert_eq!(values(&[], 0, 3000), "123");
        assert_eq!(values(&[], 0, 100), "1");
        assert_eq!(values(&[], 400, 3000), "23");
        assert_eq!(values(&[Matcher::equal("n", "2")], 0, 3000), "2");
        assert_eq!(db.label_names(&[], ms(0), ms(3000)).unwrap(), ["__name__", "n"]);
        assert!(db.label_names(&[], ms(11), ms(400)).unwrap().is_empty());
        assert_eq!(content(&db, &[Matcher::equal("n", "1")], 0, 3000).len(), 1);
        db.maintain().unwrap();
    }
    assert_eq!(db.stats().blocks, 1);
    let cardinality = db.cardinality(1);
    assert_eq!(cardinality.series_by_metric, [("m".to_owned(), 1)]);
    assert_eq!(cardinality.series_by_pair, [("__name__=m".to_owned(), 1)]);
}

#[test]
fn a_directory_has_one_owner_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let real: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
    let open = || Tsdb::open(dir.path(), options(WalSync::Always), real.clone(), far_clock());
    let db = open().unwrap();
    assert!(matches!(open(), Err(Error::Locked { .. })));
    for time in (0..3000).step_by(100) {
        append(&db, 1, time, time as f64);
    }
    let before = everything(&db);
    assert_eq!(db.maintain().unwrap().blocks_cut, 2);
    assert_eq!(everything(&db), before);
    db.close().unwrap();
    db.close().unwrap();
    let mut batch = db.appender();
    batch.append(None, &series(1), Sample::new(9000, 1.0)).unwrap();
    assert!(batch.commit().unwrap_err().to_string().contains("closed"));
    drop(db);
    let db = open().unwrap();
    assert_eq!(everything(&db), before);
    assert!(db.recovery().corruptions.is_empty());
}

#[test]
fn many_writers_and_readers_at_once() {
    const COMMITS: i64 = 300;
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let options = Options { wal_segment_bytes: 1 << 20, ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, options.clone()).unwrap();
    let times = [const { AtomicI64::new(0) }; 4];
    std::thread::scope(|scope| {
        let writers: Vec<_> = times
            .iter()
            .enumerate()
            .map(|(writer, reached)| {
                let db = &db;
                scope.spawn(move || {
                    for time in (0..COMMITS).map(|i| i * 10) {
                        let mut batch = db.appender();
                        // Two series in one batch: whoever reads sees both or neither.
                        for number in [writer * 2, writer * 2 + 1] {
                            batch.append(None, &series(number), Sample::new(time, time as f64)).unwrap();
                        }
                        batch.commit().unwrap();
                        reached.store(time, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            // The clock follows the slowest writer, so that no cut overtakes it.
            clock.set(times.iter().map(|time| time.load(Ordering::SeqCst)).min().unwrap());
            db.maintain().unwrap();
            let seen = selected(&db, &[], i64::MIN, i64::MAX);
            for writer in 0..4 {
                assert_eq!(seen.get(&series(writer * 2)), seen.get(&series(writer * 2 + 1)));
            }
        }
    });
    clock.set(COMMITS * 10);
    db.maintain().unwrap();
    let before = selected(&db, &[], i64::MIN, i64::MAX);
    assert_eq!(db.stats().blocks, 2);
    assert_eq!(before.values().map(BTreeMap::len).sum::<usize>(), 8 * COMMITS as usize);
    drop(db);
    assert_eq!(everything(&try_open(&fs, &clock, options).unwrap()), before);
}

#[test]
fn batches_that_wait_for_the_log_share_one_write_and_one_sync() {
    const BATCHES: usize = 6;
    let fs = SimFileSystem::default();
    let options = Options { wal_segment_bytes: 1 << 30, ..options(WalSync::Always) };
    let db = try_open(&fs, &far_clock(), options).unwrap();
    let before = fs.calls();
    let log = db.shared.wal.lock();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..BATCHES)
            .map(|number| {
                scope.spawn({
                    let db = &db;
                    move || append(db, number, 1000, 1.0)
                })
            })
            .collect();
        while db.shared.queue.lock().len() < BATCHES {
            std::thread::yield_now();
        }
        drop(log);
        for thread in threads {
            thread.join().unwrap();
        }
    });
    assert_eq!(fs.calls() - before, 2, "one write, one sync");
    drop(db);
    fs.restart(Loss::Unsynced);
    assert_eq!(everything(&open(&fs, &far_clock())).len(), BATCHES);
}

#[test]
fn new_series_over_the_limit_are_refused_and_the_others_go_on() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let limited = || Options { head_series_max: Some(2), ..options(WalSync::Always) };
    let db = try_open(&fs, &clock, limited()).unwrap();
    append(&db, 1, 0, 1.0);
    append(&db, 2, 0, 2.0);
    let mut batch = db.appender();
    let refused = batch.append(None, &series(3), Sample::new(10, 3.0));
    assert_eq!(refused, Err(AppendError::SeriesLimit { limit: "head_series_max".to_owned() }));
    batch.append(None, &series(1), Sample::new(10, 1.5)).unwrap();
    batch.commit().unwrap();
    assert_eq!(content(&db, &[], 10, 10), Content::from([(series(1), floats(&[(10, 1.5)]))]));
    assert_eq!((db.stats().head_series, db.stats().series_refused), (2, 1));

    // What the log holds is let in again even where the limit is lower by now; room comes as series leave.
    drop(db);
    let db = try_open(&fs, &clock, Options { head_series_max: Some(1), ..limited() }).unwrap();
    assert_eq!((db.stats().head_series, everything(&db).len()), (2, 2));
    drop(db);
    let db = try_open(&fs, &clock, limited()).unwrap();
    append(&db, 1, 1600, 2.0);
    assert_eq!(db.maintain().unwrap().series_removed, 1);
    append(&db, 3, 1600, 3.0);
    assert_eq!(db.stats().head_series, 2);
}

#[test]
fn what_is_said_of_the_head_follows_appends_cuts_and_restarts() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let head = |db: &Tsdb| {
        let stats = db.stats();
        (
            stats.head_chunks,
            stats.head_min_time.map(Timestamp::millis),
            stats.head_max_time.map(Timestamp::millis),
        )
    };
    assert_eq!(head(&db), (0, None, None));
    for time in [300, 400, 1100] {
        append(&db, 1, time, 1.0);
    }
    append(&db, 2, 200, 1.0);
    assert_eq!(head(&db), (3, Some(200), Some(1100)));
    append(&db, 1, 1500, 1.0);
    db.maintain().unwrap();
    assert_eq!(head(&db), (1, Some(1100), Some(1500)));
    drop(db);
    assert_eq!(head(&open(&fs, &clock)), (1, Some(1100), Some(1500)));
}

/// However slowly samples come, a start has little to replay; what hardly changes is not written again and again.
#[test]
fn the_head_is_written_to_a_checkpoint_at_intervals() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let options = Options {
        block_range: Duration::from_secs(3600),
        wal_segment_bytes: 1 << 20,
        checkpoint_bytes: 1 << 20,
        checkpoint_interval: Duration::from_millis(1000),
        ..options(WalSync::Always)
    };
    let db = try_open(&fs, &clock, options.clone()).unwrap();
    let check = |db: &Tsdb, now: i64, expected: bool| {
        clock.set(now);
        assert_eq!(db.maintain().unwrap().checkpointed, expected, "at {now}");
    };
    check(&db, 1000, false);
    append(&db, 1, 1, 1.0);
    check(&db, 1000, true);
    append(&db, 1, 2, 1.0);
    check(&db, 1999, false);
    check(&db, 2000, true);
    check(&db, 9000, false);
    for number in 1..50 {
        append(&db, number, 3, 1.0);
    }
    check(&db, 9000, true);
    // A clock that goes backwards does not put it off, nor does a restart.
    for number in 1..50 {
        append(&db, number, 4, 1.0);
    }
    check(&db, 500, true);
    append(&db, 1, 5, 1.0);
    check(&db, 1500, false);
    let expected = everything(&db);
    drop(db);
    let db = try_open(&fs, &clock, options.clone()).unwrap();
    assert_eq!(everything(&db), expected);
    for number in 2..25 {
        append(&db, number, 5, 1.0);
    }
    check(&db, 2499, false);
    check(&db, 2500, true);
    let expected = everything(&db);
    drop(db);
    let db = try_open(&fs, &clock, options).unwrap();
    // The log since the checkpoint is empty: one segment without a frame.
    let names = fs.list(&Path::new(DIR).join("wal")).unwrap();
    assert_eq!(names.iter().filter(|name| name.ends_with(".checkpoint")).count(), 1, "{names:?}");
    assert_eq!(everything(&db), expected);
    check(&db, 9000, false);
}

/// A series that stays the same at an even interval is one chunk, however long, until it changes or its range ends.
#[test]
fn a_steady_series_is_one_chunk_of_the_head() {
    let (fs, clock) = (SimFileSystem::default(), TestClock::at(0));
    let options = Options {
        block_range: Duration::from_secs(3600),
        wal_segment_bytes: 1 << 20,
        checkpoint_bytes: 0,
        ..options(WalSync::Always)
    };
    let db = try_open(&fs, &clock, options.clone()).unwrap();
    let mut expected = BTreeMap::new();
    let mut put = |time: i64, value: f64, chunks: u64| {
        append(&db, 1, time, value);
        expected.extend(floats(&[(time, value)]));
        assert_eq!(db.stats().head_chunks, chunks, "at {time}");
    };
    for time in 0..500 {
        put(time * 1000, 4.0, 1);
    }
    put(500_000, STALE_NAN, 2);
    for at in 1..1500 {
        // As many as there may be with the marker in front, then 1024, then the rest.
        let chunks = if at < 120 {
            2
        } else if at < 120 + 1024 {
            3
        } else {
            4
        };
        put(500_000 + at * 1000, 0.0, chunks);
    }
    // Neither another interval nor another sign of zero keeps to the pattern.
    put(2_500_000, 0.0, 4 + 1);
    let expected = Content::from([(series(1), expected)]);
    assert_eq!(everything(&db), expected);
    drop(db);
    let db = try_open(&fs, &clock, options.clone()).unwrap();
    assert_eq!(everything(&db), expected, "after a replay");
    assert!(db.maintain().unwrap().checkpointed);
    drop(db);
    let db = try_open(&fs, &clock, options.clone()).unwrap();
    assert_eq!(everything(&db), expected, "from the checkpoint");
    append(&db, 1, 5_500_000, 1.0);
    clock.set(6_000_000);
    assert_eq!(db.maintain().unwrap().blocks_cut, 1);
    drop(db);
    let db = try_open(&fs, &clock, options).unwrap();
    assert_eq!(content(&db, &[], 0, 3_599_999), expected, "from a block");
}

#[test]
fn a_series_that_ended_is_sealed_and_may_come_back() {
    for count in [2, 15, 16, 119, 130] {
        let (fs, clock) = (SimFileSystem::default(), far_clock());
        let db = open(&fs, &clock);
        // All within one block's range; the marker is the last of `count`.
        let value = |at: i64| if at == count - 1 { STALE_NAN } else { (at * at) as f64 };
        let mut expected = Vec::new();
        for at in 0..count {
            append(&db, 1, at, value(at));
            expected.push((at, value(at)));
        }
        let with_marker = db.stats().head_chunks;
        assert_eq!(everything(&db)[&series(1)], floats(&expected), "{count}");
        let mut batch = db.appender();
        let mut try_append = |time, value| batch.append(None, &series(1), Sample::new(time, value)).map(drop);
        assert_eq!(try_append(count - 1, STALE_NAN), Ok(()), "a repetition is no conflict");
        assert_eq!(try_append(count - 1, 0.5), Err(AppendError::DuplicateTimestamp));
        batch.commit().unwrap();
        append(&db, 1, count, 0.5);
        expected.push((count, 0.5));
        // What is sealed takes no more samples, what is short stays open.
        let is_sealed = (16..=120).contains(&count);
        assert_eq!(db.stats().head_chunks, with_marker + u64::from(is_sealed), "{count}");
        assert_eq!(everything(&db)[&series(1)], floats(&expected), "{count}");
        drop(db);
        assert_eq!(everything(&open(&fs, &clock))[&series(1)], floats(&expected), "{count}");
    }
}
