//! Templates, and what Go (and Prometheus' functions) make of them.

use proptest::prelude::*;

use super::*;

fn render(text: &str, value: f64) -> Result<String, TemplateError> {
    let labels = Labels::from_pairs([("instance", "db-1.example.org:9100"), ("severity", "page")]);
    let external = Labels::from_pairs([("region", "eu")]);
    let data = RuleData::new(&labels, value, &external, "http://localhost:9090");
    Template::parse(text)?.render(&data, 1000)
}

fn check(text: &str, value: f64, expected: &str) {
    assert_eq!(render(text, value).as_deref(), Ok(expected), "{text}");
}

#[test]
fn values_and_labels() {
    check("plain", 1.0, "plain");
    check("{{ $value }}", 1.5, "1.5");
    check("{{ .Value }}", 1_000_000.0, "1e+06");
    check("{{ $labels.instance }} {{ .Labels.severity }}", 0.0, "db-1.example.org:9100 page");
    check("[{{ $labels.missing }}]", 0.0, "[]");
    check("{{ $externalLabels.region }} {{ $externalURL }}", 0.0, "eu http://localhost:9090");
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
    assert_eq!(error("{{ $x }}"), "execute template: undefined variable \"$x\"");
    assert_eq!(
        error("{{ gt $value 1 }}"),
        "execute template: error calling gt: incompatible types for comparison (float64 and int)"
    );
    assert_eq!(error("{{ .Nope }}"), "execute template: can't evaluate field Nope");
    assert!(error("{{ if true }}").contains("{{end}} is missing"));
    assert!(matches!(Template::parse("{{ query \"up\" }}"), Err(TemplateError::Unsupported { .. })));
    assert!(matches!(Template::parse("{{ define \"x\" }}{{ end }}"), Err(TemplateError::Unsupported { .. })));
}

#[test]
fn output_is_bounded() {
    let text = "x".repeat(600);
    assert_eq!(render(&format!("{text}{{{{ $value }}}}{text}"), 1.0), Err(TemplateError::TooLarge(1000)));
    assert!(Template::parse(&"{{ if 1 }}".repeat(1000)).is_err());
    assert!(Template::parse(&format!("{{{{ {}1 }}}}", "(".repeat(1000))).is_err());
}

/// Pieces of templates, so that random texts get past the lexer.
const PIECES: [&str; 24] = [
    "{{", "}}", "{{-", "-}}", "if", "else", "end", "range", "with", " ", "$x", ":=", "=", "|", "(", ")", ".",
    "$labels", ".Value", "\"a", "\"", "printf", "/*", "1e9",
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
        if let Ok(printed) = format::printf(&pattern, &[Value::Float(value), Value::Int(7), text]) {
            prop_assert!(printed.len() < 20_000);
        }
    }
}
