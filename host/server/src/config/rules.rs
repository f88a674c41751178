//! Rule files, with all that is wrong with them: a file is read as a whole first, which says at which place the first fault
//! is; where there is one, each rule is then read for itself.

use std::path::Path;

use alerting::rules::{Rule, RuleFile};
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::yaml::{self, FileError};

/// A file as far as it takes to find its rules.
#[derive(Deserialize)]
struct Loose {
    #[serde(default)]
    groups: Vec<LooseGroup>,
}

#[derive(Deserialize)]
struct LooseGroup {
    #[serde(default)]
    rules: Vec<Spanned<Value>>,
}

/// Reads a rule file.
///
/// # Errors
/// The first fault, and behind it those of other rules.
pub(crate) fn parse(path: &Path, text: &str) -> Result<RuleFile, FileError> {
    yaml::parse::<RuleFile>(path, text).map_err(|first| {
        // Where not even this can be read, the first fault is all that can be said.
        let loose: Loose = serde_saphyr::from_str(text).unwrap_or(Loose { groups: Vec::new() });
        let rules: Vec<Spanned<Value>> = loose.groups.into_iter().flat_map(|group| group.rules).collect();
        let told = first.line().unwrap_or_default();
        // The rule that the first fault is in begins there or above, and the next one below.
        let its_own = rules.iter().map(|rule| rule.referenced.line()).filter(|line| *line <= told).max();
        let others = rules.into_iter().filter(|rule| Some(rule.referenced.line()) != its_own);
        let faults = others.filter_map(|rule| {
            let error = serde_json::from_value::<Rule>(as_texts(rule.value)).err()?;
            Some(FileError::at(path, rule.referenced, "groups.rules", error))
        });
        first.with_more(faults.collect())
    })
}

/// What YAML reads as a number is a text in a rule.
fn as_texts(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(truth) => Value::String(truth.to_string()),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, as_texts(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        expected.assert_eq(&parse(Path::new("r.yml"), text).unwrap_err().to_string());
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        check(
            "groups:\n  - name: a\n    rules:\n      - {record: r, expr: 'sum('}\n      - {record: fine, expr: 1}\n      \
             - record: b\n        expr: up\n        annotations: {a: b}\n  - name: b\n    rules:\n      \
             - {alert: A, expr: up, labels: {severity: 1}, foo: 1}\n",
            &expect![[r#"
                r.yml:4:9: rule "r": could not parse expression: 1:5: parse error: unclosed left parenthesis
                r.yml:6:9: groups.rules: recording rule "b": invalid field 'annotations' in recording rule
                r.yml:11:9: groups.rules: unknown field `foo`, expected one of `record`, `alert`, `expr`, `for`, `keep_firing_for`, `labels`, `annotations`"#]],
        );
        check("groups: [\n", &expect!["r.yml:1:9: groups: unclosed bracket '['"]);
    }
}
