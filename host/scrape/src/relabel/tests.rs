//! Every action over small label sets, and the rules that are refused.

use expect_test::{Expect, expect};

use super::*;

fn rules(yaml: &str) -> Vec<RelabelConfig> {
    serde_saphyr::from_str(yaml).unwrap()
}

fn check(input: &[(&str, &str)], yaml: &str, expected: &Expect) {
    let labels = Labels::from_pairs(input.iter().copied());
    let result = relabel(&labels, &rules(yaml)).map_or("dropped".to_owned(), |l| l.to_string());
    expected.assert_eq(&result);
}

fn check_refused(yaml: &str, expected: &Expect) {
    let error = serde_saphyr::from_str::<Vec<RelabelConfig>>(yaml).unwrap_err();
    let text = error.to_string();
    expected.assert_eq(text.lines().next().unwrap());
}

const ABC: &[(&str, &str)] = &[("a", "foo"), ("b", "bar"), ("c", "baz")];

#[test]
fn replace_expands_groups_in_target_and_value() {
    check(
        ABC,
        "[{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch$1'}]",
        &expect![[r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#]],
    );
    check(
        ABC,
        "[{source_labels: [a, b], regex: '(.*);(?P<rest>.*)', target_label: '${1}_x', replacement: '${rest}!'}]",
        &expect![[r#"{a="foo", b="bar", c="baz", foo_x="bar!"}"#]],
    );
    // The longest possible name is taken: `$1_x` is the group `1_x`, which is not there.
    check(
        ABC,
        "[{source_labels: [a], target_label: d, replacement: '$1_x.'}]",
        &expect![[r#"{a="foo", b="bar", c="baz", d="."}"#]],
    );
    check(
        ABC,
        "[{target_label: d, replacement: 'cost $$5'}]",
        &expect![[r#"{a="foo", b="bar", c="baz", d="cost $5"}"#]],
    );
}

#[test]
fn replace_without_a_match_changes_nothing_and_an_empty_value_removes() {
    check(
        ABC,
        "[{source_labels: [a], regex: 'o', target_label: b, replacement: x}]",
        &expect![[r#"{a="foo", b="bar", c="baz"}"#]],
    );
    check(
        ABC,
        "[{source_labels: [a], regex: 'f.*', target_label: b, replacement: ''}]",
        &expect![[r#"{a="foo", c="baz"}"#]],
    );
    check(
        ABC,
        "[{source_labels: [missing], target_label: '${1}', replacement: x}]",
        &expect![[r#"{a="foo", b="bar", c="baz"}"#]],
    );
}

#[test]
fn the_dot_matches_newlines() {
    check(
        &[("a", "x\ny")],
        "[{source_labels: [a], regex: 'x.y', target_label: b, replacement: ok}]",
        &expect![[r#"{a="x\ny", b="ok"}"#]],
    );
}

#[test]
fn keep_and_drop_are_anchored() {
    check(ABC, "[{source_labels: [a], regex: fo, action: keep}]", &expect!["dropped"]);
    check(
        ABC,
        "[{source_labels: [a], regex: fo, action: drop}]",
        &expect![[r#"{a="foo", b="bar", c="baz"}"#]],
    );
    check(
        ABC,
        "[{source_labels: [a, b], separator: '/', regex: foo/b.r, action: DROP}]",
        &expect!["dropped"],
    );
    check(
        ABC,
        "[{source_labels: [missing], regex: '|x', action: keep}]",
        &expect![[r#"{a="foo", b="bar", c="baz"}"#]],
    );
}

#[test]
fn keepequal_and_dropequal_compare_with_the_target_label() {
    let same = &[("a", "x"), ("b", "x")];
    check(
        same,
        "[{source_labels: [a], target_label: b, action: keepequal}]",
        &expect![[r#"{a="x", b="x"}"#]],
    );
    check(same, "[{source_labels: [a], target_label: b, action: dropequal}]", &expect!["dropped"]);
    check(ABC, "[{source_labels: [a], target_label: b, action: keepequal}]", &expect!["dropped"]);
    check(
        ABC,
        "[{source_labels: [a], target_label: b, action: dropequal}]",
        &expect![[r#"{a="foo", b="bar", c="baz"}"#]],
    );
}

#[test]
fn hashmod_agrees_with_prometheus() {
    check(
        &[("a", "foo"), ("b", "bar"), ("c", "baz")],
        "[{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}]",
        &expect![[r#"{a="foo", b="bar", c="baz", d="976"}"#]],
    );
    check(
        &[("a", "foo\nbar")],
        "[{source_labels: [a], target_label: b, action: hashmod, modulus: 1000}]",
        &expect![[r#"{a="foo\nbar", b="734"}"#]],
    );
}

#[test]
fn labelmap_copies_under_the_expanded_name() {
    check(
        &[("a", "foo"), ("__meta_x", "1"), ("__meta_y", "2"), ("not__meta_z", "3")],
        "[{regex: '__meta_(.*)', action: labelmap}]",
        &expect![[r#"{__meta_x="1", __meta_y="2", a="foo", not__meta_z="3", x="1", y="2"}"#]],
    );
    check(
        &[("k8s_app", "web")],
        "[{regex: 'k8s_(.+)', replacement: 'kube_$1', action: labelmap}]",
        &expect![[r#"{k8s_app="web", kube_app="web"}"#]],
    );
}

#[test]
fn labeldrop_and_labelkeep_go_by_name() {
    check(ABC, "[{regex: '[ab]', action: labeldrop}]", &expect![[r#"{c="baz"}"#]]);
    check(ABC, "[{regex: '[ab]', action: labelkeep}]", &expect![[r#"{a="foo", b="bar"}"#]]);
}

#[test]
fn case_actions_write_to_the_target_label() {
    check(
        &[("a", "FöO")],
        "[{source_labels: [a], target_label: l, action: lowercase}, {source_labels: [a], target_label: u, action: uppercase}]",
        &expect![[r#"{a="FöO", l="föo", u="FÖO"}"#]],
    );
}

#[test]
fn rules_see_what_earlier_rules_wrote() {
    check(
        ABC,
        "[{source_labels: [a], target_label: a, replacement: x}, {source_labels: [a], regex: x, action: drop}]",
        &expect!["dropped"],
    );
}

#[test]
fn rules_without_meaning_are_refused() {
    check_refused(
        "[{action: hashmod, target_label: x}]",
        &expect!["error: line 1 column 2: relabel configuration for hashmod requires non-zero modulus"],
    );
    check_refused(
        "[{source_labels: [a]}]",
        &expect![
            "error: line 1 column 2: relabel configuration for replace action requires 'target_label' value"
        ],
    );
    check_refused(
        "[{action: labeldrop, regex: x, target_label: y}]",
        &expect!["error: line 1 column 2: labeldrop action requires only 'regex', and no other fields"],
    );
    check_refused(
        "[{action: keepequal, target_label: y, source_labels: [x], regex: z}]",
        &expect![
            "error: line 1 column 2: keepequal action requires only 'source_labels' and 'target_label', and no other fields"
        ],
    );
    check_refused(
        "[{action: labelmap, replacement: ''}]",
        &expect![[r#"error: line 1 column 2: "" is invalid 'replacement' for labelmap action"#]],
    );
    check_refused(
        "[{action: upcase, target_label: x}]",
        &expect![[r#"error: line 1 column 11: unknown relabel action "upcase""#]],
    );
    check_refused(
        "[{target_label: x, regex: '('}]",
        &expect!["error: line 1 column 27: error parsing regexp: missing closing ): `(`"],
    );
    check_refused(
        "[{target_label: x, regexp: 'a'}]",
        &expect![
            "error: line 1 column 20: unknown field `regexp`, expected one of source_labels, separator, regex, modulus, target_label, replacement, action"
        ],
    );
}
