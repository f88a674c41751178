//! Wire formats, to and from the model. Synchronous, without I/O; every decoder takes any bytes, never panics
//! and is bounded by what its caller allows.
//!
//! * [`exposition`] is what targets answer to a scrape: Prometheus' text format, OpenMetrics, and Prometheus'
//!   protobuf. The parsers hand out one [`exposition::Entry`] at a time and build labels only when asked.
//! * [`openmetrics`] says whether a text keeps every rule of OpenMetrics, which a scraper does not ask for.
//! * [`remote_write`] is what Prometheus sends, versions 1.0 and 2.0, read without a copy. A [`remote_write::Decoder`]
//!   knows the series that it has seen before, and hands their floats over in columns.
//!   What is sent to others is written here too.
//! * [`remote_read`] is how Prometheus asks another server for samples: both ends of it.
//! * [`otlp`] is what OpenTelemetry's exporters send: metrics, which become series, and traces.
//! * A [`WriteRequest`] is what every pushed format becomes: series with their samples, and metadata.
//! * [`decompress`] undoes HTTP's `Content-Encoding` within a limit.
//!
//! A decoder fails as a whole ([`DecodeError`]) only where bytes cannot be read at all; single items that
//! break a rule are left out, counted and described in [`Rejected`], and the rest goes on.

mod buckets;
mod compression;
mod error;
pub mod exposition;
mod float;
pub mod openmetrics;
pub mod otlp;
mod pairs;
pub mod remote_read;
pub mod remote_write;
mod wire;
mod write_request;

pub use compression::{DecompressError, decompress};
pub use error::{DecodeError, Rejected};
pub use write_request::{Starts, TimeSeries, WriteRequest};
