//! Delivery to one integration of a receiver: what it does not know yet, until it has it or time is up.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use model::Timestamp;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::group::Group;
use super::log::{Entry, Standing};
use super::{Active, Shared};
use crate::alert::{Alert, Fnv};
use crate::config::Route;
use crate::notification::{Notification, NotificationAlert, NotifyError, Receiver, Status, common};

/// The wait after the first failure; each further one is half as long again.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// No wait is longer, unless the receiver asks for it.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// One plugin of a receiver.
pub(super) struct Integration {
    plugin: String,
    /// Its place among the receiver's plugins.
    index: usize,
    send_resolved: bool,
    max_alerts: u64,
    receiver: Arc<dyn Receiver>,
}

/// The integrations of a route's receiver.
pub(super) fn integrations(active: &Active, route: &Route) -> Vec<Integration> {
    let plugins = active.config.receivers.get(&route.receiver).map_or(&[][..], Vec::as_slice);
    let integrations = plugins.iter().enumerate().filter_map(|(index, plugin)| {
        Some(Integration {
            plugin: plugin.plugin.clone(),
            index,
            send_resolved: plugin.send_resolved,
            max_alerts: plugin.max_alerts,
            receiver: Arc::clone(active.receivers.get(&plugin.plugin)?),
        })
    });
    integrations.collect()
}

/// Tells the integration what is new to it, and logs it. Says whether the integration now knows everything.
pub(super) async fn deliver(
    shared: &Shared,
    group: &Group,
    integration: &Integration,
    alerts: &[(Arc<Alert>, bool)],
    standing: &Standing,
    now: Timestamp,
    deadline: Instant,
) -> bool {
    let key = format!("{}|{}/{}/{}", group.key, group.receiver, integration.plugin, integration.index);
    let entry = shared.log.lock().get(&key).cloned();
    if !standing.is_news(entry.as_ref(), integration.send_resolved, group.repeat_interval, now) {
        return true;
    }
    let mut told: Vec<_> = alerts
        .iter()
        .filter(|(_, resolved)| integration.send_resolved || !resolved)
        .map(|(alert, resolved)| NotificationAlert::new(alert, *resolved))
        .collect();
    if !told.is_empty() {
        let max = usize::try_from(integration.max_alerts).unwrap_or(usize::MAX);
        let truncated = if max == 0 { 0 } else { told.len().saturating_sub(max) };
        told.truncate(told.len() - truncated);
        let firing = told.iter().any(|alert| alert.status == Status::Firing);
        let mut notification = Notification {
            receiver: group.receiver.clone(),
            status: if firing { Status::Firing } else { Status::Resolved },
            group_labels: group.labels.clone(),
            common_labels: common(told.iter().map(|alert| &alert.labels)),
            common_annotations: common(told.iter().map(|alert| &alert.annotations)),
            alerts: told,
            external_url: shared.external_url.clone(),
            version: "4",
            group_key: group.key.clone(),
            truncated_alerts: truncated as u64,
            idempotency_key: standing.idempotency_key(&key, entry.as_ref()),
            attempt: 0,
        };
        let span = tracing::info_span!(
            "notify",
            receiver = group.receiver,
            plugin = integration.plugin,
            group = group.key,
            alerts = notification.alerts.len(),
        );
        if !attempt(shared, integration, &mut notification, deadline).instrument(span).await {
            return false;
        }
    }
    shared.log.lock().put(Entry {
        key,
        at: now,
        expires_at: now + 2 * group.repeat_interval,
        firing: standing.firing.clone(),
        resolved: standing.resolved.clone(),
    });
    shared.dirty.notify_one();
    true
}

/// Delivers until it succeeds, fails for good or runs out of time.
async fn attempt(
    shared: &Shared,
    integration: &Integration,
    notification: &mut Notification,
    deadline: Instant,
) -> bool {
    let receiver = notification.receiver.clone();
    let by = [receiver.as_str(), integration.plugin.as_str()];
    let mut backoff = BACKOFF_MIN;
    loop {
        notification.attempt += 1;
        let started = Instant::now();
        // A receiver that panics must not take the group's task, and with it all later alerts, along.
        let call = AssertUnwindSafe(integration.receiver.notify(notification)).catch_unwind();
        let outcome = match tokio::time::timeout_at(deadline, call).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(NotifyError::Permanent { message: "receiver panicked".to_owned() }),
            Err(_elapsed) => Err(NotifyError::Retryable {
                message: "no answer before the deadline".to_owned(),
                after: None,
            }),
        };
        shared.metrics.observe_attempt(&receiver, &integration.plugin, started.elapsed());
        let (reason, error) = match outcome {
            Ok(()) => {
                shared.metrics.sent.with_label_values(&by).inc();
                return true;
            }
            Err(error @ NotifyError::Permanent { .. }) => ("permanent", error),
            Err(NotifyError::Retryable { message, after }) => {
                let wait = jittered(backoff, notification).max(after.unwrap_or_default());
                backoff = (backoff * 3 / 2).min(BACKOFF_MAX);
                let again = Instant::now() + wait;
                if again < deadline {
                    tracing::debug!(
                        receiver,
                        plugin = integration.plugin,
                        message,
                        ?wait,
                        "notify again later"
                    );
                    tokio::time::sleep_until(again).await;
                    continue;
                }
                ("deadline", NotifyError::Retryable { message, after })
            }
        };
        shared.metrics.failures.with_label_values(&[by[0], by[1], reason]).inc();
        tracing::error!(
            receiver,
            plugin = integration.plugin,
            group = notification.group_key,
            attempts = notification.attempt,
            %error,
            "notify"
        );
        return false;
    }
}

/// Between half of the wait and one and a half of it, so that groups that failed together do not return
/// together. What decides is the notification itself: no randomness is needed for that.
fn jittered(wait: Duration, notification: &Notification) -> Duration {
    let mut hash = Fnv::new();
    hash.write(notification.idempotency_key.as_bytes());
    hash.write(&notification.attempt.to_le_bytes());
    wait / 2 + wait.mul_f64((hash.0 >> 40) as f64 / (1u64 << 24) as f64)
}
