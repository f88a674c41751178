//! Resolving matchers through an index gives what testing every series would.

use model::{Labels, MatchOp, Matcher};
use proptest::collection::vec;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::{LabelIndex, MemoryIndex, resolve};

const NAMES: [&str; 3] = ["a", "b", "c"];
const VALUES: [&str; 4] = ["", "x", "y", "xy"];
const PATTERNS: [&str; 9] = ["", "x", "y", "x|y", ".*", ".+", "x.*", "|x", "nothing"];

pub(crate) fn any_labels() -> impl Strategy<Value = Labels> {
    vec(prop::sample::select(VALUES.to_vec()), 3)
        .prop_map(|values| Labels::from_pairs(NAMES.into_iter().zip(values)))
}

pub(crate) fn any_matcher() -> impl Strategy<Value = Matcher> {
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let name = prop::sample::select(vec!["a", "b", "c", "missing"]);
    (op, name, prop::sample::select(PATTERNS.to_vec()))
        .prop_map(|(op, name, pattern)| Matcher::new(op, name, pattern).unwrap())
}

proptest! {
    #[test]
    fn an_index_answers_as_a_scan_would(
        series in vec(any_labels(), 0..20), gone in vec(any::<bool>(), 20), matchers in vec(any_matcher(), 0..4)
    ) {
        let mut index = MemoryIndex::default();
        for (id, labels) in series.iter().enumerate() {
            index.insert(id as u32, labels);
        }
        let removed: RoaringBitmap = (0..series.len() as u32).filter(|id| gone[*id as usize]).collect();
        index.remove_all(&removed, removed.iter().map(|id| &series[id as usize]));
        let expected: RoaringBitmap = (0..series.len() as u32)
            .filter(|id| !removed.contains(*id))
            .filter(|id| matchers.iter().all(|matcher| matcher.matches_labels(&series[*id as usize])))
            .collect();
        prop_assert_eq!(&resolve(&index, &matchers).unwrap(), &expected);

        let (mut names, mut values) = (Vec::new(), Vec::new());
        index.names_of(&expected, &mut |name| names.push(name.to_owned())).unwrap();
        index.values_of("a", &expected, &mut |value| values.push(value.to_owned())).unwrap();
        names.sort();
        values.sort();
        let carried = |id: &u32| &series[*id as usize];
        let kept: Vec<u32> = expected.iter().collect();
        let has = |name: &str| kept.iter().any(|id| carried(id).get(name).is_some());
        prop_assert_eq!(names, NAMES.into_iter().filter(|name| has(name)).collect::<Vec<_>>());
        let mut wanted: Vec<_> = kept.iter().filter_map(|id| carried(id).get("a")).collect();
        wanted.sort_unstable();
        wanted.dedup();
        prop_assert_eq!(values, wanted);
    }
}
