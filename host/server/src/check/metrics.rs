//! `stormglass check metrics`: an exposition on standard input.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;
use formats::exposition::lint::judge;

use crate::cli::MetricsLint;

/// What promtool ends with where only customs are broken.
const LINT_FAILED: u8 = 3;

fn input() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("read standard input")?;
    Ok(bytes)
}

/// Judges standard input by every rule of OpenMetrics 1.0.
pub(crate) fn openmetrics() -> anyhow::Result<()> {
    let bytes = input()?;
    let text = std::str::from_utf8(&bytes).context("read standard input")?;
    formats::openmetrics::validate(text)?;
    Ok(())
}

/// Reads Prometheus' text format from standard input, and says what goes against custom.
pub(crate) fn lint(lint: MetricsLint, extended: bool) -> anyhow::Result<ExitCode> {
    let judgement = judge(&input()?).context("error while linting")?;
    let mut code = ExitCode::SUCCESS;
    if lint == MetricsLint::All {
        for problem in &judgement.problems {
            eprintln!("{} {}", problem.metric, problem.text);
            code = ExitCode::from(LINT_FAILED);
        }
    }
    if extended {
        let total: usize = judgement.series.values().sum();
        let mut series: Vec<(&String, &usize)> = judgement.series.iter().collect();
        series.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let width = series.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max("Metric".len());
        println!("{:width$}\tCardinality\tPercentage", "Metric");
        for (name, count) in series {
            println!("{name:width$}\t{count}\t{:.2}%", *count as f64 * 100.0 / total.max(1) as f64);
        }
    }
    Ok(code)
}
