//! `stormglass check config` and `check rules` beside promtool's: the same verdict, exit status and, where nothing is
//! wrong, the same words. What is wrong we say with file, line and key.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::server::binary;

const FILES: [(&str, &str); 7] = [
    (
        "good.yml",
        "global: {scrape_interval: 15s}\nrule_files: [rules.yml, 'r*.yml', 'none*.yml']\n\
         scrape_configs: [{job_name: a, static_configs: [{targets: ['x:1']}]}]\n",
    ),
    (
        "rules.yml",
        "groups:\n- name: g\n  rules:\n  - {record: 'job:up:sum', expr: sum by (job) (up)}\n  \
         - {alert: Up, expr: up == 1, for: 5m, annotations: {summary: '{{ $labels.job }} is up'}}\n",
    ),
    (
        "twice.yml",
        "groups:\n- name: g\n  rules:\n  - {record: a, expr: b, labels: {x: 'y'}}\n  \
         - {record: a, expr: c, labels: {x: 'y'}}\n",
    ),
    ("broken.yml", "groups:\n- name: g\n  rules:\n  - {record: a, expr: 'sum('}\n"),
    ("names_broken.yml", "rule_files: [broken.yml]\n"),
    ("names_nothing.yml", "rule_files: [nothing.yml]\n"),
    ("unknown.yml", "global:\n  scrape_intervall: 15s\n"),
];

fn run(program: &Path, folder: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new(program).arg("check").args(arguments).current_dir(folder).output().ok()
}

/// Both have to end alike; where `words`, they have to say the same too. Answers with what we say.
fn check(folder: &Path, arguments: &[&str], status: i32, words: bool) -> String {
    let ours = run(&binary(), folder, arguments).unwrap();
    let text = |output: &Output| {
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(ours.status.code(), Some(status), "{arguments:?}: {:?}", text(&ours));
    // Not everybody has it.
    if let Some(theirs) = run(Path::new("promtool"), folder, arguments) {
        assert_eq!(theirs.status.code(), Some(status), "{arguments:?}: {:?}", text(&theirs));
        if words {
            assert_eq!(text(&ours), text(&theirs), "{arguments:?}");
        }
    }
    let (out, err) = text(&ours);
    out + &err
}

#[test]
fn verdicts_on_configurations_and_rules_are_those_of_promtool() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let check = |arguments: &[&str], status, words| check(folder.path(), arguments, status, words);
    check(&["config", "good.yml"], 0, false);
    check(&["config", "--syntax-only", "names_nothing.yml"], 0, true);
    check(&["rules", "rules.yml"], 0, true);
    check(&["rules", "rules.yml", "twice.yml"], 0, true);
    check(&["rules", "--lint=none", "twice.yml"], 0, true);
    check(&["rules", "--lint-fatal", "twice.yml"], 3, true);
    let broken = check(&["rules", "broken.yml", "rules.yml"], 1, false);
    assert!(broken.contains("broken.yml:4:5: rule \"a\": could not parse"), "{broken}");
    let broken = check(&["config", "names_broken.yml"], 1, false);
    assert!(broken.contains("SUCCESS: 1 rule files found") && broken.contains("broken.yml:4:5"), "{broken}");
    let nothing = check(&["config", "names_nothing.yml", "good.yml"], 1, false);
    assert!(nothing.contains("names_nothing.yml:1:14: rule_files: there is no file"), "{nothing}");
    let unknown = check(&["config", "unknown.yml"], 1, false);
    assert!(unknown.contains("unknown.yml:2:3: global.scrape_intervall: unknown field"), "{unknown}");
}

/// Functions of plugins may come later: rules that call them are valid, and who checks them is told.
#[test]
fn functions_of_plugins_are_named_where_rules_call_them() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "groups:\n- name: g\n  rules:\n  - {record: a, expr: '1 + sum(wasm_none(up[5m], 2))'}\n";
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let output = run(&binary(), folder.path(), &["rules", "rules.yml"]).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(
        told,
        "  WARNING: a calls wasm_none, which a plugin has to provide; without it the rule fails\n"
    );
}
