//! Where samples come from: the seam between a scrape loop and HTTP targets or plugins.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use formats::exposition::Format;
use model::Columns;

use crate::Error;

/// One answer.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// An exposition.
    Exposition {
        /// How to read it.
        format: Format,
        /// Its bytes, decompressed.
        body: Vec<u8>,
    },
    /// Columns.
    Columns(Columns),
}

impl Fetched {
    /// How long the answer was, decompressed; columns have no length.
    pub(crate) const fn body_bytes(&self) -> usize {
        match self {
            Self::Exposition { body, .. } => body.len(),
            Self::Columns(_) => 0,
        }
    }
}

/// Asks one target for its samples.
#[async_trait]
pub(crate) trait Fetch: Send + Sync {
    /// Asks once. The caller drops the future after `timeout`; implementations pass it on to the other side.
    async fn fetch(&self, timeout: Duration) -> Result<Fetched, Error>;
}

/// What one collection of a plugin yields.
#[derive(Debug)]
pub enum Collected {
    /// Text exposition; OpenMetrics where it ends in `# EOF`.
    Text {
        /// The text.
        body: Vec<u8>,
    },
    /// Protobuf exposition: `io.prometheus.client.MetricFamily` messages, each after its length.
    Protobuf {
        /// The messages.
        body: Vec<u8>,
    },
    /// Columns.
    Columns(Columns),
}

/// A plugin that is scraped like a target.
#[async_trait]
pub trait Collect: Send + Sync {
    /// Collects once. The caller drops the future when the target's timeout is over.
    ///
    /// # Errors
    /// A text for people; it becomes the target's last error.
    async fn collect(&self) -> Result<Collected, String>;
}

/// A collector as a target.
pub(crate) struct CollectorFetch {
    pub(crate) name: String,
    pub(crate) source: Arc<dyn Collect>,
    pub(crate) body_bytes_max: u64,
}

#[async_trait]
impl Fetch for CollectorFetch {
    async fn fetch(&self, _timeout: Duration) -> Result<Fetched, Error> {
        let failed = |e| Error::Fetch(format!("collect from plugin {:?}: {e}", self.name));
        match self.source.collect().await.map_err(failed)? {
            Collected::Text { body } | Collected::Protobuf { body }
                if body.len() as u64 > self.body_bytes_max =>
            {
                Err(Error::BodyTooLong)
            }
            Collected::Text { body } => Ok(Fetched::Exposition { format: format_of(&body), body }),
            Collected::Protobuf { body } => Ok(Fetched::Exposition { format: Format::Protobuf, body }),
            Collected::Columns(columns) => Ok(Fetched::Columns(columns)),
        }
    }
}

/// The format of a text without a header: only OpenMetrics ends in `# EOF`.
fn format_of(body: &[u8]) -> Format {
    match body.trim_ascii_end().ends_with(b"# EOF") {
        true => Format::OpenMetricsText,
        false => Format::PrometheusText,
    }
}
