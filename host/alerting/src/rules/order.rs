//! Which rules of a group may be evaluated at once.
//!
//! A rule that may read what another writes comes after it, or before it, as in the file: one after the other they give
//! the same result whoever is fast. What a rule may read is told by its selectors; one whose selectors cannot be
//! foreseen, because a template asks queries or `info` joins metrics of its own choice, waits for all before it.

use model::{METRIC_NAME, Matcher};

use super::alerting::{ALERTS, ALERTS_FOR_STATE};
use super::file::{Rule, RuleKind};

/// The indices of rules, in batches: the rules of one batch do not need each other, and all that they need is in
/// earlier ones.
pub(super) fn batches(rules: &[Rule]) -> Vec<Vec<usize>> {
    let reads: Vec<Reads> = rules.iter().map(Reads::of).collect();
    let mut levels: Vec<usize> = Vec::with_capacity(rules.len());
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let needs = |before: &usize| {
            let other = &rules[*before];
            reads[at].may_read(other) || reads[*before].may_read(rule) || other.name == rule.name
        };
        let level = (0..at).filter(needs).map(|before| levels[before] + 1).max().unwrap_or(0);
        levels.push(level);
        if level == batches.len() {
            batches.push(Vec::new());
        }
        batches[level].push(at);
    }
    batches
}

/// What a rule may read.
enum Reads {
    Anything,
    Selected(Vec<Vec<Matcher>>),
}

impl Reads {
    fn of(rule: &Rule) -> Self {
        let asks = |text: &str| text.contains("query");
        let mut texts: Vec<&str> = rule.labels.values().map(|text| text.source()).collect();
        if let RuleKind::Alert { annotations, .. } = &rule.kind {
            texts.extend(annotations.values().map(|text| text.source()));
        }
        let unforeseen =
            rule.expr.contains("info") || rule.kind != RuleKind::Record && texts.into_iter().any(asks);
        match promql::parse(&rule.expr) {
            Ok(expr) if !unforeseen => Self::Selected(promql::selectors(&expr)),
            _ => Self::Anything,
        }
    }

    fn may_read(&self, other: &Rule) -> bool {
        let Self::Selected(selectors) = self else { return true };
        let written: &[&str] = match other.kind {
            RuleKind::Record => &[&other.name],
            RuleKind::Alert { .. } => &[ALERTS, ALERTS_FOR_STATE],
        };
        let value = |name: &str, metric: &'_ str| -> Option<String> {
            match (name, &other.kind) {
                (METRIC_NAME, _) => Some(metric.to_owned()),
                ("alertname", RuleKind::Alert { .. }) => Some(other.name.clone()),
                (_, RuleKind::Record) => other.labels.get(name).map(|text| text.source().to_owned()),
                _ => None,
            }
        };
        // A label that is not known before may have any value.
        let may_match = |matcher: &Matcher, metric: &str| {
            value(matcher.name(), metric).is_none_or(|value| matcher.matches(&value))
        };
        selectors.iter().any(|matchers| {
            written.iter().any(|metric| matchers.iter().all(|matcher| may_match(matcher, metric)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::RuleFile;
    use super::batches;

    fn check(rules: &str, expected: &[&[usize]]) {
        let file: RuleFile =
            serde_saphyr::from_str(&format!("groups: [{{name: g, rules: [{rules}]}}]")).unwrap();
        assert_eq!(batches(&file.groups[0].rules), expected, "{rules}");
    }

    #[test]
    fn rules_wait_for_what_they_read() {
        check("{record: a, expr: x}, {record: b, expr: y}, {record: c, expr: z}", &[&[0, 1, 2]]);
        check("{record: a, expr: x}, {record: b, expr: a + c}, {record: c, expr: z}", &[&[0], &[1], &[2]]);
        check("{record: a, expr: x}, {record: b, expr: y}, {alert: C, expr: a > 1}", &[&[0, 1], &[2]]);
        // The same series, a selector without a name, one that can be told not to match.
        check("{record: a, expr: x}, {record: a, expr: y}", &[&[0], &[1]]);
        check("{record: a, expr: x}, {record: b, expr: '{job=\"x\"}'}", &[&[0], &[1]]);
        check("{record: a, expr: x}, {record: b, expr: '{__name__=~\"b.*\"}'}", &[&[0, 1]]);
        check("{record: a, expr: x, labels: {job: y}}, {record: b, expr: '{job=\"x\"}'}", &[&[0, 1]]);
        // Alerts are series too.
        check("{alert: A, expr: x}, {record: b, expr: 'ALERTS{alertname=\"B\"}'}", &[&[0, 1]]);
        check("{alert: A, expr: x}, {record: b, expr: 'ALERTS{alertname=\"A\"}'}", &[&[0], &[1]]);
        // What cannot be foreseen waits, and is waited for.
        let asks = "{alert: A, expr: x, annotations: {s: '{{ query \"y\" }}'}}";
        check(&format!("{{record: a, expr: x}}, {asks}, {{record: c, expr: z}}"), &[&[0], &[1], &[2]]);
        check("", &[]);
    }
}
