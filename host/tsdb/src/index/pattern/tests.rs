//! Forms are told right, and say no more than is true.

use expect_test::{Expect, expect};
use model::{MatchOp, Matcher};

use super::{Form, Pattern};

fn form_of(pattern: &str) -> String {
    let matcher = Matcher::new(MatchOp::Regex, "name", pattern).unwrap();
    let text = |any: &[Vec<u8>]| {
        any.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect::<Vec<_>>().join(" ")
    };
    let whole = |whole: bool| if whole { ", whole" } else { "" };
    match Pattern::new(&matcher).form() {
        Form::Values(values) => format!("values [{}]", values.join(" ")),
        Form::Prefixes { any, whole: all } => format!("prefixes [{}]{}", text(any), whole(*all)),
        Form::Infixes { any, whole: all } => format!("infixes [{}]{}", text(any), whole(*all)),
        other => format!("{other:?}"),
    }
}

fn check(patterns: &[&str], expected: &Expect) {
    let told: Vec<String> =
        patterns.iter().map(|pattern| format!("{pattern:20} {}", form_of(pattern))).collect();
    expected.assert_eq(&told.join("\n"));
}

#[test]
fn forms_are_told_from_patterns() {
    check(
        &[
            "",
            ".*",
            ".+",
            "(.*)",
            "^.+$",
            "api",
            "a|b|",
            "node_(cpu|disk)_[ab]",
            "(?i)ab",
            "x{2,3}",
            "payments-.*",
            "payments-[0-9]+",
            "(foo|bar)-.*",
            "(?i)foo.*",
            ".*f00.*",
            ".*-abc.+",
            ".+(east|west).*",
            "(?:.*x)+",
            "[0-9]+",
            ".*[0-9]",
            "a.*|b.*",
            "(a)|(b)",
            r"\bx",
            "a$",
            "(?-s:.*)",
        ],
        &expect![[r#"
                                 values []
            .*                   Anything
            .+                   Something
            (.*)                 Anything
            ^.+$                 Something
            api                  values [api]
            a|b|                 values [a b]
            node_(cpu|disk)_[ab] values [node_cpu_a node_cpu_b node_disk_a node_disk_b]
            (?i)ab               values [AB Ab aB ab]
            x{2,3}               values [xx xxx]
            payments-.*          prefixes [payments-], whole
            payments-[0-9]+      prefixes [payments-]
            (foo|bar)-.*         prefixes [foo- bar-], whole
            (?i)foo.*            prefixes [FOO FOo FoO Foo fOO fOo foO foo], whole
            .*f00.*              infixes [f00], whole
            .*-abc.+             infixes [-abc]
            .+(east|west).*      infixes [east west]
            (?:.*x)+             Other
            [0-9]+               prefixes [0 1 2 3 4 5 6 7 8 9]
            .*[0-9]              Other
            a.*|b.*              prefixes [a b]
            (a)|(b)              values [a b]
            \bx                  prefixes [x]
            a$                   values [a]
            (?-s:.*)             Other"#]],
    );
}
