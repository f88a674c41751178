//! The syntax tree: what was written, with where it stands.

use std::fmt;

use model::Matcher;

/// A stretch of the query's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(crate) const fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }

    /// Where it starts, as `line:column`, both counted from one.
    pub fn line_column(self, query: &str) -> (usize, usize) {
        let before = query.as_bytes().get(..self.start.min(query.len())).unwrap_or(&[]);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        (line, column)
    }
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// A text.
    String,
    /// One sample of each series per step.
    Vector,
    /// A stretch of samples of each series per step.
    Matrix,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        })
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
    /// How deep the tree below it is; bounded, since everything that walks a tree recurses.
    pub(crate) depth: u32,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number, or a duration, which stands for its seconds.
    Number {
        /// The value.
        value: f64,
        /// Whether it was written as a duration.
        duration: bool,
    },
    /// A text; bytes, since escapes may write what is no UTF-8.
    String(Vec<u8>),
    /// `name{matchers} offset x @ y`
    Vector(VectorSelector),
    /// `selector[range]`
    Matrix(Box<MatrixSelector>),
    /// `expr[range:step]`
    Subquery(Box<Subquery>),
    /// `-expr` or `+expr`
    Unary {
        /// Whether the sign is a minus.
        negate: bool,
        /// What it applies to.
        expr: Box<Expr>,
    },
    /// `left op right`
    Binary(Box<Binary>),
    /// `sum by (x) (expr)`
    Aggregate(Box<Aggregate>),
    /// `function(args)`
    Call(Call),
    /// `(expr)`
    Paren(Box<Expr>),
}

/// `offset` and `@`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TimeShift {
    /// How far back; negative looks ahead.
    pub offset: Option<DurationExpr>,
    /// The fixed time of evaluation.
    pub at: Option<At>,
}

/// The time after `@`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// Milliseconds since the epoch.
    Millis(i64),
    /// `start()`: where the query starts.
    Start,
    /// `end()`: where it ends.
    End,
}

/// A selector of series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name written before the braces; one that is given within is a condition like others.
    pub name: Option<String>,
    /// All conditions, the one on the name among them.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub shift: TimeShift,
    /// `anchored` or `smoothed`.
    pub extension: Extension,
    /// Where the selector itself stands, without modifiers.
    pub span: Span,
}

/// How the edges of a range are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Extension {
    /// Samples within the range only.
    #[default]
    None,
    /// The last sample at or before the range's start stands in for the value at its start.
    Anchored,
    /// Values at both edges are interpolated.
    Smoothed,
}

/// A selector with a range.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Which series.
    pub selector: VectorSelector,
    /// How long.
    pub range: DurationExpr,
}

/// An expression evaluated at steps of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// The expression.
    pub expr: Expr,
    /// How long.
    pub range: DurationExpr,
    /// How far apart; the engine's default where absent.
    pub step: Option<DurationExpr>,
    /// `offset` and `@`.
    pub shift: TimeShift,
}

/// A duration, possibly computed.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// Seconds.
    Number {
        /// How many.
        seconds: f64,
        /// Whether it was written with units.
        units: bool,
        /// Where.
        span: Span,
    },
    /// `step()`: the query's step.
    Step(Span),
    /// `range()`: from the query's start to its end.
    Range(Span),
    /// `min_of(a, b)`
    MinOf(Span, Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    MaxOf(Span, Box<DurationExpr>, Box<DurationExpr>),
    /// `-a`, and where the sign stands.
    Negate(Span, Box<DurationExpr>),
    /// `a op b`
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `(a)`
    Paren(Box<DurationExpr>),
}

impl DurationExpr {
    /// Where it stands, without parentheses around it.
    pub fn span(&self) -> Span {
        match self {
            Self::Number { span, .. }
            | Self::Step(span)
            | Self::Range(span)
            | Self::MinOf(span, ..)
            | Self::MaxOf(span, ..) => *span,
            Self::Negate(sign, inner) => sign.to(inner.span()),
            Self::Binary(_, left, right) => left.span().to(right.span()),
            Self::Paren(inner) => inner.span(),
        }
    }

    /// The duration inside any parentheses.
    pub fn unparen(&self) -> &Self {
        let mut duration = self;
        while let Self::Paren(inner) = duration {
            duration = inner;
        }
        duration
    }
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `or`
    Or,
    /// `and`
    And,
    /// `unless`
    Unless,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `</`: a histogram's observations up to the right side.
    TrimUpper,
    /// `>/`: a histogram's observations from the right side on.
    TrimLower,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `atan2`
    Atan2,
    /// `^`
    Pow,
}

impl BinaryOp {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Or,
        Self::And,
        Self::Unless,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessEqual,
        Self::Greater,
        Self::GreaterEqual,
        Self::TrimUpper,
        Self::TrimLower,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Atan2,
        Self::Pow,
    ];

    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Atan2 => "atan2",
            Self::Pow => "^",
        }
    }

    /// How tightly it binds.
    pub(crate) const fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual
            | Self::TrimUpper
            | Self::TrimLower => 3,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
        }
    }

    /// Whether it compares.
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }

    /// Whether it is `and`, `or` or `unless`.
    pub const fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    /// Whether the result is another quantity, so that the metric's name no longer holds.
    pub(crate) const fn changes_metric(self) -> bool {
        matches!(self, Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Atan2 | Self::Pow)
    }
}

/// `left op right`
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left side.
    pub left: Expr,
    /// The right side.
    pub right: Expr,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How vectors are matched.
    pub matching: Matching,
}

/// Which series of two vectors belong together.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Matching {
    /// Whether [`Matching::labels`] are those that count (`on`) or that do not (`ignoring`).
    pub on: bool,
    /// Whether `on` or `ignoring` was written.
    pub written: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// `group_left`, `group_right` or neither.
    pub group: Group,
    /// Labels taken over from the side with one series.
    pub include: Vec<String>,
    /// What stands in for a missing left side.
    pub fill_left: Option<f64>,
    /// What stands in for a missing right side.
    pub fill_right: Option<f64>,
}

/// How many series may match one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Group {
    /// One to one, or sets.
    #[default]
    None,
    /// Many on the left.
    Left,
    /// Many on the right.
    Right,
}

/// Aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named as PromQL names them")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// The aggregation of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether it needs the feature `promql-experimental-functions`.
    pub const fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// Whether a parameter comes before the expression.
    pub const fn has_param(self) -> bool {
        matches!(
            self,
            Self::Topk | Self::Bottomk | Self::CountValues | Self::Quantile | Self::Limitk | Self::LimitRatio
        )
    }
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The parameter of those that have one.
    pub param: Option<Expr>,
    /// Whether [`Aggregate::labels`] are dropped rather than kept.
    pub without: bool,
    /// The grouping labels.
    pub labels: Vec<String>,
    /// Whether `by` or `without` was written.
    pub grouped: bool,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static crate::functions::Signature,
    /// The name of a function that is not of the language; `function` then stands for all of those.
    pub external: Option<std::sync::Arc<str>>,
    /// What it is given.
    pub args: Vec<Expr>,
}

impl Call {
    /// The function's name.
    pub fn name(&self) -> &str {
        self.external.as_deref().unwrap_or(self.function.name)
    }
}

impl Expr {
    /// Its type.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number { .. } => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            ExprKind::Call(call) => call.function.returns,
        }
    }

    /// The expression inside any parentheses.
    pub fn unparen(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// Calls `visit` for every selector, in the order in which they are written.
    pub fn visit_selectors<'a>(&'a self, visit: &mut dyn FnMut(&'a VectorSelector)) {
        self.visit(&mut |expr| match &expr.kind {
            ExprKind::Vector(selector) => visit(selector),
            ExprKind::Matrix(matrix) => visit(&matrix.selector),
            _ => {}
        });
    }

    /// Names of the functions it calls that are not of the language, prefix and all.
    pub fn external_functions(&self) -> std::collections::BTreeSet<&str> {
        let mut names = std::collections::BTreeSet::new();
        self.visit(&mut |expr| {
            if let ExprKind::Call(call) = &expr.kind {
                names.extend(call.external.as_deref());
            }
        });
        names
    }

    /// Calls `visit` for every expression in it, itself first, in the order in which they are written.
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {}
            ExprKind::Subquery(subquery) => subquery.expr.visit(visit),
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.visit(visit),
            ExprKind::Binary(binary) => {
                binary.left.visit(visit);
                binary.right.visit(visit);
            }
            ExprKind::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    param.visit(visit);
                }
                aggregate.expr.visit(visit);
            }
            ExprKind::Call(call) => call.args.iter().for_each(|arg| arg.visit(visit)),
        }
    }
}
