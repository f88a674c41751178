//! PromQL: the query language of Prometheus 3.14, over any storage.
//!
//! * A query is read by [`parse`] into an [`Expr`], a checked tree that knows where each part stands; its
//!   `Display` is canonical PromQL on one line, [`Expr::pretty`] the same on as many as it takes.
//! * The [`Engine`] turns the tree into a typed plan for given times and runs it. An instant query has one step,
//!   a range query many; every operator works on all steps of a series at once, and series are
//!   read and evaluated by several threads where there are many.
//! * Samples come from a [`Storage`](read::Storage), a trait that this crate defines and storages implement.
//! * What a query may take is limited by [`EngineOptions`] and [`QueryControl`], and what all of them may hold
//!   together by the [`MemoryPool`] that they draw from. What Prometheus keeps behind `--enable-feature` is behind
//!   the same names in [`Features`].
//! * What a query's author should know although there is an answer comes back as warnings and infos. Errors and
//!   annotations have Prometheus' own texts and positions, since people and tools read them.
//! * Functions of others ([`ExternalFunctions`]) are called as `wasm_<name>(...)`.
//! * [`Engine::run`] leaves its [`Answer`] as compact as it was computed, to be written series by series;
//!   [`Engine::explain`] and [`QueryControl::analyze`] tell how a query is run, and what each [`Operator`] took.
//! * [`script`] runs test scripts in the promqltest language.
//!
//! Nothing here does I/O, and nothing panics on any query text or any data.

mod annotations;
mod answer;
mod engine;
mod error;
mod exec;
mod explain;
mod external;
mod features;
mod functions;
mod kahan;
mod lexer;
mod memory;
mod native;
mod number;
mod parser;
mod plan;
pub mod read;
mod recent;
pub mod script;
mod stats;

pub use answer::{Answer, AnswerSeries, MatrixSeries, QueryResult, QueryValue, SeriesPoints, VectorSample};
pub use engine::{Engine, EngineOptions, QueryControl, Times};
pub use error::QueryError;
pub use explain::{Operator, OperatorStats};
pub use external::{EXTERNAL_PREFIX, ExternalFunction, ExternalFunctions, ExternalLimits};
pub use features::Features;
pub use functions::Signature;
pub use memory::{MemoryPool, PoolUsage};
pub use native::text as format_histogram;
pub use number::format_float;
pub use parser::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, DurationExpr, Expr, ExprKind, Extension, Group,
    Matching, MatrixSelector, ParseError, Span, Subquery, TimeShift, ValueType, VectorSelector, parse,
    parse_selector, parse_with, selectors,
};
pub use stats::{QueryStats, Timings};
