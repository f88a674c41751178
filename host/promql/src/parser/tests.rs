//! What parses, what it prints as, and how faults are reported.

use expect_test::{Expect, expect};

mod roundtrip;

use super::{parse, parse_selector, selectors};

fn prints(query: &str, text: &str) {
    assert_eq!(
        parse(query).map(|e| e.to_string()).map_err(|e| e.to_string()),
        Ok(text.to_owned()),
        "{query}"
    );
}

fn fails(query: &str, expected: &Expect) {
    expected.assert_eq(&parse(query).unwrap_err().to_string());
}

#[test]
fn queries_print_canonically() {
    prints(
        "SUM(rate(http_requests_total{code=~'5..'}[5m]))by(job)",
        "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m]))",
    );
    prints("-1^2 + 2*3", "-1 ^ 2 + 2 * 3");
    prints("a offset -5m @ 12.5", "a @ 12.500 offset -5m");
    prints("{'my.metric', job=\"x\"}", "{__name__=\"my.metric\",job=\"x\"}");
    prints("a[5m+1]", "a[5m + 1]");
    prints("-5m", "-5m");
    prints("1e3", "1000");
    prints("a == bool on(x) group_left(y) b", "a == bool on (x) group_left (y) b");
    prints("max_over_time(a[1h:5m] offset 1d)", "max_over_time(a[1h:5m] offset 1d)");
    prints("topk(3, sum) without (a)", "topk without (a) (3, sum)");
}

fn is_pretty(query: &str, expected: &Expect) {
    let expr = parse(query).unwrap();
    let pretty = expr.pretty();
    expected.assert_eq(&pretty);
    assert_eq!(parse(&pretty).unwrap().to_string(), expr.to_string());
}

#[test]
fn long_queries_print_on_many_lines() {
    is_pretty("sum(a)+b", &expect!["sum(a) + b"]);
    is_pretty(
        "sum by(job,instance)(rate(http_requests_total{job='api',code=~'5..',handler!='/health'}[5m])) / on(job) group_left() sum(rate(http_requests_total[5m])) by (job)",
        &expect![[r#"
              sum by (job, instance) (rate(http_requests_total{code=~"5..",handler!="/health",job="api"}[5m]))
            / on (job) group_left ()
              sum by (job) (rate(http_requests_total[5m]))"#]],
    );
    is_pretty(
        "-histogram_quantile(0.99, (sum by (le, job) (rate(http_request_duration_seconds_bucket{job=~'api|web'}[5m:1m] offset 1d))))",
        &expect![[r#"
            -histogram_quantile(
              0.99,
              (sum by (le, job) (rate(http_request_duration_seconds_bucket{job=~"api|web"}[5m:1m] offset 1d)))
            )"#]],
    );
    is_pretty(
        "topk(5, max_over_time((rate(node_network_receive_bytes_total{device!='lo'}[5m]) + rate(node_network_transmit_bytes_total{device!='lo'}[5m]))[1h:]))",
        &expect![[r#"
            topk(
              5,
              max_over_time(
                (
                    rate(node_network_receive_bytes_total{device!="lo"}[5m])
                  +
                    rate(node_network_transmit_bytes_total{device!="lo"}[5m])
                )[1h:]
              )
            )"#]],
    );
}

#[test]
fn faults_are_reported_as_prometheus_does() {
    fails("", &expect!["unknown position: parse error: no expression found in input"]);
    fails("1 +", &expect!["1:4: parse error: unexpected end of input"]);
    fails("foo bar", &expect![[r#"1:5: parse error: unexpected identifier "bar""#]]);
    fails(
        "rate(foo)",
        &expect![[
            r#"1:6: parse error: expected type range vector in call to function "rate", got instant vector"#
        ]],
    );
    fails(
        "foo[5m] + 1",
        &expect!["1:1: parse error: binary expression must contain only scalar and instant vector types"],
    );
    fails("{}", &expect!["1:1: parse error: vector selector must contain at least one non-empty matcher"]);
    fails("nope(1)", &expect![[r#"1:1: parse error: unknown function with name "nope""#]]);
    fails("1 == 1", &expect!["1:3: parse error: comparisons between scalars must use BOOL modifier"]);
    fails("sum(", &expect!["1:5: parse error: unclosed left parenthesis"]);
    fails("a\n  and b or )", &expect!["2:13: parse error: unexpected right parenthesis ')'"]);
    fails("sum(a b)", &expect![[r#"1:7: parse error: unexpected identifier "b" in aggregation"#]]);
    fails("abs(a b)", &expect![[r#"1:7: parse error: unexpected identifier "b""#]]);
    fails("a[5m][5m]", &expect!["1:6: parse error: ranges only allowed for vector selectors"]);
    fails("a @", &expect!["1:4: parse error: unexpected end of input in @, expected timestamp"]);
    let durations = "number, duration, step(), or range()";
    for (query, fault) in [
        ("a offset", "1:9: parse error: unexpected end of input in offset"),
        ("a[]", r#"1:3: parse error: unexpected "]" in subquery or range selector"#),
    ] {
        assert_eq!(parse(query).unwrap_err().to_string(), format!("{fault}, expected {durations}"));
    }
    fails("a !", &expect!["1:3: parse error: unexpected character after '!': '\u{fffd}'"]);
    fails("a = b", &expect![[r#"1:3: parse error: unexpected "=""#]]);
    fails("a}", &expect!["1:2: parse error: unexpected character: '}'"]);
    fails(r#""\q""#, &expect!["1:1: parse error: unknown escape sequence U+0071 'q'"]);
    fails(
        "1 and 2",
        &expect![[r#"1:1: parse error: set operator "and" not allowed in binary scalar expression"#]],
    );
    fails(
        "a and on(x) group_left b",
        &expect![[r#"1:1: parse error: no grouping allowed for "and" operation"#]],
    );
    fails("a + bool b", &expect!["1:3: parse error: bool modifier can only be used on comparison operators"]);
}

#[test]
fn selectors_are_found() {
    let matchers = parse_selector("up{job!=\"x\"}").unwrap();
    assert_eq!(matchers.len(), 2);
    assert!(parse_selector("up offset 5m").is_err());
    assert_eq!(selectors(&parse("rate(a[5m]) + on() b").unwrap()).len(), 2);
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn near_queries_never_panic(text in "[a-c0-9(){}\\[\\]:,@ +*/^=~!<>\"'smhby-]{0,40}") {
        if let Ok(expr) = parse(&text) {
            let printed = expr.to_string();
            proptest::prop_assert!(parse(&printed).is_ok(), "{} printed as {}", text, printed);
            proptest::prop_assert!(parse(&expr.pretty()).is_ok(), "{} printed as {}", text, expr.pretty());
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    assert!(parse(&"(".repeat(100_000)).is_err());
    assert!(parse(&"-".repeat(100_000)).is_err());
    assert!(parse(&vec!["a"; 10_000].join(" + ")).is_err());
}
