//! Runs test scripts: those of this repository and, where the folder is there, those of the conformance data.
//! Every evaluation in them must come out as written.

use std::path::{Path, PathBuf};

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "test"));
    paths.sort();
    paths
}

/// Runs all, prints how each went, and returns what failed.
fn run(paths: &[PathBuf]) -> Vec<String> {
    let (mut passed, mut failures) = (0, Vec::new());
    for path in paths {
        let name = path.file_name().unwrap_or_default().display();
        let report = promql::script::run(&std::fs::read_to_string(path).unwrap());
        println!("{name}: {} passed, {} failed", report.passed, report.failures.len());
        assert!(report.passed + report.failures.len() > 0, "{name} evaluates nothing");
        passed += report.passed;
        failures
            .extend(report.failures.iter().map(|f| format!("{name}:{}: {}: {}", f.line, f.query, f.reason)));
    }
    println!("{passed} passed, {} failed", failures.len());
    failures
}

#[test]
fn own_scripts_pass() {
    let paths = scripts("../../tests/promql");
    assert!(!paths.is_empty(), "no scripts found");
    let failures = run(&paths);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn conformance_scripts_pass() {
    let failures = run(&scripts("../../../shared/conformance/promql"));
    assert!(failures.is_empty(), "{failures:#?}");
}
