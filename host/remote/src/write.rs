//! All of `remote_write`: queues as the configuration in force has them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tsdb::{LogHold, Tsdb};

use crate::Error;
use crate::client::Receiver;
use crate::config::RemoteWriteConfig;
use crate::metrics::Metrics;
use crate::position;
use crate::queue::{Queue, QueueParts};

/// What an operator can choose for all queues together.
#[derive(Debug, Clone)]
pub struct RemoteWriteOptions {
    /// Where the positions in the log are kept.
    pub dir: PathBuf,
    /// How long the log is kept for servers that are away.
    pub log_kept: Duration,
    /// How long a shutdown waits for what the log has to be sent.
    pub flush_deadline: Duration,
}

/// Sends what is stored to other servers.
pub struct RemoteWrite {
    tsdb: Arc<Tsdb>,
    options: RemoteWriteOptions,
    metrics: Metrics,
    running: Mutex<Running>,
    /// Until the first configuration is applied: an earlier process may have left something to send.
    held: parking_lot::Mutex<Option<LogHold>>,
}

#[derive(Default)]
struct Running {
    queues: Vec<Queue>,
    external_labels: Labels,
}

impl RemoteWrite {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Metrics`].
    pub fn new(tsdb: Arc<Tsdb>, options: RemoteWriteOptions, registry: &Registry) -> Result<Self, Error> {
        tsdb.keep_log_for(options.log_kept);
        let held = parking_lot::Mutex::new(Some(tsdb.hold_log()));
        Ok(Self { tsdb, options, metrics: Metrics::register(registry)?, running: Mutex::default(), held })
    }

    /// Says whether a configuration can be applied.
    ///
    /// # Errors
    /// [`Error::DuplicateName`], and [`Error::Connections`] where connections cannot be made.
    pub fn check(configs: &[RemoteWriteConfig]) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for config in configs {
            let name = config.display_name();
            if !names.insert(name.clone()) {
                return Err(Error::DuplicateName { section: "remote write", name });
            }
            Receiver::new(config)?;
        }
        Ok(())
    }

    /// Starts, stops and changes queues so that they are as configured; what is as before goes on undisturbed.
    ///
    /// # Errors
    /// As [`RemoteWrite::check`], and [`Error::Position`] and [`Error::Log`], with which some queues do not run.
    pub async fn apply(&self, configs: &[RemoteWriteConfig], external_labels: &Labels) -> Result<(), Error> {
        Self::check(configs)?;
        let mut running = self.running.lock().await;
        // What one queue leaves, its successor finds.
        let _held = self.tsdb.hold_log();
        let same_labels = running.external_labels == *external_labels;
        running.external_labels = external_labels.clone();
        let (keep, stop): (Vec<Queue>, Vec<Queue>) = std::mem::take(&mut running.queues)
            .into_iter()
            .partition(|queue| same_labels && configs.contains(queue.config()));
        running.queues = keep;
        for queue in stop {
            // What it has not sent, its successor sends.
            queue.stop(Duration::ZERO).await;
        }
        let keys: Vec<String> = configs.iter().map(RemoteWriteConfig::key).collect();
        position::remove_others(&self.options.dir, &keys.iter().map(String::as_str).collect::<Vec<_>>());
        for config in configs {
            if running.queues.iter().any(|queue| queue.config() == config) {
                continue;
            }
            let queue = Queue::start(
                config.clone(),
                QueueParts {
                    tsdb: &self.tsdb,
                    dir: &self.options.dir,
                    external_labels,
                    metrics: self.metrics.queue(&config.display_name(), &config.shown_url())?,
                    receiver: Box::new(Receiver::new(config)?),
                    runtime: Handle::current(),
                },
            )?;
            running.queues.push(queue);
        }
        drop(self.held.lock().take());
        Ok(())
    }

    /// Sends what the log has, and stops. What cannot be sent in time, the next start sends.
    pub async fn stop(&self) {
        let queues = std::mem::take(&mut self.running.lock().await.queues);
        let stops = queues.into_iter().map(|queue| tokio::spawn(queue.stop(self.options.flush_deadline)));
        for stop in stops.collect::<Vec<_>>() {
            // A queue that panicked has stopped.
            let _ = stop.await;
        }
    }
}

#[cfg(test)]
mod tests;
