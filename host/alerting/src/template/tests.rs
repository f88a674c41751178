//! Templates, and what Go (and Prometheus' functions) make of them.

use proptest::prelude::*;

use super::*;

/// What `query` yields in these tests: two series of one expression, nothing of any other.
fn answers() -> Answers {
    let sample = |instance: &str, value| {
        (Labels::from_pairs([("__name__", "up"), ("instance", instance)]), model::Value::Float(value))
    };
    let mut answers = Answers::default();
    answers.insert("up".into(), Ok(vec![sample("b", 1.0), sample("a", 0.0)]));
    answers.insert("nothing".into(), Ok(Vec::new()));
    answers.insert("wrong(".into(), Err("parse error".to_owned()));
    answers
}

fn render(text: &str, value: f64) -> Result<String, TemplateError> {
    let labels = Labels::from_pairs([("instance", "db-1.example.org:9100"), ("severity", "page")]);
    let external = Labels::from_pairs([("region", "eu")]);
    let at = Timestamp::from_millis(1_435_065_584_128);
    let value = model::Value::Float(value);
    let data = RuleData::new(&labels, &value, &external, "http://localhost:9090/prom", at);
    match Template::parse(text)?.render(&data, &answers(), 1000)? {
        Rendered::Text(text) => Ok(text),
        Rendered::Needs(expr) => Ok(format!("needs {expr}")),
    }
}

fn check(text: &str, value: f64, expected: &str) {
    assert_eq!(render(text, value).as_deref(), Ok(expected), "{text}");
}

#[test]
fn queries_are_asked_of_whoever_renders() {
    check(r#"{{ query "up" | first | value }}"#, 0.0, "1");
    check(
        r#"{{ range query "up" | sortByLabel "instance" }}{{ .Labels.instance }}={{ .Value }} {{ end }}"#,
        0.0,
        "a=0 b=1 ",
    );
    check(r#"{{ range query "up" }}{{ label "instance" . }}{{ end }}"#, 0.0, "ba");
    check(r#"{{ with query "nothing" }}some{{ else }}none{{ end }}"#, 0.0, "none");
    check(r#"{{ if false }}{{ query "down" }}{{ end }}{{ or "x" (query "down") }}"#, 0.0, "x");
    check(r#"a{{ printf "sum(%s)" "down" | query }}"#, 0.0, "needs sum(down)");
    let error = |text: &str| render(text, 1.0).unwrap_err().to_string();
    assert_eq!(error(r#"{{ query "wrong(" }}"#), "execute template: error calling query: parse error");
    assert_eq!(
        error(r#"{{ query "nothing" | first }}"#),
        "execute template: error calling first: first() called on vector with no elements"
    );
}

#[test]
fn templates_have_names() {
    check(
        r#"{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" 1 }}{{ template "x" $value }}"#,
        2.5,
        "<1><2.5>",
    );
    check(r#"{{ template "late" }}{{ define "late" }}{{ . }}{{ end }}"#, 0.0, "<no value>");
    check(
        r#"{{ block "b" $labels }}{{ .severity }}{{ $.instance }}{{ end }}"#,
        0.0,
        "pagedb-1.example.org:9100",
    );
    check(r#"{{ define "n" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template "n" (args 1 "b") }}"#, 0.0, "1-b");
    check(r#"{{ define "t" }}{{ if gt . 0 }}{{ . }}{{ end }}{{ end }}{{ template "t" 3 }}"#, 0.0, "3");
    let error = |text: &str| render(text, 1.0).unwrap_err().to_string();
    assert_eq!(error(r#"{{ template "y" }}"#), "parse template: line 1: template \"y\" not defined");
    assert_eq!(
        error(r#"{{ define "x" }}{{ $labels }}{{ end }}"#),
        "parse template: line 1: undefined variable \"$labels\""
    );
    assert_eq!(
        error(r#"{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" 1 }}"#),
        "execute template: templates nest deeper than 128"
    );
    assert!(error(r#"{{ if true }}{{ define "x" }}{{ end }}{{ end }}"#).contains("inside a block"));
}

#[test]
fn ranges_break_and_continue() {
    let text = r#"{{ range $i, $s := query "up" }}{{ if eq $i 1 }}{{ break }}{{ end }}{{ $i }}{{ end }}"#;
    check(text, 0.0, "0");
    check(r#"{{ range 4 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ else }}none{{ end }}"#, 0.0, "023");
    check(r#"{{ $last := 0 }}{{ range $last = 3 }}{{ end }}{{ $last }}"#, 0.0, "2");
    assert!(render("{{ break }}", 0.0).unwrap_err().to_string().contains("outside {{range}}"));
}

#[test]
fn times_and_links() {
    check("{{ now }} {{ now | toTime }}", 0.0, "1.435065584128e+09 2015-06-23 13:19:44.128 +0000 UTC");
    check(r#"{{ (toTime 1435065584.128).Format "02 Jan 06 15:04 MST" }}"#, 0.0, "23 Jun 15 13:19 UTC");
    check(r#"{{ (now | toTime).Year }} {{ (toTime now).Weekday }}"#, 0.0, "2015 Tuesday");
    for (seconds, expected) in [
        (0.0, "0s"),
        (0.25, "250ms"),
        (61.5, "1m1.5s"),
        (3600.0, "1h0m0s"),
        (-90.0, "-1m30s"),
        (100_000.0, "27h46m40s"),
    ] {
        check("{{ toDuration $value }}", seconds, expected);
    }
    check("{{ (toDuration $value).Minutes }} {{ toDuration $value | humanizeDuration }}", 90.0, "1.5 1m 30s");
    check(r#"{{ graphLink "up == 1" }}"#, 0.0, "/graph?g0.expr=up+%3D%3D+1&g0.tab=0");
    check(r#"{{ tableLink "a/b" }}"#, 0.0, "/graph?g0.expr=a%2Fb&g0.tab=1");
    check("{{ externalURL }} {{ pathPrefix }}", 0.0, "http://localhost:9090/prom /prom");
    check(r#"{{ urlQueryEscape "a b&c" }} {{ urlquery "é" }}"#, 0.0, "a+b%26c %C3%A9");
    check(
        r#"{{ html "<a href='x'>&" }} {{ js "it's <b>" }}"#,
        0.0,
        r"&lt;a href=&#39;x&#39;&gt;&amp; it\'s \u003Cb\u003E",
    );
    check(
        r#"{{ "<b>" | safeHtml }} {{ slice "abcdef" 1 3 }} {{ 'a' }} {{ index "abc" 1 }}"#,
        0.0,
        "<b> bc 97 98",
    );
}

#[test]
fn values_and_labels() {
    check("plain", 1.0, "plain");
    check("{{ $value }}", 1.5, "1.5");
    check("{{ .Value }}", 1_000_000.0, "1e+06");
    check("{{ $labels.instance }} {{ .Labels.severity }}", 0.0, "db-1.example.org:9100 page");
    check("[{{ $labels.missing }}]", 0.0, "[]");
    check("{{ $externalLabels.region }} {{ $externalURL }}", 0.0, "eu http://localhost:9090/prom");
    check("{{ $labels }}", 0.0, "map[instance:db-1.example.org:9100 severity:page]");
    check("{{ $x := $value }}{{ $x = 2 }}{{ $x }}", 1.0, "2");
    check("{{ index $labels \"severity\" }}{{ ($labels).severity }}", 0.0, "pagepage");
    check(
        "{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
        0.0,
        "instance=db-1.example.org:9100;severity=page;",
    );
    check("{{ with $labels.severity }}<{{ . }}>{{ else }}none{{ end }}", 0.0, "<page>");
}

#[test]
fn floats_print_as_in_go() {
    for (value, expected) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (100_000.0, "100000"),
        (123_456_789.0, "1.23456789e+08"),
        (0.0001, "0.0001"),
        (0.000_012, "1.2e-05"),
        (12.75, "12.75"),
        (-0.25, "-0.25"),
        (1e300, "1e+300"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(go_float(value), expected);
    }
    assert_eq!(exponent(1.0), "1e+00");
    assert_eq!(exponent(0.0625), "6.25e-02");
}

#[test]
fn printf_follows_go() {
    check(r#"{{ printf "%.2f%% of %s" $value $labels.severity }}"#, 12.345, "12.35% of page");
    check(r#"{{ $value | printf "%v" }}"#, 2.0, "2");
    check(r#"{{ printf "%q %d %t" "a\"b" 7 true }}"#, 0.0, r#""a\"b" 7 true"#);
    check(r#"{{ printf "%d" $value }}"#, 2.0, "%!d(float64=2)");
    check(r#"{{ printf "%s" }}"#, 0.0, "%!s(MISSING)");
    check(r#"{{ printf "%6.1f|%-4d|%04d|%+d" 2.25 7 -7 7 }}"#, 0.0, "   2.2|7   |-007|+7");
    check(r#"{{ printf "%.3g %e" 1234.5 1234.5 }}"#, 0.0, "1.23e+03 1.234500e+03");
}

#[test]
fn numbers_for_people() {
    for (value, expected) in
        [(0.0, "0"), (1.0, "1"), (1_234_567.0, "1.235M"), (0.12, "120m"), (99_999.0, "100k"), (1e-6, "1u")]
    {
        check("{{ $value | humanize }}", value, expected);
    }
    check("{{ humanize1024 $value }}", 1_048_576.0, "1Mi");
    check("{{ humanize1024 $value }}", 0.5, "0.5");
    for (value, expected) in [
        (0.0, "0s"),
        (0.1, "100ms"),
        (1.5, "1.5s"),
        (-12.0, "-12s"),
        (65.0, "1m 5s"),
        (3_661.0, "1h 1m 1s"),
        (90_061.0, "1d 1h 1m 1s"),
    ] {
        check("{{ $value | humanizeDuration }}", value, expected);
    }
    check("{{ $value | humanizePercentage }}", 0.12345, "12.35%");
    check("{{ $value | humanizeTimestamp }}", 1_435_065_584.128, "2015-06-23 13:19:44.128 +0000 UTC");
}

#[test]
fn text_functions() {
    check(r#"{{ $labels.severity | toUpper }}{{ "AB" | toLower }}"#, 0.0, "PAGEab");
    check(r#"{{ title "aa bb-cc" }}"#, 0.0, "Aa Bb-Cc");
    check(r#"{{ reReplaceAll "([a-z]+)-(\\d)" "$2/$1" "db-1" }}"#, 0.0, "1/db");
    check(r#"{{ if match "^db" $labels.instance }}database{{ end }}"#, 0.0, "database");
    check("{{ $labels.instance | stripPort }}", 0.0, "db-1.example.org");
    check("{{ $labels.instance | stripDomain }}", 0.0, "db-1:9100");
}

#[test]
fn conditions_and_trims() {
    let text = r#"{{ if gt $value 10.0 }}high{{ else if gt $value 5.0 }}mid{{ else }}low{{ end }}"#;
    check(text, 11.0, "high");
    check(text, 6.0, "mid");
    check(text, 1.0, "low");
    check("a  {{- /* note */ -}}  b {{- 1 }}", 0.0, "ab1");
    check("{{ if and true (not false) }}yes{{ end }}", 0.0, "yes");
    check(r#"{{ eq $labels.severity "ticket" "page" }} {{ ne 1 2 }} {{ lt 1 2 }}"#, 0.0, "true true true");
    check("{{ or $labels.missing \"default\" }}", 0.0, "default");
}

#[test]
fn errors_say_what_is_wrong() {
    let error = |text: &str| render(text, 1.0).unwrap_err().to_string();
    assert_eq!(error("a\n{{ $value "), "parse template: line 2: unclosed action");
    assert_eq!(error("{{ nothing }}"), "parse template: line 1: function \"nothing\" not defined");
    assert_eq!(error("{{ $x }}"), "parse template: line 1: undefined variable \"$x\"");
    assert_eq!(
        error("{{ gt $value 1 }}"),
        "execute template: error calling gt: incompatible types for comparison (float64 and int)"
    );
    assert_eq!(error("{{ .Nope }}"), "execute template: can't evaluate field Nope");
    assert!(error("{{ if true }}").contains("{{end}} is missing"));
    assert_eq!(
        error("{{ call $value }}"),
        "execute template: error calling call: there is no value that is a function"
    );
}

#[test]
fn output_is_bounded() {
    let text = "x".repeat(600);
    assert_eq!(render(&format!("{text}{{{{ $value }}}}{text}"), 1.0), Err(TemplateError::TooLarge(1000)));
    assert!(Template::parse(&"{{ if 1 }}".repeat(1000)).is_err());
    assert!(Template::parse(&format!("{{{{ {}1 }}}}", "(".repeat(1000))).is_err());
}

/// Pieces of templates, so that random texts get past the lexer.
const PIECES: [&str; 32] = [
    "define", "template", "block", "break", "continue", "query", "range 3", "\"x\"", "{{", "}}", "{{-",
    "-}}", "if", "else", "end", "range", "with", " ", "$x", ":=", "=", "|", "(", ")", ".", "$labels",
    ".Value", "\"a", "\"", "printf", "/*", "1e9",
];

proptest! {
    #[test]
    fn arbitrary_templates_never_panic(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40),
        text in ".{0,40}",
        value in any::<f64>(),
    ) {
        for source in [pieces.concat(), text] {
            if let Ok(rendered) = render(&source, value) {
                prop_assert!(rendered.len() <= 1000);
            }
        }
    }

    #[test]
    fn arbitrary_floats_read_back(value in any::<f64>()) {
        let text = go_float(value);
        if value.is_nan() {
            prop_assert_eq!(text, "NaN");
        } else {
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }

    #[test]
    fn arbitrary_printf_patterns_never_panic(pattern in "[%a .0-9+#dfsvqegtx-]{0,12}", value in any::<f64>()) {
        let text = Value::from(pattern.clone());
        if let Ok(printed) = printf::printf(&pattern, &[Value::Float(value), Value::Int(7), text]) {
            prop_assert!(printed.len() < 20_000);
        }
    }
}

/// What Prometheus' own templates make of a few thousand texts (package template of 0.55, Go 1.26), one to a line; where
/// there is no `out`, they fail.
const GO: &str = include_str!("go.jsonl");

#[derive(serde::Deserialize)]
struct Recorded {
    template: String,
    out: Option<String>,
}

#[test]
fn templates_are_rendered_as_go_renders_them() {
    let sample = |labels: &[(&str, &str)], value| {
        (Labels::from_pairs(labels.iter().copied()), model::Value::Float(value))
    };
    let b = sample(&[("__name__", "metric"), ("instance", "b"), ("value_label", "two")], 2.5);
    let a = sample(&[("__name__", "metric"), ("instance", "a"), ("value_label", "one")], 11.0);
    let c = sample(&[("__name__", "metric"), ("instance", "c")], -0.001);
    let mut answers = Answers::default();
    answers.insert("one".into(), Ok(vec![a.clone()]));
    answers.insert("metric".into(), Ok(vec![b, a, c]));
    answers.insert("empty".into(), Ok(Vec::new()));
    let data = RuleData::new(
        &Labels::from_pairs([("instance", "host:9100"), ("job", "node"), ("path", "/a b")]),
        &model::Value::Float(1_234_567.891),
        &Labels::from_pairs([("cluster", "eu"), ("replica", "0")]),
        "http://prom.example:9090/prefix",
        Timestamp::from_millis(1_700_000_000_123),
    );
    let render = |text: &str| match Template::parse(text)?.render(&data, &answers, 10_000)? {
        Rendered::Text(text) => Ok(text),
        // Any other query fails.
        Rendered::Needs(expr) => Err(TemplateError::Execution(format!("unexpected query {expr}"))),
    };
    let mut wrong = Vec::new();
    for line in GO.lines() {
        let recorded: Recorded = serde_json::from_str(line).unwrap();
        let ours = render(&recorded.template);
        if ours.as_ref().ok() != recorded.out.as_ref() {
            wrong.push(format!("{:?}: Go has {:?}, we have {ours:?}", recorded.template, recorded.out));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
