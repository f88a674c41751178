//! Resolving matchers through an index gives what testing every series would.

use model::{Labels, MatchOp, Matcher};
use proptest::collection::vec;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::{LabelIndex, MemoryIndex, Query, Runs, SeriesIndex};

const NAMES: [&str; 3] = ["a", "b", "c"];
const VALUES: [&str; 14] =
    ["", "x", "y", "xy", "yx", "xx\ny", "X", "pay-1", "pay-12", "pay-2", "PAY-1", "repay-1x", "pa", "naïve"];
const PATTERNS: [&str; 36] = [
    "",
    "x",
    "y",
    "x|y",
    ".*",
    ".+",
    "x.*",
    "|x",
    "nothing",
    "pay-.*",
    "pay-1.*",
    "pay-[0-9]",
    "(?i)pay-.*",
    "(?i)x",
    ".*pay.*",
    ".*ay-1",
    ".+y",
    ".*(x|1).*",
    "pay-(1|2)2?",
    "p.*|x.*",
    "[a-x]+",
    "[^p].*",
    "(x|y|)",
    "x?y?",
    "na.ve",
    ".*ï.*",
    "(?-s:.*)",
    "xx.y",
    "(a)|(b)",
    "(p)|(x)",
    r"pay\b.*",
    r".*\b-1",
    "(?:.*y)+",
    "((pay))-.*",
    "^pay-1$",
    ".",
];

pub(crate) fn any_labels() -> impl Strategy<Value = Labels> {
    vec(prop::sample::select(VALUES.to_vec()), 3)
        .prop_map(|values| Labels::from_pairs(NAMES.into_iter().zip(values)))
}

pub(crate) fn any_matcher() -> impl Strategy<Value = Matcher> {
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let name = prop::sample::select(vec!["a", "b", "c", "missing"]);
    let text = prop::sample::select(PATTERNS.iter().chain(&VALUES).copied().collect::<Vec<_>>());
    (op, name, text).prop_map(|(op, name, text)| Matcher::new(op, name, text).unwrap())
}

/// Holds an index against a scan over the series that it is of.
pub(crate) fn check_index(
    index: &dyn LabelIndex,
    matchers: &[Matcher],
    series: &[Option<Labels>],
) -> Result<(), TestCaseError> {
    let passes = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
    let expected: RoaringBitmap = (0u32..)
        .zip(series)
        .filter(|(_, labels)| labels.as_ref().is_some_and(passes))
        .map(|(id, _)| id)
        .collect();
    let query = Query::new(matchers);
    prop_assert_eq!(&query.resolve(index).unwrap(), &expected);
    prop_assert_eq!(&query.resolve(index).unwrap(), &expected, "asked again");

    let carried = |id: u32| series[id as usize].as_ref().unwrap();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    index.names_of(&expected, &mut |name| names.push(name.to_owned())).unwrap();
    index.values_of("a", &expected, &mut |value| values.push(value.to_owned())).unwrap();
    names.sort();
    values.sort();
    values.dedup();
    let has = |name: &str| expected.iter().any(|id| carried(id).get(name).is_some());
    prop_assert_eq!(names, NAMES.into_iter().filter(|name| has(name)).collect::<Vec<_>>());
    let mut wanted: Vec<_> = expected.iter().filter_map(|id| carried(id).get("a")).collect();
    wanted.sort_unstable();
    wanted.dedup();
    prop_assert_eq!(values, wanted);
    for id in &expected {
        for name in NAMES {
            let mut value = String::new();
            index.value_of(id, name, &mut |told| told.clone_into(&mut value)).unwrap();
            prop_assert_eq!(value.as_str(), carried(id).get(name).unwrap_or_default());
        }
    }
    Ok(())
}

fn insert<'a>(index: &mut MemoryIndex, series: impl IntoIterator<Item = (u32, &'a Labels)>) {
    let mut runs = Runs::default();
    series.into_iter().for_each(|(id, labels)| runs.add(index, id, labels));
    runs.finish(index);
}

/// The index of series, of which some have come and gone.
fn index_of(series: &[Option<Labels>], gone: &[(u32, Labels)]) -> MemoryIndex {
    let mut index = MemoryIndex::default();
    for (id, labels) in (0u32..).zip(series) {
        // Now one by one, now together with the one before, in no order.
        let gone = gone.iter().filter(|(at, _)| *at == id).map(|(_, labels)| (1_000_000 + id, labels));
        insert(&mut index, gone.chain(labels.iter().filter(|_| id % 2 == 0).map(|labels| (id, labels))));
    }
    let rest = (0u32..).zip(series).filter(|(id, _)| id % 2 == 1 || *id < 10);
    insert(&mut index, rest.filter_map(|(id, labels)| Some((id, labels.as_ref()?))));
    let ids = gone.iter().map(|(id, _)| 1_000_000 + id).collect();
    index.remove_all(&ids, gone.iter().map(|(_, labels)| labels));
    index
}

proptest! {
    #[test]
    fn an_index_answers_as_a_scan_would(
        series in vec(prop::option::weighted(0.9, any_labels()), 0..60),
        gone in vec((0u32..60, any_labels()), 0..20),
        matchers in vec(any_matcher(), 0..4),
    ) {
        let mut ids = std::collections::HashSet::new();
        let gone: Vec<_> = gone.into_iter().filter(|(id, _)| ids.insert(*id) && (*id as usize) < series.len()).collect();
        let index = index_of(&series, &gone);
        let labels = |id: u32| series[id as usize].clone();
        check_index(&SeriesIndex { index: &index, labels }, &matchers, &series)?;
    }
}

/// Enough values that expressions are remembered, automata built and candidates tested.
#[test]
fn many_values_are_found_as_a_scan_would() {
    let labels = |number: u32| {
        let (job, pod) = (number % 7, number.wrapping_mul(2_654_435_761) % 100_000);
        Labels::from_pairs([("a", format!("pay-{pod}")), ("b", format!("job-{job}")), ("c", "x".to_owned())])
    };
    let mut series: Vec<Option<Labels>> = (0..20_000).map(|number| Some(labels(number))).collect();
    let mut index = index_of(&series, &[]);
    let cases = [
        vec![("a", MatchOp::Regex, "pay-1.*")],
        vec![("a", MatchOp::Regex, "(?i)PAY-1.*7")],
        vec![("a", MatchOp::Regex, ".*77.*"), ("b", MatchOp::Equal, "job-3")],
        vec![("a", MatchOp::NotRegex, ".*[0-4]"), ("b", MatchOp::NotEqual, "job-3")],
        vec![("a", MatchOp::Regex, ".*[0-4]"), ("b", MatchOp::Regex, "job-[13]")],
        vec![("a", MatchOp::Regex, "[^x]+5"), ("c", MatchOp::NotEqual, "")],
        vec![
            ("a", MatchOp::Regex, "pay-1.*"),
            ("a", MatchOp::NotRegex, "|.*1"),
            ("missing", MatchOp::Equal, ""),
        ],
    ];
    let check = |index: &MemoryIndex, series: &[Option<Labels>]| {
        for case in &cases {
            let matchers: Vec<_> =
                case.iter().map(|(name, op, text)| Matcher::new(*op, *name, *text).unwrap()).collect();
            let expected: RoaringBitmap = (0u32..)
                .zip(series)
                .filter(|(_, labels)| {
                    labels.as_ref().is_some_and(|labels| matchers.iter().all(|m| m.matches_labels(labels)))
                })
                .map(|(id, _)| id)
                .collect();
            let labels = |id: u32| series[id as usize].clone();
            let found = Query::new(&matchers).resolve(&SeriesIndex { index, labels }).unwrap();
            assert!(!found.is_empty() && found == expected, "{matchers:?}");
        }
    };
    check(&index, &series);
    // More come after the answers have been remembered.
    for number in 20_000..25_000 {
        insert(&mut index, [(number, &labels(number))]);
        series.push(Some(labels(number)));
    }
    check(&index, &series);
    // Most leave, so that values are numbered anew.
    let gone: RoaringBitmap = (0..25_000).filter(|number| number % 5 != 0).collect();
    index.remove_all(&gone, gone.iter().filter_map(|id| series[id as usize].as_ref()));
    gone.iter().for_each(|id| series[id as usize] = None);
    check(&index, &series);
}
