//! `stormglass test rules`: the files in `tests/rules`, and what comes of them. Where Prometheus' own promtool is
//! installed, it has to say the same of them, word by word.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::server::binary;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

fn run(program: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(["test", "rules"]).args(arguments).current_dir(folder()).output().ok()
}

/// All that is said, failures behind everything else, without our last word.
fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = errors.lines().filter(|line| !line.starts_with("stormglass: ")).collect();
    format!("{}{}\n", String::from_utf8_lossy(&output.stdout), errors.join("\n"))
}

fn check(file: &str, passes: bool) {
    let ours = run(&binary(), &[file]).unwrap();
    let text = said(&ours);
    assert_eq!(ours.status.success(), passes, "{text}");
    let expected = std::fs::read_to_string(folder().join(file).with_extension("txt")).unwrap();
    assert_eq!(text, expected, "{file}");
    // Not everybody has it; what it says was recorded.
    if let Some(theirs) = run(Path::new("promtool"), &[file]) {
        assert_eq!(theirs.status.success(), passes, "{}", said(&theirs));
        assert_eq!(text, said(&theirs), "{file}");
    }
}

#[test]
fn verdicts_are_those_of_promtool() {
    check("good.yml", true);
    check("bad.yml", false);
    check("templates_test.yml", true);
}

#[test]
fn tests_can_be_chosen_and_told_as_xml() {
    let scratch = tempfile::tempdir().unwrap();
    let xml = scratch.path().join("out.xml");
    let junit = format!("--junit={}", xml.display());
    let chosen = run(&binary(), &["bad.yml", "good.yml", "--run=nothing", &junit]).unwrap();
    assert!(chosen.status.success(), "{}", said(&chosen));
    let all = run(&binary(), &["bad.yml", "--diff", &junit]).unwrap();
    assert!(!all.status.success());
    let text = said(&all);
    assert!(text.contains("        diff: ") && text.contains("+   Labels:{"), "{text}");
    let xml = std::fs::read_to_string(xml).unwrap();
    assert!(xml.contains("<testcase name=\"wrong expectations\"") && xml.contains("<failure>"), "{xml}");
}

#[test]
fn files_that_are_none_fail() {
    for file in ["rules.yml", "no_such_file.yml"] {
        let output = run(&binary(), &[file]).unwrap();
        assert!(!output.status.success(), "{file}");
        assert!(said(&output).contains("  FAILED:"), "{}", said(&output));
    }
}
