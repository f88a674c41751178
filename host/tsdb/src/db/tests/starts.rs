//! Start timestamps go wherever their samples go.

use super::*;

/// Series 1 in columns, restarted now and then; series 2 by labels, of which only some samples have a start; 3 without
/// any; 4 histograms.
fn fill(db: &Tsdb, times: std::ops::Range<i64>) -> Content {
    let mut expected = Content::new();
    for time in times.step_by(50) {
        let mut batch = db.appender();
        let start = time / 700 * 700 - 3;
        let known = batch.append(None, &series(3), Sample::new(time, 0.5)).unwrap();
        let (id, seen) = (db.resolve(series(1).as_encoded()), Seen::Float(f64::to_bits(time as f64)));
        match id {
            Some(id) => {
                let (ids, times, values) = ([known, id], [ms(time); 2], [0.5, time as f64]);
                let columns = FloatColumns::timed(&ids, &times, &values).unwrap();
                let starts = [ms(UNKNOWN_START), ms(start)];
                let mut refused = Vec::new();
                batch.append_columns(&columns.started(&starts), &mut refused);
                assert_eq!(refused, [], "a repeated sample is no error");
            }
            None => {
                let id = batch.append(None, &series(1), Sample::new(time, time as f64)).unwrap();
                batch.append_start(id, ms(start));
            }
        }
        let own = if time % 200 == 0 { time - 1 } else { UNKNOWN_START };
        let id = batch.append(None, &series(2), Sample::new(time, 1.0)).unwrap();
        batch.append_start(id, ms(own));
        let histogram = Histogram { count: time as f64, sum: 1.0, ..Histogram::stale() };
        let id = batch.append_histogram(None, &series(4), ms(time), &histogram).unwrap();
        batch.append_start(known, ms(77));
        batch.append_start(id, ms(start));
        assert_eq!(batch.commit().unwrap(), []);
        let mut put = |number, seen| expected.entry(series(number)).or_default().insert(time, seen);
        put(1, seen.started(start));
        put(2, Seen::Float(f64::to_bits(1.0)).started(own));
        put(3, Seen::Float(f64::to_bits(0.5)));
        put(4, Seen::Histogram(Arc::new(histogram)).started(start));
    }
    expected
}

#[test]
fn starts_survive_restarts_cuts_checkpoints_and_merges() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let mut db = open(&fs, &clock);
    // More samples than a chunk of the head takes.
    let mut expected = fill(&db, 0..9600);
    assert_eq!(everything(&db), expected, "in the head");
    for (round, blocks) in [0, 1, 1].into_iter().enumerate() {
        drop(db);
        db = open(&fs, &clock);
        assert_eq!(everything(&db), expected, "after restart {round}");
        assert_eq!(db.stats().blocks, blocks);
        while db.maintain().unwrap() != Default::default() {}
        assert_eq!(everything(&db), expected, "after maintenance {round}");
    }
    db.set_out_of_order_window(Duration::from_secs(100));
    for (time, start) in [(8_975, 3), (75, 9)] {
        let mut batch = db.appender();
        let id = batch.append(None, &series(1), Sample::new(time, 0.0)).unwrap();
        batch.append_start(id, ms(start));
        let id = batch.append(None, &series(1), Sample::new(time, 0.0)).unwrap();
        batch.append_start(id, ms(88));
        assert_eq!(batch.commit().unwrap(), []);
        let all = expected.get_mut(&series(1)).unwrap();
        all.insert(time, Seen::Float(0).started(start));
    }
    assert_eq!(everything(&db), expected, "late ones");
    drop(db);
    db = open(&fs, &clock);
    assert_eq!(everything(&db), expected, "late ones after a restart");
    while db.maintain().unwrap() != Default::default() {}
    assert_eq!(everything(&db), expected, "late ones in blocks");
    drop(db);
    let found = crate::verify(&fs, Path::new(DIR)).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!(everything(&open(&fs, &clock)), expected);
}

#[test]
fn a_start_is_of_the_sample_before_it_or_of_none() {
    let (fs, clock) = (SimFileSystem::default(), far_clock());
    let db = open(&fs, &clock);
    let mut batch = db.appender();
    let id = batch.append(None, &series(1), Sample::new(100, 1.0)).unwrap();
    batch.append_start(SeriesRef(id.0 + 1), ms(1));
    assert_eq!(batch.append(None, &series(1), Sample::new(100, 2.0)), Err(AppendError::DuplicateTimestamp));
    batch.append_start(id, ms(2));
    batch.append(None, &series(1), Sample::new(100, 1.0)).unwrap();
    batch.append_start(id, ms(3));
    batch.commit().unwrap();
    assert_eq!(everything(&db), Content::from([(series(1), floats(&[(100, 1.0)]))]));
}

/// Of a day of samples every fifteen seconds, starts take next to nothing in a block, and none at all without them.
#[test]
fn starts_cost_next_to_nothing_in_blocks() {
    let bytes = |started: bool| {
        let (fs, clock) = (SimFileSystem::default(), far_clock());
        let options = Options {
            block_range: Duration::from_secs(7200),
            wal_segment_bytes: 1 << 30,
            checkpoint_bytes: 1 << 30,
            ..options(WalSync::Always)
        };
        let db = try_open(&fs, &clock, options).unwrap();
        for scrape in 0..(4 * 240) {
            let mut batch = db.appender();
            for number in 0..20 {
                let sample = Sample::new(scrape * 15_000, (scrape * number) as f64);
                let id = batch.append(None, &series(number as usize), sample).unwrap();
                if started {
                    batch.append_start(id, ms(-4_000));
                }
            }
            batch.commit().unwrap();
        }
        assert_eq!(db.maintain().unwrap().blocks_cut, 1);
        db.stats().block_bytes
    };
    let (without, with) = (bytes(false), bytes(true));
    // A byte for each of twenty chunks, its start once, and the place of that.
    assert!(with > without && with <= without + 32, "{without} bytes without, {with} with");
}
