//! Remote write, versions 1.0 and 2.0: what Prometheus and its kin push.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use formats::remote_write::{self, Compression, Version};

use super::blocking::blocking;
use crate::app::App;
use crate::ingest::{self, Written};

/// Bounds what one request may unfold to; Prometheus' own senders stay below a tenth of it.
const LIMITS: remote_write::Limits =
    remote_write::Limits { decompressed_bytes_max: 128 << 20, items_max: 2_000_000 };

/// What VictoriaMetrics' agent asks before it sends zstd instead of snappy.
const HANDSHAKE: &str = "get_vm_proto_version=1";

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// Stores a request. 204 says that all of it is durable; 400 names what was refused, with the rest stored, so
/// that a sender does not try again in vain; 5xx asks for another try.
pub(super) async fn remote_write(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if query.is_some_and(|query| query.split('&').any(|parameter| parameter == HANDSHAKE)) {
        return "1".into_response();
    }
    let format = match format(&headers) {
        Ok(format) => format,
        Err(what) => return (StatusCode::UNSUPPORTED_MEDIA_TYPE, what).into_response(),
    };
    match blocking(move || store(&app, &body, format)).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn store(app: &App, body: &[u8], format: (Compression, Version)) -> Response {
    let stored = app.decoder.read(body, format, &LIMITS, |batch| {
        let written = ingest::store_batch(batch, &*app.incoming, &app.ingest);
        written.map(|written| (written, std::mem::take(&mut batch.rejected)))
    });
    let (_, version) = format;
    match stored {
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Ok(Ok((written, rejected))) => {
            let mut response = match rejected.count {
                0 => StatusCode::NO_CONTENT.into_response(),
                _ => (StatusCode::BAD_REQUEST, rejected.summary()).into_response(),
            };
            if version == Version::V2 {
                tell_written(response.headers_mut(), written);
            }
            response
        }
    }
}

/// Senders of version 2.0 find out from these whether a receiver has understood them.
fn tell_written(headers: &mut HeaderMap, written: Written) {
    let Written { samples, histograms, exemplars } = written;
    for (name, count) in
        [(SAMPLES_WRITTEN, samples), (HISTOGRAMS_WRITTEN, histograms), (EXEMPLARS_WRITTEN, exemplars)]
    {
        headers.insert(name, HeaderValue::from(count));
    }
}

/// What the headers say the body is, or what is spoken here instead.
fn format(headers: &HeaderMap) -> Result<(Compression, Version), String> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").trim();
    let compression = match header(header::CONTENT_ENCODING) {
        "" | "snappy" => Compression::Snappy,
        "zstd" => Compression::Zstd,
        other => return Err(format!("unsupported content encoding {other:?}; send snappy or zstd")),
    };
    let content_type = header(header::CONTENT_TYPE);
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let message = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("proto="));
    let version = match (media_type.trim(), message.map(|message| message.trim_matches('"'))) {
        ("" | "application/x-protobuf", None | Some("prometheus.WriteRequest")) => Version::V1,
        ("application/x-protobuf", Some("io.prometheus.write.v2.Request")) => Version::V2,
        _ => {
            return Err(format!(
                "unsupported content type {content_type:?}; send application/x-protobuf with \
                 proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"
            ));
        }
    };
    Ok((compression, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_a_body_is() {
        let check = |encoding: &'static str, content_type: &'static str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(format(&headers).ok(), expected, "{encoding} {content_type}");
        };
        let protobuf = "application/x-protobuf";
        check("snappy", protobuf, Some((Compression::Snappy, Version::V1)));
        check("zstd", protobuf, Some((Compression::Zstd, Version::V1)));
        check("", "", Some((Compression::Snappy, Version::V1)));
        let first = "application/x-protobuf; proto=prometheus.WriteRequest";
        check("snappy", first, Some((Compression::Snappy, Version::V1)));
        let second = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        check("snappy", second, Some((Compression::Snappy, Version::V2)));
        check("gzip", protobuf, None);
        check("snappy", "application/json", None);
        check("snappy", "application/x-protobuf;proto=io.prometheus.write.v3.Request", None);
    }
}
