//! `stormglass check rules`: says what promtool says of rule files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use alerting::rules::{Rule, RuleFile};
use anyhow::Context as _;

use super::Verdict;
use crate::cli::{CheckRules, Lint};
use crate::config;
use crate::plugins::called;

/// What there is to say of a rule file that is valid.
pub(super) struct Rules {
    count: usize,
    /// What is there more than once, in words; empty where nothing is.
    duplicates: String,
    /// Functions of plugins, which are not looked for here, with a rule that calls each.
    functions: BTreeMap<String, String>,
}

impl Rules {
    pub(super) fn of(file: &RuleFile) -> Self {
        let rules: Vec<&Rule> = file.groups.iter().flat_map(|group| &group.rules).collect();
        let functions = rules
            .iter()
            .flat_map(|rule| called(&rule.expr).into_iter().map(|function| (function, rule.name.clone())))
            .collect();
        Self { count: rules.len(), duplicates: duplicates(&rules), functions }
    }
}

/// Checks rule files, or what comes on standard input where none is named.
pub(crate) fn check(args: &CheckRules) -> anyhow::Result<ExitCode> {
    let mut verdict = Verdict::default();
    let lint = args.lint != Lint::None;
    if args.files.is_empty() {
        println!("Checking standard input");
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
        let rules = config::rules::parse(Path::new("standard input"), &text);
        judge(rules.as_ref().map(Rules::of).map_err(ToString::to_string), lint, "", &mut verdict);
        println!();
    }
    for file in &args.files {
        println!("Checking {}", file.display());
        let rules = config::read(file).and_then(|text| config::rules::parse(file, &text));
        judge(rules.as_ref().map(Rules::of).map_err(ToString::to_string), lint, "", &mut verdict);
        println!();
    }
    Ok(verdict.exit(args.lint_fatal))
}

/// Says what is to be said of one file; `prefix` stands before what the lint has found.
pub(super) fn judge(rules: Result<Rules, String>, lint: bool, prefix: &str, verdict: &mut Verdict) {
    for (function, rule) in rules.iter().flat_map(|rules| &rules.functions) {
        eprintln!(
            "  WARNING: {rule} calls {function}, which a plugin has to provide; without it the rule fails"
        );
    }
    match rules {
        Err(error) => {
            eprintln!("  FAILED:\n{error}");
            verdict.failed = true;
        }
        Ok(rules) if lint && !rules.duplicates.is_empty() => {
            let lead = if prefix.is_empty() { "lint error " } else { prefix };
            eprintln!("  FAILED:\n{lead}{}", rules.duplicates);
            verdict.lint = true;
        }
        Ok(rules) => println!("  SUCCESS: {} rules found", rules.count),
    }
}

/// Rules of one name with one set of labels: what they yield may be the same series.
fn duplicates(rules: &[&Rule]) -> String {
    let key = |rule: &Rule| {
        let labels: Vec<(String, String)> =
            rule.labels.iter().map(|(name, text)| (name.clone(), text.source().to_owned())).collect();
        (rule.name.clone(), labels)
    };
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for rule in rules {
        *seen.entry(key(rule)).or_default() += 1;
    }
    let repeated: Vec<_> = seen
        .into_iter()
        .flat_map(|(rule, count)| std::iter::repeat_n(rule, count.saturating_sub(1)))
        .collect();
    if repeated.is_empty() {
        return String::new();
    }
    let mut text = format!("{} duplicate rule(s) found.\n", repeated.len());
    for (name, labels) in repeated {
        let _ = writeln!(text, "Metric: {name}\nLabel(s):");
        for (label, value) in labels {
            let _ = writeln!(text, "\t{label}: {value}");
        }
    }
    text.push_str("Might cause inconsistency while recording expressions");
    text
}
