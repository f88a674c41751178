//! Collectors are scraped like targets.

use std::sync::Arc;

use async_trait::async_trait;
use plugin::{Instance, Payload};
use scrape::Collected;

/// Collects through a plugin.
pub(crate) struct PluginCollector(pub(crate) Arc<Instance>);

#[async_trait]
impl scrape::Collect for PluginCollector {
    async fn collect(&self) -> Result<Collected, String> {
        match self.0.collect(self.0.config().interval.0).await.map_err(|error| error.to_string())? {
            Payload::Text(text) => Ok(Collected::Text { body: text.into_bytes() }),
            Payload::Columns(columns) => Ok(Collected::Columns(columns)),
            Payload::Protobuf(body) => Ok(Collected::Protobuf { body }),
        }
    }
}
