//! From a series that an alerting rule yields to the labels and annotations of its alert.

use std::sync::Arc;

use model::{Labels, METRIC_NAME, Timestamp, Value};

use super::alerting::AlertContext;
use super::file::{Rule, RuleKind, RuleText};
use crate::query::{Query, RuleGroupName, RuleVector};
use crate::template::{Answers, Rendered, RuleData};

/// A label value or annotation larger than this is a template gone wrong.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// How many different queries the templates of one rule may ask per evaluation: each costs as much as a rule.
const QUERIES_MAX: usize = 1_000;

/// A series of an alerting rule's result, as an alert.
pub(super) struct Expanded {
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) value: f64,
}

/// Expands the templates of an alerting rule over every series of its result. What they ask is evaluated once for
/// all of them, at the same time as the rule.
pub(super) async fn expand(
    (query, group): (&dyn Query, RuleGroupName<'_>),
    rule: &Rule,
    vector: RuleVector,
    at: Timestamp,
    context: &AlertContext,
) -> Vec<Expanded> {
    let RuleKind::Alert { annotations, .. } = &rule.kind else { return Vec::new() };
    let mut expander = Expander { query, group, rule, at, answers: Answers::default() };
    let mut alerts = Vec::with_capacity(vector.len());
    for (series, value) in vector {
        let data = RuleData::new(&series, &value, &context.external_labels, &context.external_url, at);
        let mut labels = series.to_builder();
        labels.remove(METRIC_NAME);
        for (name, text) in &rule.labels {
            labels.set(name, &expander.text(text, &data).await);
        }
        labels.set("alertname", &rule.name);
        let mut texts = Vec::with_capacity(annotations.len());
        for (name, text) in annotations {
            texts.push((name, expander.text(text, &data).await));
        }
        let value = match value {
            Value::Float(value) => value,
            // A histogram has no one value to show.
            Value::Histogram(_) => 0.0,
        };
        alerts.push(Expanded { labels: labels.build(), annotations: Labels::from_pairs(texts), value });
    }
    alerts
}

struct Expander<'a> {
    query: &'a dyn Query,
    group: RuleGroupName<'a>,
    rule: &'a Rule,
    at: Timestamp,
    answers: Answers,
}

impl Expander<'_> {
    /// A label's or annotation's text. An error becomes the text, since an alert with a broken annotation is worth
    /// more than none.
    async fn text(&mut self, text: &RuleText, data: &RuleData) -> String {
        let Some(template) = text.template() else { return text.source().to_owned() };
        loop {
            match template.render(data, &self.answers, TEXT_BYTES_MAX) {
                Ok(Rendered::Text(text)) => return text,
                Ok(Rendered::Needs(expr)) => self.answer(expr).await,
                Err(error) => {
                    tracing::warn!(alert = self.rule.name, %error, "expand alert template");
                    return format!("<error expanding template: {error}>");
                }
            }
        }
    }

    async fn answer(&mut self, expr: Arc<str>) {
        let answer = if self.answers.count() < QUERIES_MAX {
            self.query.instant(&expr, self.at, self.group).await.map_err(|error| error.to_string())
        } else {
            Err(format!("more than {QUERIES_MAX} different queries in the templates of one rule"))
        };
        self.answers.insert(expr, answer);
    }
}
