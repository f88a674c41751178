//! Runs test scripts: prints `<file>: <n> passed, <m> failed` for each, and a total last. With `-v`, says what
//! failed.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (flags, paths): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let (mut passed, mut failed) = (0, 0);
    for path in paths {
        let script = match std::fs::read_to_string(&path) {
            Ok(script) => script,
            Err(error) => {
                println!("{path}: {error}");
                failed += 1;
                continue;
            }
        };
        let report = promql::script::run(&script);
        println!("{path}: {} passed, {} failed", report.passed, report.failures.len());
        if !flags.is_empty() {
            for failure in &report.failures {
                let reason: String = failure.reason.chars().take(600).collect();
                println!("  line {}: {}\n    {reason}", failure.line, failure.query);
            }
        }
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("total: {passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
