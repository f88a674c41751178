//! The section `tracing`: where else the server's own spans go. The keys are Prometheus'.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use model::ConfigDuration;
use scrape::config::{Header, HttpConfig, Secret, TlsConfig};
use serde::Deserialize;

/// How long one request may take where nothing is said, as in OpenTelemetry.
const TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TracingConfig {
    #[serde(default)]
    pub(crate) client_type: ClientType,
    /// Host and port.
    #[serde(default)]
    endpoint: String,
    /// Of all traces. None where nothing is said, as in Prometheus.
    #[serde(default)]
    pub(crate) sampling_fraction: f64,
    /// Without TLS.
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    tls_config: TlsConfig,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    #[serde(default)]
    http_headers: BTreeMap<String, Secret>,
    pub(crate) compression: Option<Compression>,
    timeout: Option<ConfigDuration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientType {
    #[default]
    Grpc,
    Http,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    Gzip,
}

impl TracingConfig {
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        let tls = &mut self.tls_config;
        for path in [&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file].into_iter().flatten() {
            *path = folder.join(&path);
        }
    }

    /// Checks what the types do not.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_owned());
        }
        if url::Url::parse(&self.url()).is_err() || self.endpoint.contains('/') {
            return Err(format!("endpoint {:?} must be a host and a port", self.endpoint));
        }
        if !(0.0..=1.0).contains(&self.sampling_fraction) {
            return Err("sampling_fraction must be between 0 and 1".to_owned());
        }
        self.http().validated().map(drop)
    }

    /// Where requests go.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.insecure { "http" } else { "https" };
        let path = match self.client_type {
            ClientType::Grpc => "opentelemetry.proto.collector.trace.v1.TraceService/Export",
            ClientType::Http => "v1/traces",
        };
        format!("{scheme}://{}/{path}", self.endpoint)
    }

    /// How they go.
    pub(crate) fn http(&self) -> HttpConfig {
        self.applied(HttpConfig::default())
    }

    fn applied(&self, mut http: HttpConfig) -> HttpConfig {
        let header = |(name, value): (&String, &Secret)| {
            (name.clone(), Header { secrets: vec![value.clone()], ..Header::default() })
        };
        http.tls_config = self.tls_config.clone();
        http.http_headers = self.headers.iter().chain(&self.http_headers).map(header).collect();
        http.http2_only = self.client_type == ClientType::Grpc;
        http
    }

    /// How long a request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.map_or(TIMEOUT, |timeout| timeout.0)
    }
}
