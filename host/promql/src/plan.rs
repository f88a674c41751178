//! The typed plan: what one query does, with its times known.
//!
//! A plan is built from a checked tree for one evaluation: `@ start()`, `step()` and computed durations become
//! numbers, constants are folded, what does not change from step to step is marked to be evaluated once, and so
//! is what the query writes twice. Before that, [`narrow`] has moved matchers across binary operators.
//! Types are those of Rust here: no operator can be handed a value that it does not take.

mod build;
mod narrow;
mod order;
mod repeats;

use std::sync::Arc;

use model::Matcher;

use crate::external::ExternalFunction;
use crate::parser::{AggregateOp, BinaryOp, Extension, Matching, Span};

pub(crate) use build::{Params, build};
pub(crate) use narrow::narrow;
pub(crate) use repeats::Repeats;

/// A whole query.
#[derive(Debug)]
pub(crate) enum Plan {
    Scalar(ScalarNode),
    Vector(VectorNode),
    Range(RangeNode),
    String(Vec<u8>),
}

/// Answers one number per step.
#[derive(Debug)]
pub(crate) enum ScalarNode {
    Constant(f64),
    /// The time of the step, in seconds.
    Time,
    Negate(Box<ScalarNode>),
    Binary {
        op: BinaryOp,
        left: Box<ScalarNode>,
        right: Box<ScalarNode>,
    },
    MinOf(Box<ScalarNode>, Box<ScalarNode>),
    MaxOf(Box<ScalarNode>, Box<ScalarNode>),
    /// The value of a vector of one series.
    OfVector(Box<VectorNode>),
}

/// Answers series with at most one sample per step.
#[derive(Debug)]
pub(crate) enum VectorNode {
    Select(Select),
    /// Interpolated between the samples around each step.
    Smoothed(Select),
    /// Times of the samples instead of their values.
    SampleTimes(Select),
    /// When the counters started that the samples are readings of.
    StartTimes(Select),
    OfScalar(ScalarNode),
    /// Evaluated at one step, answered at all.
    Invariant(Box<VectorNode>),
    /// Evaluated once for all places where the query writes it.
    Shared(Shared),
    Negate(Box<VectorNode>),
    Map(Map),
    Window(Window),
    Absent {
        input: Box<VectorNode>,
        labels: Vec<(String, String)>,
    },
    Aggregate(Aggregate),
    WithScalar(WithScalar),
    Join(Join),
    Set(Set),
    LabelReplace(LabelReplace),
    LabelJoin(LabelJoin),
    Sort {
        input: Box<VectorNode>,
        order: Order,
        span: Span,
    },
    Buckets(Buckets),
    Info(Info),
    External(External),
}

/// Answers a stretch of samples of each series per step.
#[derive(Debug)]
pub(crate) enum RangeNode {
    Select { select: Select, range_ms: i64, extension: Extension },
    Subquery(Subquery),
}

impl RangeNode {
    pub(crate) fn range_ms(&self) -> i64 {
        match self {
            Self::Select { range_ms, .. } => *range_ms,
            Self::Subquery(subquery) => subquery.range_ms,
        }
    }

    /// Which time a step looks at.
    pub(crate) fn shift(&self) -> Shift {
        match self {
            Self::Select { select, .. } => select.shift,
            Self::Subquery(subquery) => subquery.shift,
        }
    }
}

/// An expression that the query writes more than once.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The same at all places.
    pub(crate) id: usize,
    /// At how many places.
    pub(crate) uses: usize,
    pub(crate) input: Box<VectorNode>,
}

/// `offset` and `@`, resolved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shift {
    pub(crate) offset_ms: i64,
    pub(crate) at: Option<i64>,
}

impl Shift {
    /// The time that the step at `time` looks at.
    pub(crate) fn apply(self, time: i64) -> i64 {
        self.at.unwrap_or(time).saturating_sub(self.offset_ms)
    }
}

#[derive(Debug)]
pub(crate) struct Select {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) shift: Shift,
    pub(crate) span: Span,
    /// Whether its series have to come in the order of their labels.
    pub(crate) ordered: bool,
    /// Whether nothing but counts and sums of histograms is asked for. Prometheus then looks for resets as it reads, and
    /// knows more of them than its storage does.
    pub(crate) finds_resets: bool,
}

#[derive(Debug)]
pub(crate) struct Subquery {
    pub(crate) input: Box<VectorNode>,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) shift: Shift,
}

/// A function that is not of the language.
#[derive(Debug)]
pub(crate) struct External {
    pub(crate) function: Arc<dyn ExternalFunction>,
    /// As the query names it.
    pub(crate) name: Arc<str>,
    pub(crate) input: ExternalInput,
    pub(crate) scalars: Vec<ScalarNode>,
    pub(crate) texts: Vec<String>,
    /// Where the first argument stands.
    pub(crate) arg_span: Span,
    /// Line and column of the call, for errors that come while it runs.
    pub(crate) position: String,
}

/// What an external function looks at.
#[derive(Debug)]
pub(crate) enum ExternalInput {
    Vector(Box<VectorNode>),
    Range(RangeNode),
}

/// A function applied to each sample by itself.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) function: MapFunction,
    /// As the query names it.
    pub(crate) name: &'static str,
    pub(crate) input: Box<VectorNode>,
    pub(crate) args: Vec<ScalarNode>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum MapFunction {
    Float(fn(f64) -> f64),
    Date(fn(i64) -> f64),
    Clamp,
    ClampMin,
    ClampMax,
    Round,
    Timestamp,
    /// Of a computed sample, of which none is known.
    StartTimestamp,
    HistogramAvg,
    HistogramCount,
    HistogramSum,
    HistogramStddev,
    HistogramStdvar,
}

/// A function over the samples of a range.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) function: WindowFunction,
    /// As the query names it.
    pub(crate) name: &'static str,
    pub(crate) input: RangeNode,
    pub(crate) args: Vec<ScalarNode>,
    /// Where the range stands, which annotations point to.
    pub(crate) span: Span,
    /// Where the first argument stands.
    pub(crate) arg_span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
    Resets,
    Changes,
    Avg,
    Sum,
    Min,
    Max,
    Count,
    Last,
    First,
    Present,
    Stddev,
    Stdvar,
    Quantile,
    Mad,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMax,
    TimeOfMin,
}

#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) input: Box<VectorNode>,
    pub(crate) grouping: Grouping,
    pub(crate) param: AggregateParam,
    /// Where what is aggregated stands, which most annotations point to.
    pub(crate) span: Span,
    pub(crate) whole_span: Span,
    pub(crate) param_span: Span,
}

#[derive(Debug)]
pub(crate) enum AggregateParam {
    None,
    Number(ScalarNode),
    Label(Vec<u8>),
}

/// Which labels tell groups apart.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub(crate) without: bool,
    pub(crate) labels: Vec<String>,
}

/// A vector and a scalar.
#[derive(Debug)]
pub(crate) struct WithScalar {
    pub(crate) op: BinaryOp,
    pub(crate) vector: Box<VectorNode>,
    pub(crate) scalar: ScalarNode,
    /// Whether the scalar stands on the left.
    pub(crate) scalar_left: bool,
    pub(crate) return_bool: bool,
    pub(crate) span: Span,
}

/// Two vectors, arithmetic or comparison.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) op: BinaryOp,
    pub(crate) left: Box<VectorNode>,
    pub(crate) right: Box<VectorNode>,
    pub(crate) return_bool: bool,
    pub(crate) matching: Matching,
    pub(crate) span: Span,
}

/// Two vectors as sets of series.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) op: BinaryOp,
    pub(crate) left: Box<VectorNode>,
    pub(crate) right: Box<VectorNode>,
    pub(crate) matching: Matching,
}

#[derive(Debug)]
pub(crate) struct LabelReplace {
    pub(crate) input: Box<VectorNode>,
    pub(crate) target: String,
    pub(crate) replacement: String,
    pub(crate) source: String,
    pub(crate) regex: Arc<regex::Regex>,
}

#[derive(Debug)]
pub(crate) struct LabelJoin {
    pub(crate) input: Box<VectorNode>,
    pub(crate) target: String,
    pub(crate) separator: String,
    pub(crate) sources: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum Order {
    Value { descending: bool },
    Labels { descending: bool, labels: Vec<String> },
}

/// Functions that read histograms, classic or native, as a whole.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub(crate) function: BucketFunction,
    pub(crate) input: Box<VectorNode>,
    /// Where the histograms stand.
    pub(crate) span: Span,
    /// Where the first argument stands, which what native histograms come to is told of.
    pub(crate) first_span: Span,
}

#[derive(Debug)]
pub(crate) enum BucketFunction {
    Quantile { q: ScalarNode, span: Span },
    Quantiles { label: String, quantiles: Vec<(ScalarNode, Span)> },
    Fraction { lower: ScalarNode, upper: ScalarNode },
}

/// `info(v, {matchers})`
#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) input: Box<VectorNode>,
    pub(crate) select: Select,
    /// Matchers on labels other than the name: which labels are added.
    pub(crate) data_matchers: Vec<Matcher>,
}
