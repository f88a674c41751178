//! `stormglass test rules`: runs Prometheus' unit-test files for rules, and says how they went as `promtool test rules`
//! does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use alerting::rules::RuleFile;
use alerting::unit_test::{Outcome, TestFile, TestOptions};
use anyhow::{Context as _, bail};
use regex::Regex;
use serde::Deserialize as _;
use serde_json::Value;

use crate::cli::TestRules;
use crate::features::Features;
use crate::yaml;

/// Keys that rule files may have, by what holds them.
const FILE_KEYS: [&str; 1] = ["groups"];
const GROUP_KEYS: [&str; 6] = ["name", "interval", "query_offset", "limit", "labels", "rules"];
const RULE_KEYS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// Runs the files; fails where any test of any file does.
pub(crate) async fn run(args: TestRules) -> anyhow::Result<()> {
    let wanted = args
        .run
        .iter()
        .map(|pattern| Regex::new(pattern).with_context(|| format!("read --run={pattern}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let features = Features::parse(&args.enable_feature);
    for warning in features.warnings() {
        eprintln!("warning: {warning}");
    }
    let options = TestOptions {
        engine: features.engine(promql::EngineOptions::prometheus_defaults()),
        diff: args.diff,
    };
    let pass = |name: &str| wanted.is_empty() || wanted.iter().any(|pattern| pattern.is_match(name));
    let mut suites = Vec::new();
    for file in &args.files {
        println!("Unit Testing:  {}", file.display());
        let tests = match test(file, &args, &options, pass).await {
            Ok(tests) => tests,
            // What is wrong with the file as a whole counts as a test of its name that failed.
            Err(error) => {
                let name = file.display().to_string();
                vec![Outcome { name, failures: vec![error], took: std::time::Duration::ZERO }]
            }
        };
        let failures: Vec<&String> = tests.iter().flat_map(|test| &test.failures).collect();
        if failures.is_empty() {
            println!("  SUCCESS");
        } else {
            eprintln!("  FAILED:");
            for failure in failures {
                eprintln!("{failure}");
                println!();
            }
        }
        println!();
        suites.push((file.display().to_string(), tests));
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit(&suites)).with_context(|| format!("write {}", path.display()))?;
    }
    let failed =
        suites.iter().filter(|(_, tests)| tests.iter().any(|test| !test.failures.is_empty())).count();
    if failed > 0 {
        bail!("{failed} of {} test files failed", suites.len());
    }
    Ok(())
}

async fn test(
    path: &Path,
    args: &TestRules,
    options: &TestOptions,
    pass: impl Fn(&str) -> bool,
) -> Result<Vec<Outcome>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let file: TestFile = yaml::parse(path, &text).map_err(|error| error.to_string())?;
    let mut rules = Vec::new();
    for path in rule_files(path, &file)? {
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let read = read_rules(&path, &text, args.ignore_unknown_fields).map_err(|error| error.to_string())?;
        rules.push((path.display().to_string(), read));
    }
    if args.debug {
        for (file, rules) in &rules {
            println!("DEBUG: {file}: {} groups", rules.groups.len());
        }
    }
    let outcomes = file.run(&rules, options, pass).await?;
    if args.debug {
        for outcome in &outcomes {
            println!(
                "DEBUG: Test {} finished, took {:?}, {} failures",
                outcome.name,
                outcome.took,
                outcome.failures.len()
            );
        }
    }
    Ok(outcomes)
}

/// The files that the patterns of a test file match, relative to it.
fn rule_files(test_file: &Path, file: &TestFile) -> Result<Vec<PathBuf>, String> {
    let folder = test_file.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for pattern in &file.rule_files {
        // A pattern that is absolute stays so.
        let full = folder.join(pattern).display().to_string();
        let found = glob::glob(&full).map_err(|error| format!("read the pattern {pattern:?}: {error}"))?;
        let before = files.len();
        for path in found {
            files.push(path.map_err(|error| error.to_string())?);
        }
        if files.len() == before {
            eprintln!("  WARNING: no file match pattern {full}");
        }
    }
    Ok(files)
}

fn read_rules(path: &Path, text: &str, ignore_unknown: bool) -> Result<RuleFile, yaml::FileError> {
    if !ignore_unknown {
        return yaml::parse(path, text);
    }
    let mut value: Value = yaml::parse(path, text)?;
    keep(&mut value, &FILE_KEYS);
    for group in items(&mut value, "groups") {
        keep(group, &GROUP_KEYS);
        for rule in items(group, "rules") {
            keep(rule, &RULE_KEYS);
        }
    }
    RuleFile::deserialize(value).map_err(|error| yaml::FileError::whole(path, error))
}

fn keep(value: &mut Value, known: &[&str]) {
    if let Value::Object(map) = value {
        map.retain(|key, _| known.contains(&key.as_str()));
    }
}

fn items<'a>(value: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// The outcome as the XML that continuous integration reads: a suite per file, a case per test.
fn junit(suites: &[(String, Vec<Outcome>)]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for (file, tests) in suites {
        let failed = tests.iter().filter(|test| !test.failures.is_empty()).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">",
            escape_xml(file),
            tests.len()
        );
        for test in tests {
            let (name, time) = (escape_xml(&test.name), test.took.as_secs_f64());
            if test.failures.is_empty() {
                let _ = writeln!(out, "    <testcase name=\"{name}\" time=\"{time:.3}\"/>");
                continue;
            }
            let _ = writeln!(out, "    <testcase name=\"{name}\" time=\"{time:.3}\">");
            for failure in &test.failures {
                let _ = writeln!(out, "      <failure>{}</failure>", escape_xml(failure));
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn escape_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(c),
            // XML 1.0 has no way to write other control characters.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_or_left_out() {
        let text = "groups:\n- name: a\n  owner: me\n  rules:\n  - {record: r, expr: up, note: x}\n";
        let path = Path::new("rules.yml");
        assert!(read_rules(path, text, false).unwrap_err().to_string().contains("owner"));
        let read = read_rules(path, text, true).unwrap();
        assert_eq!(read.groups[0].rules[0].name, "r");
    }

    #[test]
    fn the_outcome_can_be_read_as_xml() {
        let test = |name: &str, failures: &[&str]| Outcome {
            name: name.to_owned(),
            failures: failures.iter().map(|text| (*text).to_owned()).collect(),
            took: std::time::Duration::from_millis(1500),
        };
        let xml = junit(&[("a.yml".to_owned(), vec![test("good", &[]), test("<bad>", &["got \"x\""])])]);
        assert!(xml.contains("<testsuite name=\"a.yml\" tests=\"2\" failures=\"1\">"), "{xml}");
        assert!(xml.contains("<testcase name=\"good\" time=\"1.500\"/>"), "{xml}");
        assert!(xml.contains("<testcase name=\"&lt;bad&gt;\" time=\"1.500\">"), "{xml}");
        assert!(xml.contains("<failure>got &quot;x&quot;</failure>"), "{xml}");
    }
}
