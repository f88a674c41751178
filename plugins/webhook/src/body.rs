//! The webhook's body, version 4. Fields stand in the order in which Alertmanager writes them, labels by name.

use std::collections::BTreeMap;

use serde::Serialize;
use stormglass_sdk::{Label, Notification};

const VERSION: &str = "4";

type Pairs<'a> = BTreeMap<&'a str, &'a str>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<Alert<'a>>,
    group_labels: Pairs<'a>,
    common_labels: Pairs<'a>,
    common_annotations: Pairs<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: Pairs<'a>,
    annotations: Pairs<'a>,
    starts_at: &'a str,
    ends_at: &'a str,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: &'a str,
}

impl<'a> Body<'a> {
    /// The body of a notification, with the first `max_alerts` of its alerts, or all where that is 0. Status and
    /// common labels speak of all alerts, whether they are in the body or not.
    pub(crate) fn new(notification: &'a Notification, max_alerts: usize) -> Self {
        let all = notification.alerts.as_slice();
        let kept = match max_alerts {
            0 => all,
            max => &all[..max.min(all.len())],
        };
        Self {
            receiver: &notification.receiver,
            status: notification.status.as_str(),
            alerts: kept.iter().map(Alert::new).collect(),
            group_labels: pairs(&notification.group_labels),
            common_labels: pairs(&notification.common_labels),
            common_annotations: pairs(&notification.common_annotations),
            external_url: &notification.external_url,
            version: VERSION,
            group_key: &notification.group_key,
            truncated_alerts: notification.truncated_alerts + (all.len() - kept.len()) as u64,
        }
    }
}

impl<'a> Alert<'a> {
    fn new(alert: &'a stormglass_sdk::Alert) -> Self {
        Self {
            status: alert.status.as_str(),
            labels: pairs(&alert.labels),
            annotations: pairs(&alert.annotations),
            starts_at: &alert.starts_at,
            ends_at: &alert.ends_at,
            generator_url: &alert.generator_url,
            fingerprint: &alert.fingerprint,
        }
    }
}

fn pairs(labels: &[Label]) -> Pairs<'_> {
    labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect()
}
