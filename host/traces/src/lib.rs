//! Traces: kept, found, and counted.
//!
//! * A **span** (`model::span`) is one timed operation; the spans of one **trace** share its id and arrive in any
//!   order, from many processes, over minutes.
//! * The [`TraceStore`] keeps spans in **segments**, append-only files of checksummed, compressed **records**. What
//!   it acknowledges outlives the process. A **sealed** segment never changes; it ends with its **index**: which
//!   traces are in which records, what times they cover, which services and tags occur.
//! * A **search** ([`TraceStore::search`]) gives the newest traces with a span that meets a condition: a TraceQL
//!   span filter ([`Query`]) or a list of tags ([`parse_tags`]). Its answer ([`TraceSummary`]) has Tempo's JSON.
//! * **Span metrics** ([`SpanMetrics`]) count spans and their latencies as they pass by, under Tempo's names, with
//!   exemplars that name a trace for each bucket.
//!
//! Everything is synchronous and knows no wire format; receiving and answering is the server's work. Columnar
//! blocks will stand behind the same seam as segments: records with an index in front.

mod batch;
mod catalog;
mod encoding;
mod error;
mod index;
mod limits;
mod query;
mod recovery;
mod search;
mod segment;
mod span_metrics;
mod store;
mod summary;
mod tags;
mod traceql;

pub use catalog::{TagKind, TagScope, TagValue};
pub use error::TraceError;
pub use limits::{Refusal, SPAN_BYTES_MAX, TRACE_BYTES_MAX};
pub use recovery::{Recovery, SetAside};
pub use search::{SearchRequest, SearchResult};
pub use segment::{FORMAT_VERSION, OLDEST_READABLE};
pub use span_metrics::{Flushed, SpanMetrics, SpanMetricsOptions, SpanMetricsStats};
pub use store::{Appended, StoreStats, Sync, TimeRange, TraceOptions, TraceStore};
pub use summary::{MatchedAttribute, MatchedSpan, MatchedValue, SpanSet, TraceSummary};
pub use tags::{TagFilter, parse_tags};
pub use traceql::Query;
