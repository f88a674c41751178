//! What a configuration may say, and how its mistakes are told.

use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};

use super::*;

/// Loads `text` from a folder that also holds the plugin `known` and the rule file `good.yml`.
fn check(text: &str, expected: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("known.wasm"), b"").unwrap();
    fs::write(folder.path().join("good.yml"), "groups: [{name: g, rules: [{record: a, expr: b}]}]\n")
        .unwrap();
    fs::write(
        folder.path().join("bad.yml"),
        "groups:\n  - name: g\n    rules:\n      - record: a\n        expr: sum(\n",
    )
    .unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, text).unwrap();
    let shown = match load(&file, folder.path()) {
        Ok(loaded) => format!(
            "{} jobs, {} plugins, {} rule files",
            loaded.scrape_configs.len(),
            loaded.plugins.len(),
            loaded.rules.len()
        ),
        Err(errors) => errors.to_string(),
    };
    expected.assert_eq(&shown.replace(&format!("{}/", folder.path().display()), ""));
}

#[test]
fn a_configuration_of_every_part_loads() {
    check(
        "global: {scrape_interval: 5s}\n\
         scrape_configs:\n  - job_name: a\n    static_configs: [{targets: ['localhost:1']}]\n    \
         plugin_sd_configs: [{plugin: p}]\n\
         rule_files: ['good*.yml', 'none*.yml']\n\
         plugins:\n  - {name: p, plugin: known}\n  - {name: hook, plugin: known}\n\
         alertmanager:\n  route: {receiver: r}\n  receivers:\n    - name: r\n      plugin_configs: [{plugin: hook}]\n",
        &expect!["1 jobs, 2 plugins, 1 rule files"],
    );
    check("", &expect!["0 jobs, 0 plugins, 0 rule files"]);
}

#[test]
fn mistakes_name_file_line_and_key() {
    check("global:\n  scrape_intervall: 5s\n", &expect![""]);
    check("plugins:\n  - name: p\n    plugin: missing\n", &expect![""]);
    check("plugins:\n  - {name: p, plugin: known}\n  - {name: p, plugin: known}\n", &expect![""]);
    check("rule_files:\n  - bad.yml\n  - nowhere.yml\n", &expect![""]);
    check("scrape_configs:\n  - job_name: a\n    plugin_sd_configs:\n      - plugin: p\n", &expect![""]);
    check(
        "alertmanager:\n  route: {receiver: r}\n  receivers:\n    - name: r\n      plugin_configs: [{plugin: hook}]\n",
        &expect![""],
    );
    check("plugins:\n  - {name: d, plugin: known, detect: {expr: 'sum('}}\n", &expect![""]);
}

#[test]
fn the_embedded_defaults_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    for plugin in ["host-metrics", "zscore"] {
        fs::write(folder.path().join(format!("{plugin}.wasm")), b"").unwrap();
    }
    let loaded = embedded("127.0.0.1:9090", folder.path()).unwrap();
    assert_eq!(loaded.plugins.len(), 2);
    assert_eq!(loaded.rules.len(), 1);
    assert!(embedded("127.0.0.1:9090", Path::new("nowhere")).is_err());
}
