//! Label sets against a plain ordered map.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::*;

#[test]
fn labels_print_as_promql_writes_them() {
    let check = |pairs: &[(&str, &str)], expected: expect_test::Expect| {
        expected.assert_eq(&Labels::from_pairs(pairs.iter().copied()).to_string());
    };
    check(
        &[("__name__", "up"), ("job", "a"), ("instance", "b:1")],
        expect![[r#"up{instance="b:1", job="a"}"#]],
    );
    check(&[("__name__", "up")], expect!["up"]);
    check(&[], expect!["{}"]);
    check(&[("a", "line\n\"quoted\"")], expect![[r#"{a="line\n\"quoted\""}"#]]);
    check(&[("__name__", "my.metric"), ("x.y", "z")], expect![[r#"{"my.metric", "x.y"="z"}"#]]);
}

#[test]
fn keys_are_spans_of_smaller_sets() {
    let long = "v".repeat(300);
    let labels = Labels::from_pairs([("__name__", "up"), ("a", "1"), ("b", &long), ("c", "é")]);
    for kept in [&["a", "c"][..], &["b"], &["x"], &["__name__", "a", "b", "c"]] {
        let mut span = Vec::new();
        labels.project(|name| kept.iter().any(|k| k.as_bytes() == name), &mut span);
        let filtered = labels.filtered(|name| kept.contains(&name));
        assert_eq!(span, filtered.as_encoded());
        assert_eq!(Labels::from_encoded(&span), Ok(filtered));
    }
    assert_eq!((labels.get("b"), labels.get("bb")), (Some(long.as_str()), None));
}

#[test]
fn damaged_spans_are_refused() {
    let good = Labels::from_pairs([("a", "1"), ("b", "2")]);
    let bytes = good.as_encoded();
    assert_eq!(Labels::from_encoded(bytes).as_ref(), Ok(&good));
    assert_eq!(Labels::from_encoded(&bytes[..bytes.len() - 1]), Err(LabelsError::Truncated));
    assert_eq!(Labels::from_encoded(b"\x01b\x011\x01a\x012"), Err(LabelsError::Unsorted));
    assert_eq!(Labels::from_encoded(b"\x01a\x00"), Err(LabelsError::Empty));
    assert_eq!(Labels::from_encoded(b"\x01a\x01\xff"), Err(LabelsError::NotUtf8));
    assert_eq!(Labels::from_encoded(b"\x81\x00a\x011"), Err(LabelsError::Truncated));
}

proptest! {
    #[test]
    fn a_set_is_an_ordered_map(pairs in prop::collection::vec(("[a-e]{1,2}", ".{0,3}"), 0..8)) {
        let mut map = BTreeMap::new();
        for (name, value) in &pairs {
            if value.is_empty() { map.remove(name); } else { map.insert(name.clone(), value.clone()); }
        }
        let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v)));
        let got: Vec<_> = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(got, map.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(Labels::from_encoded(labels.as_encoded()), Ok(labels));
    }

    #[test]
    fn sets_are_ordered_by_their_pairs(
        a in prop::collection::btree_map("[ab]{1,2}", "[a-c]{1,3}|x{120,140}", 0..4),
        b in prop::collection::btree_map("[ab]{1,2}", "[a-c]{1,3}|x{120,140}", 0..4),
    ) {
        let [one, other] = [&a, &b].map(Labels::from_pairs);
        prop_assert_eq!(one.cmp(&other), a.iter().cmp(b.iter()));
    }

    #[test]
    fn any_bytes_give_a_set_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(labels) = Labels::from_encoded(&bytes) {
            let rebuilt = labels.to_builder().build();
            prop_assert_eq!(rebuilt.as_encoded(), &bytes[..]);
        }
    }
}

#[test]
fn sorted_pairs_become_a_set_and_others_are_refused() {
    let built = Labels::from_sorted(&[("a", "1"), ("b", ""), ("c", "3")]);
    assert_eq!(built, Ok(Labels::from_pairs([("a", "1"), ("c", "3")])));
    assert_eq!(Labels::from_sorted(&[("b", "1"), ("a", "2")]), Err(LabelsError::Unsorted));
    assert_eq!(Labels::from_sorted(&[("a", "1"), ("a", "")]), Err(LabelsError::Unsorted));
    assert_eq!(Labels::from_sorted(&[("", "1")]), Err(LabelsError::Empty));
}
