//! Configurations as people write them, and what is said of wrong ones.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn config(text: &str) -> Result<Config, String> {
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

#[test]
fn routes_inherit() {
    let config = config(
        r#"
global: {resolve_timeout: 2m}
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 10s
  routes:
    - matchers: ['severity="page"', 'team=~"a|b"']
      group_by: ['...']
      continue: true
      routes: [{match: {job: api}, match_re: {dc: "x.*"}, receiver: other}]
receivers:
  - name: hook
    plugin_configs: [{plugin: webhook}]
  - name: other
    plugin_configs: [{plugin: mail, send_resolved: false, max_alerts: 3}]
inhibit_rules:
  - {source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [instance]}
"#,
    )
    .unwrap();
    assert_eq!(config.resolve_timeout, Duration::from_secs(120));
    let page = &config.route.routes[0];
    assert_eq!((page.receiver.as_str(), page.group_wait), ("hook", Duration::from_secs(10)));
    assert_eq!(page.group_by, GroupBy::All);
    assert_eq!(matchers_text(&page.matchers), r#"{severity="page",team=~"a|b"}"#);
    let api = &page.routes[0];
    assert_eq!(matchers_text(&api.matchers), r#"{dc=~"^(?:x.*)$",job="api"}"#);
    assert_eq!(
        (api.group_by.clone(), api.continues, api.repeat_interval),
        (GroupBy::All, false, REPEAT_INTERVAL)
    );
    assert_eq!(
        config.receivers["other"],
        [PluginConfig { plugin: "mail".into(), send_resolved: false, max_alerts: 3 }]
    );
    assert_eq!(config.inhibit_rules[0].equal, ["instance"]);
}

#[test]
fn sections_of_receivers_are_kept_for_their_plugins() {
    let config = config(
        "{global: {slack_api_url: 'http://s', resolve_timeout: 1m}, templates: ['t/*.tmpl'], route: {receiver: a}, \
         receivers: [{name: a, slack_configs: [{channel: '#x'}, {channel: '#y'}], pagerduty_configs: [], \
         msteamsv2_configs: [{}]}]}",
    )
    .unwrap();
    let blocks: Vec<_> =
        config.blocks.iter().map(|b| (b.receiver.as_str(), b.kind, b.configs.len())).collect();
    assert_eq!(blocks, [("a", "slack", 2), ("a", "msteamsv2", 1)]);
    assert_eq!(config.blocks[0].configs[1], serde_json::json!({"channel": "#y"}));
    assert_eq!(config.settings, BTreeMap::from([("slack_api_url".to_owned(), "http://s".into())]));
    assert_eq!(config.templates, ["t/*.tmpl"]);
}

fn refused(text: &str, expected: &Expect) {
    let error = config(text).unwrap_err();
    expected.assert_eq(error.lines().next().unwrap_or_default());
}

#[test]
fn wrong_configurations_say_why() {
    refused("receivers: [{name: a}]", &expect!["no routes provided"]);
    refused(
        "{route: {group_wait: 1s}, receivers: [{name: a}]}",
        &expect!["root route must specify a default receiver"],
    );
    refused(
        "{route: {receiver: b}, receivers: [{name: a}]}",
        &expect![[r#"undefined receiver "b" used in route"#]],
    );
    refused(
        "{route: {receiver: a, matchers: [a=b]}, receivers: [{name: a}]}",
        &expect!["root route must not have any matchers"],
    );
    refused(
        "{route: {receiver: a}, receivers: [{name: a}, {name: a}]}",
        &expect![[r#"notification config name "a" is not unique"#]],
    );
    refused(
        "{route: {receiver: a, group_by: [x, x]}, receivers: [{name: a}]}",
        &expect![[r#"error: line 1 column 33: duplicated label "x" in group_by"#]],
    );
    refused(
        "{route: {receiver: a, group_by: [x, '...']}, receivers: [{name: a}]}",
        &expect![
            "error: line 1 column 33: cannot have wildcard group_by (`...`) and other labels at the same time"
        ],
    );
    refused(
        "{route: {receiver: a}, receivers: [{name: a, labels: {}}]}",
        &expect!["error: line 1 column 36: receiver labels is not supported yet: remove it"],
    );
    refused(
        "{route: {receiver: a}, receivers: [{name: a}], time_intervals: []}",
        &expect!["time_intervals is not supported yet: remove it"],
    );
    refused(
        "{route: {receiver: a}, receivers: [{name: a}], rout: 1}",
        &expect![
            "error: line 1 column 48: unknown field `rout`, expected one of global, route, receivers, inhibit_rules, templates, time_intervals, mute_time_intervals, event_recorder, tracing"
        ],
    );
    refused(
        "{route: {receiver: a, group_interval: 0s}, receivers: [{name: a}]}",
        &expect!["error: line 1 column 9: group_interval cannot be zero"],
    );
    refused(
        "{route: {receiver: a, routes: [{matchers: ['a=~\"(\"']}]}, receivers: [{name: a}]}",
        &expect![[
            r#"error: line 1 column 43: bad matcher format: a=~"(": error parsing regexp: missing closing ): `(`"#
        ]],
    );
}

#[test]
fn matchers_are_read_in_both_syntaxes() {
    let check = |text: &str, expected: &str| {
        assert_eq!(matchers_text(&parse_matchers(text).unwrap()), expected, "{text}");
    };
    check("a=b", r#"{a="b"}"#);
    check(r#"{a="b", c!~"d|e" , "f g"='h'}"#.replace('\'', "\"").as_str(), r#"{a="b",c!~"d|e","f g"="h"}"#);
    check(r#" a != "x\"y" "#, r#"{a!="x\"y"}"#);
    check("a=b c", r#"{a="b c"}"#);
    check("a=", r#"{a=""}"#);
    check("{}", "{}");
    check("a=~(x|y)", r#"{a=~"(x|y)"}"#);
    for wrong in ["", "a", "=b", "a=\"b", "{a=b", "a=~\"(\"", "1a=b c"] {
        assert!(parse_matchers(wrong).is_err(), "{wrong:?} was accepted");
    }
}

proptest! {
    #[test]
    fn matchers_read_back_what_they_print(name in "[a-z éü\"{}=,]{1,6}", value in any::<String>(), regex in any::<bool>()) {
        let op = if regex { MatchOp::NotRegex } else { MatchOp::Equal };
        if let Ok(matcher) = Matcher::new(op, name, value) {
            let text = matchers_text(std::slice::from_ref(&matcher));
            prop_assert_eq!(parse_matchers(&text).unwrap(), vec![matcher]);
        }
    }

    #[test]
    fn arbitrary_matchers_never_panic(text in "[ab{}=~!,\"\\\\ é\n]{0,20}") {
        if let Ok(matchers) = parse_matchers(&text) {
            prop_assert_eq!(parse_matchers(&matchers_text(&matchers)).unwrap(), matchers);
        }
    }
}
