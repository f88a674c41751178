//! The store against a plain map, across reopening, torn ends and rewriting.

use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 1 << 20;

fn open(path: &Path) -> Store {
    Store::open(Some(path.to_path_buf())).unwrap()
}

#[test]
fn values_are_there_again_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file_name("a"));
    let store = open(&path);
    store.set("x", b"1".to_vec(), 0, LIMIT, 0).unwrap();
    store.set("x", b"2".to_vec(), 0, LIMIT, 0).unwrap();
    store.set("soon", b"3".to_vec(), 100, LIMIT, 0).unwrap();
    store.set("gone", b"4".to_vec(), 0, LIMIT, 0).unwrap();
    store.delete("gone").unwrap();
    for store in [store, open(&path)] {
        assert_eq!(store.get("x", 0).as_deref(), Some(&b"2"[..]));
        assert_eq!(store.get("soon", 99).as_deref(), Some(&b"3"[..]));
        assert_eq!(store.get("soon", 100), None);
        assert_eq!(store.keys("", 0), ["soon", "x"]);
        assert_eq!(store.keys("s", 200), Vec::<String>::new());
    }
}

#[test]
fn a_store_holds_no_more_than_its_limit() {
    let store = Store::open(None).unwrap();
    store.set("a", vec![0; 9], 0, 20, 0).unwrap();
    store.set("b", vec![0; 9], 50, 20, 0).unwrap();
    assert!(matches!(store.set("c", vec![], 0, 20, 0), Err(KvError::Full(20))));
    store.set("a", vec![1; 9], 0, 20, 0).unwrap();
    store.set("c", vec![2; 9], 0, 20, 50).unwrap();
    assert_eq!(store.keys("", 50), ["a", "c"]);
    assert!(matches!(store.set("", vec![], 0, 20, 0), Err(KvError::InvalidKey)));
    assert!(matches!(store.set(&"k".repeat(513), vec![], 0, LIMIT, 0), Err(KvError::InvalidKey)));
}

#[test]
fn a_torn_end_costs_what_nobody_was_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torn.kv");
    let store = open(&path);
    store.set("a", b"first".to_vec(), 0, LIMIT, 0).unwrap();
    let whole = std::fs::metadata(&path).unwrap().len();
    store.set("b", b"second".to_vec(), 0, LIMIT, 0).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let store = open(&path);
        let expected = if (length as u64) < whole { vec![] } else { vec!["a".to_owned()] };
        assert_eq!(store.keys("", 0), expected, "cut at {length}");
        store.set("c", b"third".to_vec(), 0, LIMIT, 0).unwrap();
        assert_eq!(open(&path).get("c", 0).as_deref(), Some(&b"third"[..]), "cut at {length}");
    }
    std::fs::write(&path, b"something else").unwrap();
    assert!(Store::open(Some(path)).is_err());
}

#[test]
fn a_file_that_is_out_of_date_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.kv");
    let store = open(&path);
    for round in 0..40u8 {
        store.set("k", vec![round; 8 << 10], 0, LIMIT, 0).unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 2 * REWRITE_BYTES_MIN);
    assert_eq!(open(&path).get("k", 0), Some(vec![39; 8 << 10]));
}

#[test]
fn names_stay_in_their_folder_and_apart() {
    assert_eq!(file_name("host-metrics"), "host-metrics.kv");
    assert_eq!(file_name("../../etc/passwd"), "%2e%2e%2f%2e%2e%2fetc%2fpasswd.kv");
    assert_eq!(file_name("a b"), "a%20b.kv");
    assert_eq!(file_name(&"é".repeat(300)).len(), 64 + 3);
}

/// What version 1 wrote on 2026-11-22. Never written again: later versions must read it.
#[test]
fn the_fixture_of_version_1_is_read() {
    let mut inner = Inner::default();
    let bytes = include_bytes!("../../fixtures/kv-v1.bin");
    assert_eq!(inner.replay(bytes).unwrap(), bytes.len());
    let store = Store { path: None, inner: Mutex::new(inner) };
    assert_eq!(store.keys("", 0), ["counter", "expires"]);
    assert_eq!(store.get("counter", 0).as_deref(), Some(&b"\x2a\0\0\0"[..]));
    assert_eq!(store.get("expires", 1_800_000_000_000), None);
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, Vec<u8>),
    Delete(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5u8, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, v)| Step::Set(k, v)),
        1 => (0..5u8).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn it_behaves_as_a_map(steps in proptest::collection::vec(step(), 0..40)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.kv");
        let (mut store, mut model) = (open(&path), BTreeMap::new());
        for step in steps {
            match step {
                Step::Set(key, value) => {
                    store.set(&key.to_string(), value.clone(), 0, LIMIT, 0).unwrap();
                    model.insert(key.to_string(), value);
                }
                Step::Delete(key) => {
                    store.delete(&key.to_string()).unwrap();
                    model.remove(&key.to_string());
                }
                Step::Reopen => {
                    drop(store);
                    store = open(&path);
                }
            }
            prop_assert_eq!(store.keys("", 0), model.keys().cloned().collect::<Vec<_>>());
            for (key, value) in &model {
                let found = store.get(key, 0);
                prop_assert_eq!(found.as_ref(), Some(value));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut file = header().to_vec();
        file.extend(bytes);
        let whole = Inner::default().replay(&file).unwrap();
        prop_assert!(whole <= file.len());
    }
}
