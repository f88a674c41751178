//! What a configuration may say, and how its mistakes are told.

use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};

use super::*;

/// Loads `text` from a folder that also holds the rule files `good.yml` and `bad.yml`.
fn check(text: &str, expected: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yml"), "groups: [{name: g, rules: [{record: a, expr: b}]}]\n")
        .unwrap();
    fs::write(
        folder.path().join("bad.yml"),
        "groups:\n  - name: g\n    rules:\n      - record: a\n        expr: sum(\n",
    )
    .unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, text).unwrap();
    let shown = match load(&file) {
        Ok(loaded) => format!(
            "{} jobs, {} plugins, {} rule files",
            loaded.scrape_configs.len(),
            loaded.plugins.len(),
            loaded.rules.len()
        ),
        Err(errors) => errors.to_string(),
    };
    let shown = shown.replace(&format!("{}/", folder.path().display()), "");
    // The list of what would have been right grows with every release.
    let lines: Vec<&str> = shown.lines().map(|l| l.split(", expected one of").next().unwrap_or(l)).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_configuration_of_every_part_loads() {
    check(
        "global: {scrape_interval: 5s}\n\
         scrape_configs:\n  - job_name: a\n    static_configs: [{targets: ['localhost:1']}]\n    \
         plugin_sd_configs: [{plugin: p}]\n\
         rule_files: ['good*.yml', 'good.yml', 'none*.yml']\n\
         plugins:\n  - {name: p, plugin: known}\n  - {name: hook, plugin: known}\n\
         alertmanager:\n  route: {receiver: r}\n  receivers:\n    - name: r\n      plugin_configs: [{plugin: hook}]\n",
        &expect!["1 jobs, 2 plugins, 1 rule files"],
    );
    check("", &expect!["0 jobs, 0 plugins, 0 rule files"]);
}

#[test]
fn mistakes_name_file_line_and_key() {
    check(
        "global:\n  scrape_intervall: 5s\n",
        &expect!["prometheus.yml:2:3: global.scrape_intervall: unknown field `scrape_intervall`"],
    );
    check(
        "scrape_configs:\n  - job_name: a\n  - job_name: b\n    scrape_timeout: 2m\n",
        &expect![[
            r#"prometheus.yml:3:5: scrape_configs: scrape config with job name "b": scrape timeout greater than scrape interval"#
        ]],
    );
    check(
        "plugins:\n  - {name: p, plugin: known}\n  - {name: p, plugin: known}\n",
        &expect![[
            r#"prometheus.yml:3:5: plugins.name: "p" already names a plugin or a job; it becomes a job label and must be unique"#
        ]],
    );
    check(
        "rule_files:\n  - bad.yml\n  - nowhere.yml\n",
        &expect![[r#"
        prometheus.yml:3:5: rule_files: there is no file nowhere.yml
        bad.yml:4:9: groups.rules.record: rule "a": could not parse expression: 1:5: parse error: unclosed left parenthesis"#]],
    );
    check(
        "scrape_configs:\n  - job_name: a\n    plugin_sd_configs:\n      - plugin: p\n",
        &expect![[
            r#"prometheus.yml:2:5: scrape_configs.plugin_sd_configs: no plugin is configured under the name "p""#
        ]],
    );
    check(
        "alertmanager:\n  route: {receiver: r}\n  receivers:\n    - name: r\n      plugin_configs: [{plugin: hook}]\n",
        &expect![[
            r#"prometheus.yml:2:3: alertmanager.receivers.plugin_configs: no plugin is configured under the name "hook""#
        ]],
    );
    check(
        "plugins:\n  - {name: d, plugin: known, detect: {expr: 'sum('}}\n",
        &expect!["prometheus.yml:2:5: plugins.detect.expr: 1:5: parse error: unclosed left parenthesis"],
    );
}

#[test]
fn jobs_stand_in_other_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = "scrape_configs: [{job_name: b, static_configs: [{targets: ['x:1']}]}]";
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("jobs.yml", jobs);
    write("a.yml", "scrape_config_files: ['j*.yml']\nscrape_configs: [{job_name: a}]\n");
    let loaded = load(&folder.path().join("a.yml")).unwrap();
    let names: Vec<&str> = loaded.scrape_configs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    write("a.yml", "scrape_config_files: [jobs.yml, none.yml]\nscrape_configs: [{job_name: b}]\n");
    let errors = load(&folder.path().join("a.yml")).unwrap_err().to_string();
    assert!(errors.contains("a.yml:1:33: scrape_config_files: there is no file"), "{errors}");
    assert!(errors.contains("jobs.yml: there is more than one job \"b\""), "{errors}");
}

#[test]
fn what_changes_nothing_is_told() {
    let text = "global: {external_labels: {a: '${STORMGLASS_TEST_IS_NOT_SET}'}}\n\
                runtime: {gogc: 75}\n\
                storage: {exemplars: {max_exemplars: 1}, tsdb: {chunk_encoding: {floats: xor2}}}\n";
    let loaded = Examined::of(Path::new("a.yml"), Path::new(""), text).unwrap().whole().unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    expect![[r#"
        a.yml: global.external_labels: the environment has no variable STORMGLASS_TEST_IS_NOT_SET
        a.yml:2:10: runtime: there is no garbage collector to tune
        a.yml: storage.exemplars: exemplars are kept as long as samples are
        a.yml: storage.tsdb.chunk_encoding: each chunk is written in the encoding that suits it"#]]
    .assert_eq(&warnings.join("\n"));
}

#[test]
fn the_embedded_defaults_are_valid() {
    let own =
        Reached { address: "127.0.0.1:9090".parse().unwrap(), scheme: "https", token: "hush".to_owned() };
    let loaded = embedded(&own, "/here").unwrap();
    assert_eq!((loaded.plugins.len(), loaded.rules.len()), (2, 1));
    assert!(loaded.text.contains("127.0.0.1:9090") && !loaded.text.contains("hush"), "{}", loaded.text);
    assert_eq!(loaded.scrape_configs[0].metrics_path, "/here/metrics");
}

#[test]
fn plugins_must_be_of_the_kind_that_they_are_used_as() {
    let text = "scrape_configs:\n  - {job_name: j, plugin_sd_configs: [{plugin: a}]}\n\
                plugins:\n  - {name: a, plugin: x}\n  - {name: b, plugin: x, detect: {expr: up}}\n\
                alertmanager: {route: {receiver: r}, receivers: [{name: r, plugin_configs: [{plugin: b}]}]}\n";
    let loaded = Examined::of(Path::new("a.yml"), Path::new(""), text).unwrap().whole().unwrap();
    let kinds = |a, b| BTreeMap::from([("a".to_owned(), vec![a]), ("b".to_owned(), vec![b])]);
    let errors = loaded.check_kinds(&kinds(Kind::Detector, Kind::Collector)).unwrap_err();
    expect![[r#"
        a.yml:4:5: plugins.detect: a detector needs a section `detect` with an `expr`
        a.yml:5:5: plugins.detect: there is something to detect, but the plugin is no detector
        a.yml:2:5: scrape_configs.plugin_sd_configs: plugin "a" is no discoverer
        a.yml:6:15: alertmanager.receivers.plugin_configs: plugin "b" is no receiver"#]]
    .assert_eq(&errors.to_string());
    let both = BTreeMap::from([
        ("a".to_owned(), vec![Kind::Discoverer]),
        ("b".to_owned(), vec![Kind::Detector, Kind::Receiver]),
    ]);
    loaded.check_kinds(&both).unwrap();
}

/// A file with every key that Prometheus documents.
const EVERY_KEY: &str = include_str!("tests/prometheus.yml");

#[test]
fn every_key_of_prometheus_is_taken_or_refused_by_name() {
    check(EVERY_KEY, &expect!["2 jobs, 0 plugins, 0 rule files"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, EVERY_KEY).unwrap();
    let told: Vec<String> = load(&file).unwrap().warnings.iter().map(ToString::to_string).collect();
    let told = told.join("\n").replace(&format!("{}/", folder.path().display()), "");
    expect![[r#"
        prometheus.yml:25:3: runtime: there is no garbage collector to tune
        prometheus.yml: storage.exemplars: exemplars are kept as long as samples are
        prometheus.yml: storage.tsdb.stale_series_compaction_threshold: series that have ended leave the head by themselves"#]]
    .assert_eq(&told);
    let job = "scrape_configs:\n  - job_name: a\n";
    check(
        &format!("{job}    oauth2: {{client_id: i, token_url: 'http://t', granted: x}}\n"),
        &expect!["prometheus.yml:3:51: scrape_configs.oauth2: unknown field `granted`"],
    );
    check(
        "alerting:\n  alertmanagers:\n    - sigv5: {}\n",
        &expect!["prometheus.yml:3:7: alerting.alertmanagers.sigv5: unknown field `sigv5`"],
    );
}
