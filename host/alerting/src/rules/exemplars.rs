//! Exemplars of what a recording rule reads, kept on what it records.
//!
//! An exemplar of an input series belongs to an output series where the input has every label of the output with the
//! same value, but for the metric's name and the labels that the rule itself sets: `sum by (job) (rate(x_bucket[5m]))`
//! keeps for each job the exemplars of that job's buckets. Where the expression makes up labels that no input has,
//! nobody can tell which exemplar belongs where, and none is kept.

use std::collections::HashMap;
use std::time::Duration;

use model::{Exemplar, Labels, METRIC_NAME, Matcher};

use super::file::{Rule, RuleKind};

/// How far back exemplars are looked for: they come with scrapes and pushes, later than they were observed.
pub(super) const WINDOW: Duration = Duration::from_secs(300);
/// Exemplars that one series gets of one evaluation, the newest. They are examples; a dashboard shows some dozens.
const COUNT_MAX: usize = 10;

/// An input series, and its exemplars in order of time.
pub(crate) type Input = (Labels, Vec<Exemplar>);

/// What a recording rule reads; nothing for an alerting one, and for one without selectors.
pub(super) fn selectors(rule: &Rule) -> Vec<Vec<Matcher>> {
    if rule.kind != RuleKind::Record {
        return Vec::new();
    }
    promql::parse(&rule.expr).map(|expr| promql::selectors(&expr)).unwrap_or_default()
}

/// Hands exemplars of inputs on to outputs.
pub(super) struct Heirs<'a> {
    inputs: &'a [Input],
    /// Inputs by the values of the labels that an output has; made once for each set of names.
    by_names: HashMap<Vec<String>, HashMap<Vec<String>, Vec<usize>>>,
}

impl<'a> Heirs<'a> {
    pub(super) fn new(inputs: &'a [Input]) -> Self {
        Self { inputs, by_names: HashMap::new() }
    }

    /// The exemplars of one output series, in order of time.
    pub(super) fn of(&mut self, rule: &Rule, output: &Labels) -> Vec<Exemplar> {
        let own = output.iter().filter(|(name, _)| *name != METRIC_NAME && !rule.labels.contains_key(*name));
        let (names, values): (Vec<String>, Vec<String>) =
            own.map(|(name, value)| (name.to_owned(), value.to_owned())).unzip();
        let inputs = self.inputs;
        let by_values = self.by_names.entry(names).or_insert_with_key(|names| {
            let mut by_values: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
            for (at, (labels, _)) in inputs.iter().enumerate() {
                let values: Option<Vec<String>> =
                    names.iter().map(|name| labels.get(name).map(str::to_owned)).collect();
                if let Some(values) = values {
                    by_values.entry(values).or_default().push(at);
                }
            }
            by_values
        });
        let of_input = |at: &usize| inputs.get(*at).map(|(_, exemplars)| exemplars.iter());
        let mut exemplars: Vec<Exemplar> =
            by_values.get(&values).into_iter().flatten().filter_map(of_input).flatten().cloned().collect();
        exemplars.sort_by_key(|exemplar| exemplar.timestamp);
        // Several selectors find the same, and every bucket above it may have it.
        exemplars.dedup();
        exemplars.split_off(exemplars.len().saturating_sub(COUNT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::super::RuleFile;
    use super::*;

    #[test]
    fn exemplars_go_to_the_output_that_their_series_went_into() {
        let text = "groups: [{name: g, rules: [{record: r, expr: 'sum by (job) (rate(x_bucket[5m]))', labels: {team: t}}]}]";
        let file: RuleFile = serde_saphyr::from_str(text).unwrap();
        let rule = &file.groups[0].rules[0];
        assert_eq!(selectors(rule).len(), 1);
        let exemplar = |at: i64| Exemplar {
            labels: Labels::from_pairs([("trace_id", at.to_string())]),
            value: 1.0,
            timestamp: Timestamp::from_millis(at),
        };
        let input = |job: &str, le: &str, times: &[i64]| {
            let labels = Labels::from_pairs([("__name__", "x_bucket"), ("job", job), ("le", le)]);
            (labels, times.iter().map(|at| exemplar(*at)).collect::<Vec<_>>())
        };
        let many: Vec<i64> = (100..200).collect();
        let inputs = [input("a", "1", &[5, 7]), input("a", "2", &[5, 6]), input("b", "1", &many)];
        let mut heirs = Heirs::new(&inputs);
        let mut check = |labels: &[(&str, &str)], expected: &[i64]| {
            let output = Labels::from_pairs(labels.iter().copied());
            let times: Vec<i64> = heirs.of(rule, &output).iter().map(|e| e.timestamp.millis()).collect();
            assert_eq!(times, expected, "{output}");
        };
        check(&[("__name__", "r"), ("job", "a"), ("team", "t")], &[5, 6, 7]);
        check(&[("__name__", "r"), ("job", "b"), ("team", "t")], &(190..200).collect::<Vec<_>>());
        check(&[("__name__", "r"), ("job", "c"), ("team", "t")], &[]);
        check(&[("__name__", "r"), ("service", "a"), ("team", "t")], &[]);
        check(&[("__name__", "r"), ("team", "t")], &(190..200).collect::<Vec<_>>());
    }
}
