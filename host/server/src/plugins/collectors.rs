//! Collectors are scraped like targets.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plugin::{Instance, Payload};
use scrape::Collected;

/// Collects through a plugin.
pub(crate) struct PluginCollector {
    pub(crate) instance: Arc<Instance>,
    /// How long the guest may take; less than the scraper waits, so that the host's verdict, which has the reason,
    /// comes first.
    pub(crate) timeout: Duration,
}

#[async_trait]
impl scrape::Collect for PluginCollector {
    async fn collect(&self) -> Result<Collected, String> {
        match self.instance.collect(self.timeout).await.map_err(|error| error.to_string())? {
            Payload::Text(text) => Ok(Collected::Text { body: text.into_bytes() }),
            Payload::Columns(columns) => Ok(Collected::Columns(columns)),
            Payload::Protobuf(body) => Ok(Collected::Protobuf { body }),
        }
    }
}
