//! Sections and keys of `prometheus.yml` that are understood and change nothing here. Who writes them is told, with the
//! place, rather than refused: what they ask for does not decide whether monitoring works.

use std::path::Path;

use model::ConfigDuration;
use scrape::config::{Secret, TlsConfig};
use serde::Deserialize;

use super::Written;
use crate::yaml::FileError;

/// The section `tracing`: where Prometheus sends its spans.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tracing {
    /// `grpc` or `http`.
    #[serde(default)]
    #[serde(rename = "client_type")]
    _client_type: ClientType,
    #[serde(rename = "endpoint")]
    _endpoint: String,
    #[serde(default)]
    #[serde(rename = "sampling_fraction")]
    _sampling_fraction: f64,
    #[serde(default)]
    #[serde(rename = "insecure")]
    _insecure: bool,
    #[serde(rename = "tls_config")]
    _tls_config: Option<TlsConfig>,
    #[serde(default)]
    #[serde(rename = "headers")]
    _headers: std::collections::BTreeMap<String, Secret>,
    #[serde(default)]
    #[serde(rename = "http_headers")]
    _http_headers: std::collections::BTreeMap<String, Secret>,
    #[serde(rename = "compression")]
    _compression: Option<Compression>,
    #[serde(rename = "timeout")]
    _timeout: Option<ConfigDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClientType {
    #[default]
    Grpc,
    Http,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Gzip,
}

/// The section `runtime`: settings of Go's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    #[serde(rename = "gogc")]
    _gogc: Option<i64>,
}

/// Says what is there and changes nothing.
pub(super) fn warn(path: &Path, written: &Written, warnings: &mut Vec<FileError>) {
    if let Some(tracing) = &written.tracing {
        let what = "spans of this server are kept in its own store and sent nowhere else";
        warnings.push(FileError::at(path, tracing.referenced, "tracing", what));
    }
    if let Some(runtime) = &written.runtime {
        let what = "there is no garbage collector to tune";
        warnings.push(FileError::at(path, runtime.referenced, "runtime", what));
    }
    for (key, why) in written.storage.idle() {
        warnings.push(FileError::whole(path, format!("{key}: {why}")));
    }
}
