//! The store against reopening, torn writes and damage.

use std::fs::OpenOptions;
use std::io::Write as _;

use model::span::{Attribute, AttributeValue, Resource};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn options() -> TraceOptions {
    TraceOptions {
        retention: Duration::from_secs(3600),
        segment_bytes_max: 1 << 20,
        sync: Sync::Interval(Duration::from_secs(60)),
    }
}

/// Span `n` of trace `trace`, a second long, starting at second `n`.
fn span(trace: u8, n: u64) -> Span {
    let service = AttributeValue::String(format!("service-{trace}"));
    Span {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId(n.to_be_bytes()),
        name: format!("op-{n}"),
        start_unix_nanos: n * 1_000_000_000,
        end_unix_nanos: (n + 1) * 1_000_000_000,
        attributes: vec![Attribute { key: "n".into(), value: AttributeValue::Int(n as i64) }],
        resource: Arc::new(Resource {
            attributes: vec![Attribute { key: "service.name".into(), value: service }],
        }),
        ..Span::default()
    }
}

fn open(dir: &TempDir) -> TraceStore {
    TraceStore::open(dir.path(), options()).unwrap()
}

fn spans_of(store: &TraceStore, trace: u8) -> Vec<u64> {
    let spans = store.trace(TraceId([trace; 16]), None).unwrap();
    spans.iter().map(|s| u64::from_be_bytes(s.span_id.0)).collect()
}

fn segment_files(dir: &TempDir) -> Vec<PathBuf> {
    list_segments(dir.path())
        .unwrap()
        .iter()
        .map(|seq| crate::segment::segment_path(dir.path(), *seq))
        .collect()
}

#[test]
fn spans_come_back_whole_before_and_after_a_reopen() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (span(1, 5), span(1, 3));
    {
        let store = open(&dir);
        assert_eq!(store.append(std::slice::from_ref(&a)).unwrap().stored, 1);
        store.append(&[span(2, 4), b.clone()]).unwrap();
        assert_eq!(store.trace(a.trace_id, None).unwrap(), [b.clone(), a.clone()]);
    }
    let store = open(&dir);
    assert_eq!(store.recovery(), &Recovery::default());
    assert_eq!(store.trace(a.trace_id, None).unwrap(), [b, a]);
    assert_eq!(spans_of(&store, 2), [4]);
    assert_eq!(spans_of(&store, 3), [0; 0]);
    assert_eq!(store.services().into_iter().collect::<Vec<_>>(), ["service-1", "service-2"]);
    assert_eq!(store.operations(Some("service-1")).into_iter().collect::<Vec<_>>(), ["op-3", "op-5"]);
    assert_eq!(store.stats().spans, 3);
    store.append(&[span(2, 9)]).unwrap();
    assert_eq!(spans_of(&store, 2), [4, 9]);
    assert_eq!(segment_files(&dir).len(), 1, "an unsealed segment is gone on with");
}

#[test]
fn stats_tell_the_files_sizes_without_asking_for_them() {
    let dir = TempDir::new().unwrap();
    let sizes =
        |dir: &TempDir| -> u64 { segment_files(dir).iter().map(|f| f.metadata().unwrap().len()).sum() };
    let store = TraceStore::open(dir.path(), TraceOptions { segment_bytes_max: 200, ..options() }).unwrap();
    for n in 1..5 {
        store.append(&[span(1, n)]).unwrap();
        let stats = store.stats();
        assert_eq!((stats.bytes, stats.spans), (sizes(&dir), n));
    }
    assert!(store.stats().segments > 1);
    let before = store.stats();
    drop(store);
    assert_eq!(open(&dir).stats(), before);
}

#[test]
fn a_sync_leaves_nothing_unsynced_and_appends_go_on_in_the_same_segment() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let unsynced = |store: &TraceStore| {
        store.writer.lock().active.as_ref().is_some_and(|active| active.unsynced_since.is_some())
    };
    store.sync().unwrap();
    store.append(&[span(1, 1)]).unwrap();
    assert!(unsynced(&store));
    store.sync().unwrap();
    assert!(!unsynced(&store));
    store.append(&[span(1, 2)]).unwrap();
    assert!(unsynced(&store));
    assert_eq!((segment_files(&dir).len(), spans_of(&store, 1)), (1, vec![1, 2]));
}

#[test]
fn duplicates_are_given_once_and_ranges_leave_out() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.append(&[span(1, 5), span(1, 5)]).unwrap();
    store.append(&[span(1, 5)]).unwrap();
    assert_eq!(spans_of(&store, 1), [5]);
    let range = |start, end| {
        Some(TimeRange { start: Timestamp::from_millis(start), end: Timestamp::from_millis(end) })
    };
    assert_eq!(store.trace(TraceId([1; 16]), range(0, 5000)).unwrap().len(), 1);
    assert_eq!(store.trace(TraceId([1; 16]), range(6001, 9000)).unwrap().len(), 0);
}

#[test]
fn full_segments_are_sealed_and_read_by_their_footer() {
    let dir = TempDir::new().unwrap();
    let options = TraceOptions { segment_bytes_max: 600, ..options() };
    let store = TraceStore::open(dir.path(), options).unwrap();
    for n in 1..=20 {
        store.append(&[span(1, n), span(2, n)]).unwrap();
    }
    let before: Vec<Span> = store.trace(TraceId([1; 16]), None).unwrap();
    let tags = store.tag_names(TagScope::Resource);
    drop(store);
    let files = segment_files(&dir);
    assert!(files.len() > 2, "{files:?}");
    let bytes = fs::read(&files[0]).unwrap();
    assert!(bytes.ends_with(b"SEAL"));
    let store = TraceStore::open(dir.path(), self::options()).unwrap();
    assert_eq!(store.trace(TraceId([1; 16]), None).unwrap(), before);
    assert_eq!(store.tag_names(TagScope::Resource), tags);
    assert_eq!(fs::read(&files[0]).unwrap(), bytes, "a sealed segment never changes");
}

#[test]
fn a_torn_tail_is_cut_off_at_every_length() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.append(&[span(1, 1)]).unwrap();
    let file = segment_files(&dir).remove(0);
    let whole = fs::metadata(&file).unwrap().len() as usize;
    store.append(&[span(1, 2)]).unwrap();
    drop(store);
    let bytes = fs::read(&file).unwrap();
    for cut in whole + 1..bytes.len() {
        fs::write(&file, &bytes[..cut]).unwrap();
        let store = open(&dir);
        assert_eq!(spans_of(&store, 1), [1], "cut at {cut}");
        assert_eq!(store.recovery().torn_bytes, (cut - whole) as u64);
        assert_eq!(store.recovery().set_aside, []);
        store.append(&[span(1, 3)]).unwrap();
        drop(store);
        assert_eq!(spans_of(&open(&dir), 1), [1, 3], "cut at {cut}");
    }
}

#[test]
fn zeros_after_a_power_cut_are_a_torn_tail() {
    let dir = TempDir::new().unwrap();
    open(&dir).append(&[span(1, 1)]).unwrap();
    let file = segment_files(&dir).remove(0);
    OpenOptions::new().append(true).open(&file).unwrap().write_all(&[0; 4096]).unwrap();
    let store = open(&dir);
    assert_eq!(spans_of(&store, 1), [1]);
    assert_eq!(store.recovery(), &Recovery { torn_bytes: 4096, set_aside: vec![] });
}

#[test]
fn a_segment_damaged_in_the_middle_is_set_aside_and_the_rest_goes_on() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let mut ends = vec![];
    for n in 1..=3 {
        store.append(&[span(1, n)]).unwrap();
        ends.push(fs::metadata(&segment_files(&dir)[0]).unwrap().len());
    }
    drop(store);
    let file = segment_files(&dir).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let damaged = ends[0] as usize + 20;
    bytes[damaged] ^= 0x40;
    fs::write(&file, &bytes).unwrap();
    let store = open(&dir);
    assert_eq!(spans_of(&store, 1), [1, 3]);
    let [aside] = store.recovery().set_aside.as_slice() else { panic!("{:?}", store.recovery()) };
    assert_eq!(aside.offset, ends[0]);
    assert_eq!(aside.what, "record checksum does not match");
    assert_eq!(fs::read(&aside.path).unwrap(), bytes, "the damaged file is kept as it was");
    drop(store);
    let store = open(&dir);
    assert_eq!(store.recovery(), &Recovery::default());
    assert_eq!(spans_of(&store, 1), [1, 3]);
}

#[test]
fn damage_in_a_sealed_segment_costs_its_record_only() {
    let dir = TempDir::new().unwrap();
    let store = TraceStore::open(dir.path(), TraceOptions { segment_bytes_max: 1, ..options() }).unwrap();
    store.append(&[span(1, 1)]).unwrap();
    store.append(&[span(1, 2)]).unwrap();
    let file = segment_files(&dir).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(spans_of(&store, 1), [2]);
    assert_eq!(store.stats().records_corrupt, 1);
}

#[test]
fn a_file_of_something_else_is_set_aside_and_a_newer_version_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = crate::segment::segment_path(dir.path(), 7);
    fs::write(&file, "this is no segment at all").unwrap();
    let store = open(&dir);
    assert_eq!(store.recovery().set_aside[0].what, "not the header of a span segment");
    store.append(&[span(1, 1)]).unwrap();
    drop(store);
    let mut header = crate::segment::header_bytes();
    header[8] = 9;
    let crc = crc32fast::hash(&header[..12]).to_le_bytes();
    header[12..].copy_from_slice(&crc);
    fs::write(&file, &header).unwrap();
    let error = TraceStore::open(dir.path(), options()).err().unwrap();
    assert!(matches!(error, TraceError::UnknownVersion { version: 9, .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), header);
}

#[test]
fn a_directory_is_opened_once() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    assert!(matches!(TraceStore::open(dir.path(), options()), Err(TraceError::InUse { .. })));
    drop(store);
    assert!(TraceStore::open(dir.path(), options()).is_ok());
}

#[test]
fn retention_removes_whole_segments() {
    let dir = TempDir::new().unwrap();
    let store = TraceStore::open(dir.path(), TraceOptions { segment_bytes_max: 1, ..options() }).unwrap();
    store.append(&[span(1, 10)]).unwrap();
    store.append(&[span(2, 20)]).unwrap();
    let at = |secs: i64| Timestamp::from_millis((3600 + secs) * 1000);
    assert_eq!(store.maintain(at(11)).unwrap(), 0);
    assert_eq!(store.maintain(at(12)).unwrap(), 1);
    assert_eq!((spans_of(&store, 1), spans_of(&store, 2)), (vec![], vec![20]));
    assert_eq!(segment_files(&dir).len(), 1);
    assert!(!store.services().contains("service-1"));
}

#[test]
fn an_old_segment_is_sealed_so_that_it_can_expire() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.append(&[span(1, 10)]).unwrap();
    let at = |secs: i64| Timestamp::from_millis(secs * 1000);
    assert_eq!(store.maintain(at(10_000)).unwrap(), 0, "it is still appended to");
    assert_eq!(store.maintain(at(10_000 + 450)).unwrap(), 1);
    assert_eq!(spans_of(&store, 1), [0; 0]);
    store.append(&[span(1, 11)]).unwrap();
    assert_eq!(spans_of(&store, 1), [11]);
}

#[test]
fn spans_over_a_limit_are_refused_alone() {
    let dir = TempDir::new().unwrap();
    let store = TraceStore::open(dir.path(), TraceOptions { sync: Sync::Always, ..options() }).unwrap();
    let big = |n, bytes: u64| {
        let value = AttributeValue::Bytes(vec![7; bytes as usize]);
        Span { attributes: vec![Attribute { key: "dump".into(), value }], ..span(1, n) }
    };
    let nameless = Span { trace_id: TraceId::default(), ..span(1, 1) };
    let outcome = store.append(&[nameless, span(1, 1), big(2, SPAN_BYTES_MAX)]).unwrap();
    assert_eq!(outcome, Appended { stored: 1, refused: 2, reason: Some(Refusal::ZeroId) });
    for n in 0..8 {
        store.append(&[big(10 + n, SPAN_BYTES_MAX - 1000)]).unwrap();
    }
    let outcome = store.append(&[big(30, SPAN_BYTES_MAX - 1000), span(2, 1)]).unwrap();
    assert_eq!(outcome, Appended { stored: 1, refused: 1, reason: Some(Refusal::TraceTooLarge) });
}

#[test]
fn readers_and_writers_work_side_by_side() {
    let dir = TempDir::new().unwrap();
    let store = TraceStore::open(dir.path(), TraceOptions { segment_bytes_max: 2000, ..options() }).unwrap();
    std::thread::scope(|scope| {
        for writer in 1..=3u8 {
            let store = &store;
            scope.spawn(move || {
                (1..=50).for_each(|n| {
                    store.append(&[span(writer, n)]).unwrap();
                });
            });
        }
        let mut seen = 0;
        for _ in 0..200 {
            let now = spans_of(&store, 1).len();
            assert!(now >= seen, "spans went missing");
            seen = now;
        }
    });
    drop(store);
    let store = open(&dir);
    for writer in 1..=3 {
        assert_eq!(spans_of(&store, writer), (1..=50).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to a byte or to the length of a file, opening neither panics nor makes spans up.
    #[test]
    fn damaged_files_never_panic(sealed: bool, at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
        let dir = TempDir::new().unwrap();
        let options = TraceOptions { segment_bytes_max: if sealed { 700 } else { 1 << 20 }, ..options() };
        let store = TraceStore::open(dir.path(), options.clone()).unwrap();
        (1..5).for_each(|n| { store.append(&[span(1, n)]).unwrap(); });
        drop(store);
        let file = segment_files(&dir).remove(0);
        let mut bytes = fs::read(&file).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 2);
        fs::write(&file, bytes).unwrap();
        let store = TraceStore::open(dir.path(), options).unwrap();
        for found in store.trace(TraceId([1; 16]), None).unwrap() {
            prop_assert_eq!(&found, &span(1, u64::from_be_bytes(found.span_id.0)));
        }
    }

    #[test]
    fn arbitrary_files_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let dir = TempDir::new().unwrap();
        let mut bytes = crate::segment::header_bytes();
        bytes.extend(tail);
        fs::write(crate::segment::segment_path(dir.path(), 1), bytes).unwrap();
        let store = open(&dir);
        prop_assert_eq!(store.stats().spans, 0);
    }
}
