//! What is printed is read again as what it was, and no text is too odd to be read or refused.

use proptest::prelude::*;

use crate::parser::{parse, parse_selector, parse_with};
use crate::{Engine, EngineOptions, Features, QueryControl};

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("a"),
        Just("sum"),
        Just("b:c"),
        Just("by"),
        Just("offset"),
        Just("start"),
        Just("infinity"),
        Just("{\"é.x\"}"),
        Just("{__name__=~\"a|b\"}"),
    ]
}

fn selector() -> impl Strategy<Value = String> {
    let matchers = prop_oneof![
        Just(""),
        Just("{}"),
        Just("{x=\"1\"}"),
        Just("{x!=\"\\n\\\"\", y=~\"a.*|b\"}"),
        Just("{'é y'!~`\\d+`}"),
    ];
    (name(), matchers).prop_map(|(name, matchers)| match (name.strip_suffix('}'), matchers) {
        (Some(_), _) => name.to_owned(),
        (None, matchers) => format!("{name}{matchers}"),
    })
}

fn duration() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("5m"),
        Just("1h30m"),
        Just("90"),
        Just("2 * 3m"),
        Just("(1m + step()) / 2"),
        Just("max_of(step(), 1m) ^ 2"),
        Just("-min_of(1m, -5m) % 7s"),
    ]
}

fn shifts() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just(""),
        1 => Just(" offset 5m"),
        1 => Just(" offset -1.5"),
        1 => Just(" offset (2 * 1m)"),
        1 => Just(" @ 12.5"),
        1 => Just(" @ start() offset 1d"),
        1 => Just(" @ end()"),
    ]
}

/// Texts of instant vectors and, within, of everything else.
fn vector() -> impl Strategy<Value = String> {
    let extended = prop_oneof![3 => Just(""), 1 => Just(" smoothed"), 1 => Just(" anchored")];
    let leaf = prop_oneof![
        4 => (selector(), shifts()).prop_map(|(s, shift)| format!("{s}{shift}")),
        1 => Just("vector(1)".to_owned()),
        2 => (selector(), duration(), extended, shifts())
            .prop_map(|(s, range, extended, shift)| format!("rate({s}[{range}]{extended}{shift})")),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let operator = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("^"),
            Just("%"),
            Just("atan2"),
            Just("> bool"),
            Just("=="),
            Just("and"),
            Just("or"),
            Just("unless on (x)"),
            Just("/ ignoring (x, y)"),
            Just("* on () group_left ()"),
            Just("+ on (x) group_right (y)"),
            Just("- fill (0)"),
            Just("/ on (x) fill_left (-1) fill_right (Inf)"),
            Just("</"),
            Just(">/"),
        ];
        let number = prop_oneof![
            Just("1"),
            Just("0x1f"),
            Just("1e6"),
            Just("-2.5e-7"),
            Just("Inf"),
            Just("NaN"),
            Just("5m"),
            Just("time()"),
            Just("(1 + 2)"),
            Just("-scalar(a)"),
            Just("pi()"),
            Just("1 == bool 2"),
        ];
        let arithmetic = prop_oneof![Just("+"), Just("-"), Just("^"), Just("<"), Just("/")];
        let grouping = prop_oneof![
            Just(""),
            Just(" by (x)"),
            Just(" without ()"),
            Just(" by (\"é x\", y)"),
            Just(" without (x,)"),
        ];
        prop_oneof![
            3 => (inner.clone(), operator, inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            2 => (inner.clone(), arithmetic, number.clone(), any::<bool>()).prop_map(|(v, op, n, left)| {
                if left { format!("({n}) {op} {v}") } else { format!("{v} {op} {n}") }
            }),
            2 => inner.clone().prop_map(|v| format!("({v})")),
            1 => inner.clone().prop_map(|v| format!("-{v}")),
            2 => (inner.clone(), grouping.clone()).prop_map(|(v, by)| format!("sum{by} ({v})")),
            1 => (inner.clone(), grouping, number).prop_map(|(v, by, n)| format!("topk({n}, {v}){by}")),
            1 => inner.clone().prop_map(|v| format!("count_values(\"x\\ty\", {v})")),
            1 => inner.clone().prop_map(|v| format!("label_replace({v}, 'a', \"$1\", `b`, \"(.*)\")")),
            2 => (inner, duration(), shifts())
                .prop_map(|(v, range, shift)| format!("max_over_time(({v})[{range}:1m]{shift})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn printed_queries_are_read_again(query in vector()) {
        // Some are refused: what is shifted twice, or compared to what it is not.
        let Ok(expr) = parse(&query) else { return Err(TestCaseError::reject("refused")) };
        let printed = expr.to_string();
        let again = parse(&printed);
        prop_assert!(again.is_ok(), "{} of {}: {:?}", printed, query, again);
        prop_assert_eq!(again.unwrap().to_string(), printed.as_str());
        let pretty = expr.pretty();
        let again = parse(&pretty);
        prop_assert!(again.is_ok(), "{} of {}: {:?}", pretty, query, again);
        prop_assert_eq!(again.unwrap().to_string(), printed);
    }

    #[test]
    fn printed_queries_answer_the_same(query in vector()) {
        let Ok(expr) = parse(&query) else { return Err(TestCaseError::reject("refused")) };
        let storage = crate::script::MemoryStorage::default();
        let engine = Engine::new(EngineOptions { features: Features::LANGUAGE, ..EngineOptions::prometheus_defaults() });
        let run = |text: &str| {
            let result = engine.instant(&storage, text, model::Timestamp::EPOCH, &QueryControl::default());
            result.map(|r| format!("{:?}", r.value)).map_err(|_| ())
        };
        prop_assert_eq!(run(&query), run(&expr.to_string()));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = (parse(&text), parse_selector(&text), parse_with(&text, &Features::NONE));
    }

    #[test]
    fn any_tokens_are_read_or_refused(tokens in prop::collection::vec(
        prop_oneof![
            Just("("), Just(")"), Just("["), Just("]"), Just("{"), Just("}"), Just(","), Just(":"), Just("="),
            Just("=~"), Just("!="), Just("+"), Just("-"), Just("^"), Just("</"), Just("@"), Just("by"), Just("on"),
            Just("offset"), Just("sum"), Just("topk"), Just("rate"), Just("a"), Just("5m"), Just("1"), Just("\"x\""),
            Just("start"), Just("step"), Just("bool"), Just("group_left"), Just("fill"), Just("smoothed"), Just("é"),
            Just("'"), Just("#"), Just("\n"), Just("0x"), Just("info"), Just("inf"),
        ],
        0..30,
    )) {
        if let Ok(expr) = parse(&tokens.join(" ")) {
            let printed = expr.to_string();
            prop_assert_eq!(parse(&printed).map(|e| e.to_string()), Ok(printed));
        }
    }
}

#[test]
fn infinity_before_a_power_is_printed_without_its_sign() {
    for (query, printed) in [
        ("Inf ^ a", "Inf ^ a"),
        ("a + inf ^ a", "a + Inf ^ a"),
        ("(Inf) ^ a", "(+Inf) ^ a"),
        ("Inf + a", "+Inf + a"),
    ] {
        let expr = parse(query).expect(query);
        assert_eq!((expr.to_string(), expr.pretty()), (printed.to_owned(), printed.to_owned()), "{query}");
    }
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in
        [("(", ")"), ("-", ""), ("sum(", ")"), ("a + (", ")"), ("a[", ":]"), ("max_over_time(", "[1m:])")]
    {
        for depth in [10, 1000, 100_000] {
            let query = format!("{}a{}", open.repeat(depth), close.repeat(depth));
            let _ = parse(&query);
        }
    }
    let long = vec!["a"; 50_000].join(" + ");
    assert!(parse(&long).is_err());
    let durations = format!("a[{}1m{}]", "(".repeat(100_000), ")".repeat(100_000));
    assert!(parse(&durations).is_err());
}
