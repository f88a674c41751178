//! What parses, what does not, and the words it is refused with.

use proptest::prelude::*;

use super::*;

fn refused(query: &str) -> String {
    Query::parse(query).unwrap_err().to_string()
}

#[test]
fn span_filters_parse() {
    for query in [
        "{}",
        " { } ",
        "{ true }",
        r#"{ resource.service.name = "x" && span.http.status_code >= 500 && name = "GET /" }"#,
        "{status=error&&duration>100ms&&kind=server}",
        "{ (.a = 1 || .b = 1.5) && (traceDuration > 1m30s) }",
        r#"{ span."with space" =~ "a.*" || rootName !~ `\d+` }"#,
        r#"{ trace:rootService != "a\"b" && span:id = "00" && .flag = true && .gone = nil }"#,
        "{ rootServiceName = \"x\" && duration >= 5 && .n < -3 }",
    ] {
        assert!(Query::parse(query).is_ok(), "{query}: {}", refused(query));
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (query, part) in [
        ("{} | count() > 2", "pipelines are not supported"),
        ("{} && {}", "combining span filters is not supported"),
        ("{} >> {}", "structural operators are not supported"),
        ("{ event.name = \"x\" }", "the scope of event.name is not supported"),
        ("{ parent.x = 1 }", "the scope of parent.x is not supported"),
        ("{ nestedSetParent < 0 }", "the intrinsic nestedSetParent is not supported"),
        ("{ .a + 1 = 2 }", "arithmetic is not supported"),
        ("{ .a = 1 + 2 }", "arithmetic is not supported"),
        ("{ .a = .b }", "comparing one field with another is not supported"),
        ("{ !(.a = 1) }", "negation is not supported"),
    ] {
        assert!(refused(query).contains(part), "{query}: {}", refused(query));
    }
}

#[test]
fn mistakes_are_named_with_their_position() {
    for (query, message) in [
        ("", "parse query at byte 0: expected {"),
        ("{", "parse query at byte 1: expected a condition, such as span.http.route = \"/\""),
        ("{ name }", "parse query at byte 7: expected a comparison, such as = or >="),
        (
            "{ name = }",
            "parse query at byte 9: expected a value: text in quotes, a number, a duration, a status or a kind",
        ),
        ("{ name = 5 }", "parse query at byte 9: name = cannot be followed by this value"),
        ("{ status > error }", "parse query at byte 11: status > cannot be followed by this value"),
        ("{ foo = 1 }", "parse query at byte 2: \"foo\" is no intrinsic; write .foo for an attribute"),
        ("{ .a = \"x }", "parse query at byte 7: text without a closing quote"),
        ("{ .a = 5x }", "parse query at byte 7: \"5x\" is neither a number nor a duration"),
        ("{ .a = 1 } x", "parse query at byte 11: expected the end of the query"),
        ("{ .a =~ 5 }", "parse query at byte 8: expected a regular expression in quotes"),
    ] {
        assert_eq!(refused(query), message, "{query}");
    }
    assert!(refused("{ .a =~ \"(\" }").contains("at byte 8: not a regular expression"));
    assert!(refused(&format!("{{ {}true{} }}", "(".repeat(9999), ")".repeat(9999))).contains("this deep"));
}

#[test]
fn durations_are_go_durations() {
    for (text, nanos) in [
        ("100ms", 100_000_000),
        ("1.5s", 1_500_000_000),
        ("1h30m", 5_400_000_000_000),
        ("10us", 10_000),
        ("3ns", 3),
    ] {
        assert_eq!(parse_duration_nanos(text), Some(nanos), "{text}");
    }
    for text in ["", "5", "s", "1.2.3s", "5x", "99999999999999h"] {
        assert_eq!(parse_duration_nanos(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,40}") {
        let _ = Query::parse(&text);
        let _ = crate::parse_tags(&text);
    }

    #[test]
    fn nearly_right_text_never_panics(words in proptest::collection::vec(
        prop::sample::select(vec!["{", "}", "(", ")", "span.", ".a", "=", "=~", "\"x", "\"", "&&", "||", "5ms", "é", "true", "!", "-"]), 0..12)) {
        let _ = Query::parse(&words.concat());
        let _ = crate::parse_tags(&words.concat());
    }
}
