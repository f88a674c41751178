//! The nouns every part of Stormglass shares. No I/O, no clock, no threads.
//!
//! * A **series** is named by its [`Labels`]: a sorted set of name/value pairs, the metric's name among them
//!   under [`METRIC_NAME`]. `Labels` is one encoded byte span, so that hashing, comparing for equality and
//!   writing it to a log touch a single run of memory.
//! * A **sample** is a [`Timestamp`] (milliseconds) and a [`Value`]: a float or a native [`Histogram`]. Its *start* says when
//!   the counter started that it is a reading of, where that is known.
//! * [`staleness`] says which float marks "this series has ended", and why it must survive bit for bit.
//! * A [`Summary`] is what consecutive floats come to, where the samples themselves are not needed.
//! * An [`Exemplar`] is one observation that carries labels of its own, most often a `trace_id`.
//! * A [`Matcher`] selects series by one label. A selector is a list of them, all of which must hold.
//! * A [`FunctionCall`] is what a function that is not PromQL's own is asked.
//! * [`Columns`] are many samples at once, each text written only once: what collectors yield.
//! * [`span`] holds the nouns of traces, in OpenTelemetry's shape.
//! * [`Append`] and [`Appender`] are the contract between whatever brings samples in and whatever keeps them.

mod append;
mod columns;
mod duration;
mod exemplar;
mod function_call;
mod histogram;
mod labels;
mod matcher;
mod metadata;
mod sample;
pub mod span;
pub mod staleness;
mod summary;
mod time;

pub use append::{Append, AppendError, Appender, CommitError, FloatColumns, Refused, SeriesRef};
pub use columns::{ColumnExemplar, ColumnHistogram, ColumnParts, Columns, ColumnsError};
pub use duration::{ConfigDuration, DurationError, format_duration, parse_duration};
pub use exemplar::Exemplar;
pub use function_call::FunctionCall;
pub use histogram::{
    BucketIter, BucketSpan, Buckets, Histogram, HistogramError, ResetHint, SCHEMA_MAX, SCHEMA_MIN,
};
pub use labels::{Labels, LabelsBuilder, LabelsError, METRIC_NAME};
pub use matcher::{MatchOp, Matcher, MatcherError, anchored_regex};
pub use metadata::{Metadata, MetricKind};
pub use sample::{Sample, UNKNOWN_START, Value};
pub use summary::{Summary, Windows};
pub use time::Timestamp;
