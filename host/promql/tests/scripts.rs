//! Runs the test scripts of this repository; every evaluation in them must come out as written. Those of the
//! conformance data are a yardstick: where the folder is there, how many pass is printed.

use std::path::{Path, PathBuf};

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "test"));
    paths.sort();
    paths
}

#[test]
fn own_scripts_pass() {
    let paths = scripts("../../tests/promql");
    assert!(!paths.is_empty(), "no scripts found");
    for path in paths {
        let report = promql::script::run(&std::fs::read_to_string(&path).unwrap());
        assert!(report.failures.is_empty(), "{}: {:#?}", path.display(), report.failures);
        assert!(report.passed > 0, "{} evaluates nothing", path.display());
    }
}

#[test]
fn conformance_scripts_are_counted() {
    let (mut passed, mut failed) = (0, 0);
    for path in scripts("../../../shared/conformance/promql") {
        let report = promql::script::run(&std::fs::read_to_string(&path).unwrap());
        println!("{}: {} passed, {} failed", path.display(), report.passed, report.failures.len());
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("total: {passed} passed, {failed} failed");
    assert!(failed == 0 || passed > failed, "{passed} passed, {failed} failed");
}
