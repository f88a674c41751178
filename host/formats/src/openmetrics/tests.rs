//! What is accepted, and what is refused for which rule.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn verdict(text: &str) -> String {
    validate(text).map_or_else(|e| e.to_string(), |()| "accepted".to_owned())
}

/// Judges texts that lack nothing but their end.
fn check(texts: &[&str], expected: &Expect) {
    let verdicts = texts.iter().fold(String::new(), |mut all, text| {
        let _ = writeln!(all, "{text:?}: {}", verdict(&format!("{text}\n# EOF\n")));
        all
    });
    expected.assert_eq(&verdicts);
}

fn check_accepted(texts: &[&str]) {
    for text in texts {
        assert_eq!(verdict(&format!("{text}\n# EOF\n")), "accepted", "{text}");
    }
}

#[test]
fn good_texts_are_accepted() {
    check_accepted(&[
        "# HELP a \n# UNIT a ",
        "a 1\nb{} 2\nc{x=\"\",y=\"\u{2603}\"} NaN",
        "a{x=\"1\"} 1 2.5\na{x=\"1\"} 1 2.5\na{x=\"1\"} 1 3e3",
        "a +Inf\nb -inf\nc 1.\nd .5\ne -0001.5E+3",
        "# TYPE a counter\na_total 1 1 # {a=\"b\"} 0.5 2\na_created 3 1",
        "# TYPE a counter\na_total{x=\"} # {\"} 1 # {} 1",
        "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds \\n\ta\na_seconds -1",
        "# TYPE a info\na_info{a=\"1\"} 1 1\na_info{a=\"2\"} 1 0",
        "# TYPE a stateset\na{a=\"on\"} 1\na{a=\"off\"} 0.0",
        "# TYPE a summary\na_count 1\na_sum 2.5\na{quantile=\"0\"} 1\na{quantile=\"1.0\"} NaN\na_created 1",
        "# TYPE a histogram\na_bucket{le=\"-1\"} 0\na_bucket{le=\"+Inf\"} 1 # {t=\"x\"} 1 1",
        "# TYPE a histogram\na_count{x=\"1\"} 1\na_sum{x=\"1\"} 1\na_bucket{x=\"1\",le=\"+Inf\"} 1\n\
         a_bucket{le=\"+Inf\",x=\"2\"} 0",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 1\na_count 1 1\na_sum 1 1\n\
         a_bucket{le=\"+Inf\"} 2 2\na_count 2 2\na_sum 2 2",
        "# TYPE a gaugehistogram\na_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum -5",
        "# TYPE a gauge\n# TYPE b gauge",
    ]);
    assert_eq!(verdict("# EOF"), "accepted");
}

#[test]
fn the_end_is_one_and_last() {
    for (text, expected) in [
        ("", expect!["line 1: text does not end with # EOF"]),
        ("a 1\n", expect!["line 1: text does not end with # EOF"]),
        ("a 1\n# EOF\nb 1\n", expect!["line 3: data after # EOF"]),
        ("# EOF\n\n", expect!["line 2: data after # EOF"]),
        ("a 1\n# EOFb", expect![[r#"line 2: "EOFb" is neither HELP nor TYPE nor UNIT"#]]),
    ] {
        expected.assert_eq(&verdict(text));
    }
}

#[test]
fn blanks_and_quotes_count() {
    check(
        &[
            "a",
            "a ",
            "a  1",
            " a 1",
            "a 1 ",
            "a\t1",
            "a 1\t",
            "a 1\r",
            "a 1\n\nb 1",
            "0a 1",
            "a.b 1",
            "{\"a\"} 1",
            "a {x=\"1\"} 1",
            "a{ x=\"1\"} 1",
            "a{x=\"1\" } 1",
            "a{x=\"1\"}1",
            "a{x=\"1\", y=\"1\"} 1",
            "a{x=1} 1",
            "a{x='1'} 1",
            "a{x=\"1} 1",
            "a{x=\"\\\"} 1",
            "a{x} 1",
            "a{x\"1\"} 1",
            "a{=\"1\"} 1",
            "a{1=\"1\"} 1",
            "a{a:b=\"1\"} 1",
            "a{x=\"1\",} 1",
            "a{,} 1",
            "a{x=\"1\"y=\"1\"} 1",
            "a{x=\"1\",x=\"2\"} 1",
            "a{x=\"1\" 1",
        ],
        &expect![[r#"
            "a": line 1: expected a blank, got the end of the line
            "a ": line 1: "" is no number
            "a  1": line 1: "" is no number
            " a 1": line 1: expected a metric name, got ' '
            "a 1 ": line 1: "" is no timestamp
            "a\t1": line 1: expected a blank, got '\t'
            "a 1\t": line 1: expected a blank, got '\t'
            "a 1\r": line 1: "1\r" is no number
            "a 1\n\nb 1": line 2: blank line
            "0a 1": line 1: expected a metric name, got '0'
            "a.b 1": line 1: expected a blank, got '.'
            "{\"a\"} 1": line 1: expected a metric name, got '{'
            "a {x=\"1\"} 1": line 1: "{x=\"1\"}" is no number
            "a{ x=\"1\"} 1": line 1: expected a label name, got ' '
            "a{x=\"1\" } 1": line 1: expected , or }, got ' '
            "a{x=\"1\"}1": line 1: expected a blank, got '1'
            "a{x=\"1\", y=\"1\"} 1": line 1: expected a label name, got ' '
            "a{x=1} 1": line 1: expected a quoted label value, got '1'
            "a{x='1'} 1": line 1: expected a quoted label value, got '\''
            "a{x=\"1} 1": line 1: quoted text does not end
            "a{x=\"\\\"} 1": line 1: quoted text does not end
            "a{x} 1": line 1: expected = after the label name, got '}'
            "a{x\"1\"} 1": line 1: expected = after the label name, got '"'
            "a{=\"1\"} 1": line 1: expected a label name, got '='
            "a{1=\"1\"} 1": line 1: expected a label name, got '1'
            "a{a:b=\"1\"} 1": line 1: expected = after the label name, got ':'
            "a{x=\"1\",} 1": line 1: expected a label name, got '}'
            "a{,} 1": line 1: expected a label name, got ','
            "a{x=\"1\"y=\"1\"} 1": line 1: expected , or }, got 'y'
            "a{x=\"1\",x=\"2\"} 1": line 1: label "x" is given twice
            "a{x=\"1\" 1": line 1: expected , or }, got ' '
        "#]],
    );
}

#[test]
fn numbers_are_decimal() {
    check(
        &[
            "a x",
            "a 1_2",
            "a 0x1",
            "a 0b1",
            "a 1e",
            "a 1.1.1",
            "a -NaN",
            "a 1 NaN",
            "a 1 Inf",
            "a 1 1_2",
            "a 1 1e999",
            "a 1 1 1",
        ],
        &expect![[r#"
            "a x": line 1: "x" is no number
            "a 1_2": line 1: "1_2" is no number
            "a 0x1": line 1: "0x1" is no number
            "a 0b1": line 1: "0b1" is no number
            "a 1e": line 1: "1e" is no number
            "a 1.1.1": line 1: "1.1.1" is no number
            "a -NaN": line 1: "-NaN" is no number
            "a 1 NaN": line 1: "NaN" is no timestamp
            "a 1 Inf": line 1: "Inf" is no timestamp
            "a 1 1_2": line 1: "1_2" is no timestamp
            "a 1 1e999": line 1: "1e999" is no timestamp
            "a 1 1 1": line 1: expected an exemplar or the end of the line, got '1'
        "#]],
    );
}

#[test]
fn metadata_comes_once_and_first() {
    check(
        &[
            "#",
            "# ",
            "#HELP a b",
            "# help a b",
            "# FOO a x",
            "# HELP",
            "# HELP a",
            "# HELP a\tx",
            "# HELP  x",
            "# HELP a.b x",
            " # HELP a x",
            "# TYPE a",
            "# TYPE a Gauge",
            "# TYPE a gauge ",
            "# TYPE a untyped",
            "# UNIT a",
            "# UNIT a s",
            "# UNIT as s",
            "# UNIT a_s s ",
            "# TYPE a_s info\n# UNIT a_s s",
            "# UNIT a_s s\n# TYPE a_s stateset",
            "# HELP a x\n# HELP a x",
            "# TYPE a gauge\n# TYPE a gauge",
            "# UNIT a_s s\n# UNIT a_s s",
            "# TYPE a gauge\na 1\n# HELP a x",
            "# HELP a x\na 1\n# TYPE a gauge",
        ],
        &expect![[r##"
            "#": line 1: expected a blank, got the end of the line
            "# ": line 1: "" is neither HELP nor TYPE nor UNIT
            "#HELP a b": line 1: expected a blank, got 'H'
            "# help a b": line 1: "help" is neither HELP nor TYPE nor UNIT
            "# FOO a x": line 1: "FOO" is neither HELP nor TYPE nor UNIT
            "# HELP": line 1: expected a blank, got the end of the line
            "# HELP a": line 1: expected a blank, got the end of the line
            "# HELP a\tx": line 1: expected a blank, got '\t'
            "# HELP  x": line 1: expected a metric name, got ' '
            "# HELP a.b x": line 1: expected a blank, got '.'
            " # HELP a x": line 1: expected a metric name, got ' '
            "# TYPE a": line 1: expected a blank, got the end of the line
            "# TYPE a Gauge": line 1: "Gauge" is no metric type
            "# TYPE a gauge ": line 1: "gauge " is no metric type
            "# TYPE a untyped": line 1: "untyped" is no metric type
            "# UNIT a": line 1: expected a blank, got the end of the line
            "# UNIT a s": line 1: the name "a" does not end in _ and the unit "s"
            "# UNIT as s": line 1: the name "as" does not end in _ and the unit "s"
            "# UNIT a_s s ": line 1: the name "a_s" does not end in _ and the unit "s "
            "# TYPE a_s info\n# UNIT a_s s": line 2: a family of type info has no unit
            "# UNIT a_s s\n# TYPE a_s stateset": line 2: a family of type stateset has no unit
            "# HELP a x\n# HELP a x": line 2: the same kind of metadata of "a" again
            "# TYPE a gauge\n# TYPE a gauge": line 2: the same kind of metadata of "a" again
            "# UNIT a_s s\n# UNIT a_s s": line 2: the same kind of metadata of "a_s" again
            "# TYPE a gauge\na 1\n# HELP a x": line 3: metadata of "a" after its samples
            "# HELP a x\na 1\n# TYPE a gauge": line 3: metadata of "a" after its samples
        "##]],
    );
}

#[test]
fn names_belong_to_one_family() {
    check(
        &[
            "a 1\nb 1\na 2",
            "# TYPE a counter\na 1",
            "# TYPE a counter\na_total 1\n# TYPE b gauge\n# HELP a x",
            "# TYPE a_created gauge\n# TYPE a counter",
            "# TYPE a counter\na_total 1\n# TYPE a_total gauge",
            "# TYPE a info\na 1",
            "# TYPE a gaugehistogram\na_sum 1",
        ],
        &expect![[r##"
            "a 1\nb 1\na 2": line 3: the name "a" belongs to an earlier family
            "# TYPE a counter\na 1": line 2: the name "a" belongs to an earlier family
            "# TYPE a counter\na_total 1\n# TYPE b gauge\n# HELP a x": line 4: the name "a" belongs to an earlier family
            "# TYPE a_created gauge\n# TYPE a counter": line 2: the name "a_created" belongs to an earlier family
            "# TYPE a counter\na_total 1\n# TYPE a_total gauge": line 3: the name "a_total" belongs to an earlier family
            "# TYPE a info\na 1": line 2: the name "a" belongs to an earlier family
            "# TYPE a gaugehistogram\na_sum 1": accepted
        "##]],
    );
}

#[test]
fn samples_of_a_metric_stand_together_in_time() {
    check(
        &[
            "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 1\na{x=\"1\"} 1 1",
            "# TYPE a summary\na_sum{x=\"1\"} 1\na_sum{x=\"2\"} 1\na{x=\"1\",quantile=\"1\"} 1",
            "a 1 2\na 1 1.5",
            "a 1 -1\na 1 -1.1",
            "a 1\na 1 1",
            "a 1 1\na 1",
            "a 1\na 1",
            "# TYPE a info\na_info 1\na_info{x=\"1\"} 1 1",
        ],
        &expect![[r##"
            "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 1\na{x=\"1\"} 1 1": line 4: samples of one metric do not stand together
            "# TYPE a summary\na_sum{x=\"1\"} 1\na_sum{x=\"2\"} 1\na{x=\"1\",quantile=\"1\"} 1": line 4: samples of one metric do not stand together
            "a 1 2\na 1 1.5": line 2: timestamps of a metric go back
            "a 1 -1\na 1 -1.1": line 2: timestamps of a metric go back
            "a 1\na 1 1": line 2: some samples of a metric have timestamps and some have none
            "a 1 1\na 1": line 2: some samples of a metric have timestamps and some have none
            "a 1\na 1": line 2: a second sample of the same series, without timestamps
            "# TYPE a info\na_info 1\na_info{x=\"1\"} 1 1": line 3: some samples of a metric have timestamps and some have none
        "##]],
    );
}

#[test]
fn types_ask_for_labels_values_and_exemplars() {
    check(
        &[
            "# TYPE a counter\na_total NaN",
            "# TYPE a counter\na_total -1",
            "# TYPE a counter\na_created 1 # {x=\"1\"} 1",
            "# TYPE a gauge\na 1 # {x=\"1\"} 1",
            "a 1 # {x=\"1\"} 1",
            "# TYPE a stateset\na 1",
            "# TYPE a stateset\na{a=\"x\"} 2",
            "# TYPE a info\na_info 2",
            "# TYPE a summary\na 1",
            "# TYPE a summary\na{quantile=\"1.01\"} 1",
            "# TYPE a summary\na{quantile=\"NaN\"} 1",
            "# TYPE a summary\na{quantile=\"1\"} -1",
            "# TYPE a summary\na_count 0.5",
            "# TYPE a summary\na_sum -1",
            "# TYPE a histogram\na_bucket 1",
            "# TYPE a histogram\na_bucket{le=\"x\"} 1",
            "# TYPE a histogram\na_bucket{le=\"NaN\"} 1",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0.5",
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} -1",
            "# TYPE a histogram\na_sum 1 # {x=\"1\"} 1",
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum NaN",
        ],
        &expect![[r##"
            "# TYPE a counter\na_total NaN": line 2: _total is NaN
            "# TYPE a counter\na_total -1": line 2: _total is negative
            "# TYPE a counter\na_created 1 # {x=\"1\"} 1": line 2: only _total of counters and _bucket of histograms have exemplars
            "# TYPE a gauge\na 1 # {x=\"1\"} 1": line 2: only _total of counters and _bucket of histograms have exemplars
            "a 1 # {x=\"1\"} 1": line 1: only _total of counters and _bucket of histograms have exemplars
            "# TYPE a stateset\na 1": line 2: a sample of a stateset has no label "a"
            "# TYPE a stateset\na{a=\"x\"} 2": line 2: a state is neither 0 nor 1
            "# TYPE a info\na_info 2": line 2: an info is not 1
            "# TYPE a summary\na 1": line 2: a quantile has no label quantile
            "# TYPE a summary\na{quantile=\"1.01\"} 1": line 2: the label quantile is no number from 0 to 1
            "# TYPE a summary\na{quantile=\"NaN\"} 1": line 2: the label quantile is no number from 0 to 1
            "# TYPE a summary\na{quantile=\"1\"} -1": line 2: a quantile is negative
            "# TYPE a summary\na_count 0.5": line 2: _count is no whole number
            "# TYPE a summary\na_sum -1": line 2: _sum is negative
            "# TYPE a histogram\na_bucket 1": line 2: a bucket has no label le
            "# TYPE a histogram\na_bucket{le=\"x\"} 1": line 2: the label le is no number
            "# TYPE a histogram\na_bucket{le=\"NaN\"} 1": line 2: the label le is no number
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0.5": line 2: _bucket is no whole number
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} -1": line 2: _bucket is negative
            "# TYPE a histogram\na_sum 1 # {x=\"1\"} 1": line 2: only _total of counters and _bucket of histograms have exemplars
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum NaN": line 4: _gsum is NaN
        "##]],
    );
}

#[test]
fn exemplars_have_a_grammar_too() {
    let long = format!("# {{a=\"{}\"}} 1", "\u{2603}".repeat(128));
    let texts: Vec<String> = [
        "#",
        "# ",
        "# {}",
        "# {} ",
        "# {}1",
        "#{} 1",
        "# 1",
        "# {} 1 ",
        "# {} 1 1 ",
        "# {} 1 Inf",
        "# {} 0x1",
        "# {} 1 1 1",
        "# {x=\"1\",} 1",
        "# {x=\"1\",x=\"1\"} 1",
        "# x=\"1\"} 1",
        &long,
    ]
    .iter()
    .map(|exemplar| format!("# TYPE a counter\na_total 1 {exemplar}"))
    .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    check(
        &texts,
        &expect![[r##"
        "# TYPE a counter\na_total 1 #": line 2: expected a blank, got the end of the line
        "# TYPE a counter\na_total 1 # ": line 2: expected {, got the end of the line
        "# TYPE a counter\na_total 1 # {}": line 2: expected a blank, got the end of the line
        "# TYPE a counter\na_total 1 # {} ": line 2: "" is no number
        "# TYPE a counter\na_total 1 # {}1": line 2: expected a blank, got '1'
        "# TYPE a counter\na_total 1 #{} 1": line 2: expected a blank, got '{'
        "# TYPE a counter\na_total 1 # 1": line 2: expected {, got '1'
        "# TYPE a counter\na_total 1 # {} 1 ": line 2: "" is no timestamp
        "# TYPE a counter\na_total 1 # {} 1 1 ": line 2: expected the end of the line, got ' '
        "# TYPE a counter\na_total 1 # {} 1 Inf": line 2: "Inf" is no timestamp
        "# TYPE a counter\na_total 1 # {} 0x1": line 2: "0x1" is no number
        "# TYPE a counter\na_total 1 # {} 1 1 1": line 2: expected the end of the line, got ' '
        "# TYPE a counter\na_total 1 # {x=\"1\",} 1": line 2: expected a label name, got '}'
        "# TYPE a counter\na_total 1 # {x=\"1\",x=\"1\"} 1": line 2: label "x" is given twice
        "# TYPE a counter\na_total 1 # x=\"1\"} 1": line 2: expected {, got 'x'
        "# TYPE a counter\na_total 1 # {a=\"☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃\"} 1": line 2: the exemplar's labels have 129 characters, more than 128
    "##]],
    );
    check_accepted(&[&texts[texts.len() - 1].replacen('\u{2603}', "", 1)]);
}

#[test]
fn histograms_fit_together() {
    let h = |samples: &str| format!("# TYPE a histogram\n{samples}");
    let g = |samples: &str| format!("# TYPE a gaugehistogram\n{samples}");
    let texts = [
        h("a_sum 1"),
        h("a_created 1"),
        h("a_bucket{le=\"1\"} 0"),
        h("a_bucket{le=\"2\"} 0\na_bucket{le=\"1\"} 0\na_bucket{le=\"+Inf\"} 0"),
        h("a_bucket{le=\"1\"} 0\na_bucket{le=\"1.0\"} 0\na_bucket{le=\"+Inf\"} 0"),
        h("a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 0"),
        h("a_bucket{le=\"+Inf\"} 0\na_bucket{le=\"1\"} 0"),
        h("a_bucket{le=\"+Inf\"} 0\na_count 1\na_sum 0"),
        h("a_bucket{le=\"+Inf\"} 0\na_count 0"),
        h("a_bucket{le=\"+Inf\"} 0\na_sum 0"),
        h("a_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1"),
        h("a_bucket{le=\"+Inf\"} 0 1\na_bucket{le=\"1\"} 0 2"),
        h("a_bucket{x=\"1\",le=\"1\"} 0\na_bucket{x=\"2\",le=\"+Inf\"} 0\na_bucket{x=\"1\",le=\"+Inf\"} 0"),
        h("a_bucket{x=\"1\",le=\"1\"} 0\na_bucket{x=\"2\",le=\"+Inf\"} 0\n# TYPE b gauge"),
        g("a_bucket{le=\"+Inf\"} 1\na_gsum 1"),
        g("a_bucket{le=\"+Inf\"} 1\na_gcount 1"),
        g("a_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum -1"),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    check(
        &texts,
        &expect![[r##"
        "# TYPE a histogram\na_sum 1": line 2: a histogram's last bucket is not +Inf
        "# TYPE a histogram\na_created 1": line 2: a histogram's last bucket is not +Inf
        "# TYPE a histogram\na_bucket{le=\"1\"} 0": line 2: a histogram's last bucket is not +Inf
        "# TYPE a histogram\na_bucket{le=\"2\"} 0\na_bucket{le=\"1\"} 0\na_bucket{le=\"+Inf\"} 0": line 3: bounds of buckets do not increase
        "# TYPE a histogram\na_bucket{le=\"1\"} 0\na_bucket{le=\"1.0\"} 0\na_bucket{le=\"+Inf\"} 0": line 3: bounds of buckets do not increase
        "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 0": line 3: counts of buckets decrease
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_bucket{le=\"1\"} 0": line 3: bounds of buckets do not increase
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_count 1\na_sum 0": line 4: the count is not that of the bucket +Inf
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_count 0": line 3: a histogram has a count and no sum
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_sum 0": line 3: a histogram has a sum and no count
        "# TYPE a histogram\na_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1": line 5: a histogram with negative bounds has a sum
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0 1\na_bucket{le=\"1\"} 0 2": line 3: a histogram's last bucket is not +Inf
        "# TYPE a histogram\na_bucket{x=\"1\",le=\"1\"} 0\na_bucket{x=\"2\",le=\"+Inf\"} 0\na_bucket{x=\"1\",le=\"+Inf\"} 0": line 3: a histogram's last bucket is not +Inf
        "# TYPE a histogram\na_bucket{x=\"1\",le=\"1\"} 0\na_bucket{x=\"2\",le=\"+Inf\"} 0\n# TYPE b gauge": line 3: a histogram's last bucket is not +Inf
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gsum 1": line 3: a histogram has a sum and no count
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount 1": line 3: a histogram has a count and no sum
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum -1": line 4: the sum is negative and no bound is
    "##]],
    );
}

/// The specification's own cases, where they are at hand.
#[test]
fn the_cases_of_the_specification_are_judged_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/openmetrics");
    let Ok(cases) = fs::read_dir(folder) else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases {
        let case = case.unwrap().path();
        let wanted = fs::read_to_string(case.join("test.json")).unwrap();
        let wanted: serde_json::Value = serde_json::from_str(&wanted).unwrap();
        let text = fs::read(case.join("metrics")).unwrap();
        let judged = std::str::from_utf8(&text).map_err(|e| e.to_string());
        let judged = judged.and_then(|text| validate(text).map_err(|e| e.to_string()));
        if judged.is_ok() != wanted["shouldParse"].as_bool().unwrap() {
            wrong.push(format!("{}: {judged:?}", case.display()));
        }
        count += 1;
    }
    assert!(
        wrong.is_empty() && count > 0,
        "{} of {count} are judged wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        text in r#"([a-c_:{}",=\\# \t0-9.ä-]|# HELP a|# TYPE a (counter|info|histogram|summary)\n|# UNIT a_s s|# EOF|_total|_bucket|le="|\n){0,60}"#,
    ) {
        verdict(&text);
    }
}
