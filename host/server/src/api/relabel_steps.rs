//! `/api/v1/targets/relabel_steps`: what each rule of a job does to the labels of a target that was discovered.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use model::Labels;
use scrape::relabel::{RelabelConfig, process};
use serde::Serialize;

use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use super::params::Params;
use crate::app::App;

#[derive(Serialize)]
struct Steps {
    steps: Vec<Step>,
}

/// One rule, and what it leaves.
#[derive(Serialize)]
struct Step {
    rule: Rule,
    output: BTreeMap<String, String>,
    keep: bool,
}

/// A rule in Prometheus' JSON; what is empty is left out.
#[derive(Serialize)]
struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    separator: String,
    regex: String,
    #[serde(skip_serializing_if = "is_zero")]
    modulus: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    target_label: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    replacement: String,
    action: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Rule {
    fn of(config: &RelabelConfig) -> Self {
        Self {
            source_labels: config.source_labels.clone(),
            separator: config.separator.clone(),
            regex: config.regex.as_str().to_owned(),
            modulus: config.modulus,
            target_label: config.target_label.clone(),
            replacement: config.replacement.clone(),
            action: config.action.to_string(),
        }
    }
}

pub(super) async fn steps(State(app): State<Arc<App>>, params: Params) -> ApiResult<impl Serialize> {
    let Some(pool) = params.get("scrapePool") else {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    };
    let text = params.get("labels").ok_or_else(|| ApiError::bad_data("no labels parameter provided"))?;
    let labels: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|error| ApiError::parameter("labels", error))?;
    let config = app.config();
    let job = config.scrape_configs.iter().find(|job| job.job_name == pool);
    let job =
        job.ok_or_else(|| ApiError::new(ErrorKind::NotFound, format!("there is no scrape pool {pool:?}")))?;
    Ok(Success::new(Steps { steps: steps_of(&job.relabel_configs, &Labels::from_pairs(labels)) }))
}

fn steps_of(rules: &[RelabelConfig], labels: &Labels) -> Vec<Step> {
    let mut builder = labels.to_builder();
    let mut steps = Vec::with_capacity(rules.len());
    for rule in rules {
        let keep = process(&mut builder, std::slice::from_ref(rule));
        let output = if keep {
            builder.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        } else {
            BTreeMap::new()
        };
        steps.push(Step { rule: Rule::of(rule), output, keep });
        if !keep {
            break;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_shown_until_one_drops_the_target() {
        let rules: Vec<RelabelConfig> = serde_saphyr::from_str(
            "- {source_labels: [__address__], target_label: instance}\n\
             - {action: drop, source_labels: [job], regex: b}\n- {target_label: x, replacement: y}\n",
        )
        .unwrap();
        let steps = |job: &str| {
            let labels = Labels::from_pairs([("__address__", "a:1"), ("job", job)]);
            serde_json::to_value(steps_of(&rules, &labels)).unwrap()
        };
        let kept = steps("a");
        assert_eq!(kept[0]["output"]["instance"], "a:1");
        assert_eq!(kept[0]["rule"]["regex"], "(.*)");
        assert_eq!(kept[2]["output"]["x"], "y");
        let dropped = steps("b");
        assert_eq!(dropped.as_array().unwrap().len(), 2);
        assert_eq!((&dropped[1]["keep"], &dropped[1]["output"]), (&false.into(), &serde_json::json!({})));
    }
}
