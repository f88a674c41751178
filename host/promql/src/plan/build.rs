//! Tree to plan.

use std::cell::Cell;
use std::sync::Arc;

use model::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::order;
use super::repeats::Repeats;
use super::{
    Aggregate, AggregateParam, BucketFunction, Buckets, External, ExternalInput, Grouping, Info, Join,
    LabelJoin, LabelReplace, Map, MapFunction, Order, Plan, RangeNode, ScalarNode, Select, Set, Shared,
    Shift, Subquery, VectorNode, Window, WindowFunction, WithScalar,
};
use crate::error::QueryError;
use crate::exec::arithmetic;
use crate::external::ExternalFunctions;
use crate::functions::{date, math};
use crate::lexer::quote;
use crate::parser::{
    self, AggregateOp, At, BinaryOp, Call, DurationExpr, Expr, ExprKind, Extension, Span, TimeShift,
    ValueType, VectorSelector,
};

/// What a plan is built for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<'q> {
    pub(crate) query: &'q str,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// Zero in an instant query.
    pub(crate) step_ms: i64,
    pub(crate) subquery_step_ms: i64,
    pub(crate) use_start_timestamps: bool,
    /// What the query writes more than once.
    pub(crate) repeats: &'q Repeats,
    pub(crate) functions: &'q dyn ExternalFunctions,
}

type Built<T> = Result<T, QueryError>;

/// Builds the plan of a checked tree.
///
/// # Errors
/// [`QueryError::Execution`] for what only shows with values known: regular expressions, label names, and
/// durations that come out negative.
pub(crate) fn build(expr: &Expr, params: Params<'_>) -> Built<Plan> {
    let builder = Builder { params, within: Cell::new(1), need: Cell::default() };
    Ok(match expr.value_type() {
        ValueType::Scalar => Plan::Scalar(builder.scalar(expr)?),
        ValueType::Vector => Plan::Vector(builder.outer_vector(expr)?),
        ValueType::Matrix => Plan::Range(builder.range(expr)?),
        ValueType::String => Plan::String(string(expr).to_vec()),
    })
}

struct Builder<'q> {
    params: Params<'q>,
    /// How often the shared expression around the current one is written. What is written no more often than
    /// that is within it everywhere.
    within: Cell<usize>,
    need: Cell<NeedOf>,
}

/// What is asked for of the histograms of a selector.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum NeedOf {
    #[default]
    Unknown,
    /// `histogram_count` and its like.
    Statistics,
    /// Something around needs the buckets as well, or evaluates at steps of its own.
    Buckets,
}

impl NeedOf {
    /// What is needed below an expression of this kind.
    fn below(self, kind: &ExprKind) -> Self {
        let buckets = match kind {
            ExprKind::Call(call) => match call.function.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" if self == Self::Unknown => {
                    return Self::Statistics;
                }
                name => matches!(name, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction"),
            },
            ExprKind::Binary(binary) => matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower),
            ExprKind::Subquery(_) => true,
            _ => false,
        };
        if buckets { Self::Buckets } else { self }
    }
}

fn string(expr: &Expr) -> &[u8] {
    match &expr.unparen().kind {
        ExprKind::String(content) => content,
        _ => &[],
    }
}

fn mismatch<T>(expr: &Expr) -> Built<T> {
    Err(QueryError::Execution(format!("unexpected {} in plan", expr.value_type())))
}

/// Functions whose answer depends on the time of evaluation even where their input does not.
fn depends_on_time(call: &Call) -> bool {
    // An external function is told the time of each step.
    call.external.is_some()
        || matches!(
            call.function.name,
            "time"
                | "timestamp"
                | "predict_linear"
                | "day_of_month"
                | "day_of_week"
                | "day_of_year"
                | "days_in_month"
                | "hour"
                | "minute"
                | "month"
                | "year"
        )
}

/// Whether every step has the same answer.
fn is_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => true,
        ExprKind::Vector(selector) => selector.shift.at.is_some(),
        ExprKind::Matrix(matrix) => matrix.selector.shift.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.shift.at.is_some(),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => is_invariant(expr),
        ExprKind::Binary(binary) => is_invariant(&binary.left) && is_invariant(&binary.right),
        ExprKind::Aggregate(aggregate) => {
            is_invariant(&aggregate.expr) && aggregate.param.as_ref().is_none_or(is_invariant)
        }
        ExprKind::Call(call) => !depends_on_time(call) && call.args.iter().all(is_invariant),
    }
}

impl Builder<'_> {
    /// A vector at the top or below something that changes with time.
    fn outer_vector(&self, expr: &Expr) -> Built<VectorNode> {
        let node = self.vector(expr)?;
        let cheap = matches!(node, VectorNode::OfScalar(_));
        Ok(if is_invariant(expr) && !cheap { VectorNode::Invariant(Box::new(node)) } else { node })
    }

    /// A vector below `parent`: what the parent has marked already is not marked again.
    fn child(&self, parent: &Expr, expr: &Expr) -> Built<Box<VectorNode>> {
        let node = if is_invariant(parent) { self.vector(expr)? } else { self.outer_vector(expr)? };
        Ok(Box::new(node))
    }

    fn scalar(&self, expr: &Expr) -> Built<ScalarNode> {
        let node = match &expr.kind {
            ExprKind::Number { value, .. } => ScalarNode::Constant(*value),
            ExprKind::Paren(inner) => self.scalar(inner)?,
            ExprKind::Unary { negate: false, expr } => self.scalar(expr)?,
            ExprKind::Unary { negate: true, expr } => ScalarNode::Negate(Box::new(self.scalar(expr)?)),
            ExprKind::Binary(binary) if !arithmetic::knows_floats(binary.op) => {
                let op = binary.op.as_str();
                return Err(QueryError::Execution(format!(
                    "operator {op:?} not allowed for Scalar operations"
                )));
            }
            ExprKind::Binary(binary) => ScalarNode::Binary {
                op: binary.op,
                left: Box::new(self.scalar(&binary.left)?),
                right: Box::new(self.scalar(&binary.right)?),
            },
            ExprKind::Call(call) => self.scalar_call(call, expr)?,
            _ => return mismatch(expr),
        };
        Ok(fold(node))
    }

    fn scalar_call(&self, call: &Call, expr: &Expr) -> Built<ScalarNode> {
        let seconds = |millis: i64| ScalarNode::Constant(millis as f64 / 1000.0);
        let Params { start_ms, end_ms, step_ms, .. } = self.params;
        let pair = || -> Built<(Box<ScalarNode>, Box<ScalarNode>)> {
            Ok((Box::new(self.scalar(&call.args[0])?), Box::new(self.scalar(&call.args[1])?)))
        };
        Ok(match call.function.name {
            "pi" => ScalarNode::Constant(std::f64::consts::PI),
            "time" => ScalarNode::Time,
            "start" => seconds(start_ms),
            "end" => seconds(end_ms),
            "step" => seconds(step_ms),
            "range" => seconds(end_ms.saturating_sub(start_ms)),
            "min_of" => {
                let (a, b) = pair()?;
                ScalarNode::MinOf(a, b)
            }
            "max_of" => {
                let (a, b) = pair()?;
                ScalarNode::MaxOf(a, b)
            }
            "scalar" => ScalarNode::OfVector(Box::new(self.outer_vector(&call.args[0])?)),
            _ => return mismatch(expr),
        })
    }

    fn vector(&self, expr: &Expr) -> Built<VectorNode> {
        let expr = expr.unparen();
        let Some(repeat) = self.params.repeats.get(expr).filter(|repeat| repeat.count > self.within.get())
        else {
            return self.own_vector(expr);
        };
        let around = self.within.replace(repeat.count);
        let input = Box::new(self.own_vector(expr)?);
        self.within.set(around);
        Ok(VectorNode::Shared(Shared { id: repeat.id, uses: repeat.count, input }))
    }

    fn own_vector(&self, expr: &Expr) -> Built<VectorNode> {
        let around = self.need.get();
        self.need.set(around.below(&expr.kind));
        let node = self.bare_vector(expr);
        self.need.set(around);
        node
    }

    fn bare_vector(&self, expr: &Expr) -> Built<VectorNode> {
        Ok(match &expr.kind {
            ExprKind::Paren(inner) => self.vector(inner)?,
            ExprKind::Vector(selector) if selector.extension == Extension::Smoothed => {
                VectorNode::Smoothed(self.select(selector, expr.span)?)
            }
            ExprKind::Vector(selector) => VectorNode::Select(self.select(selector, expr.span)?),
            ExprKind::Unary { negate: false, expr } => self.vector(expr)?,
            ExprKind::Unary { negate: true, expr: inner } => VectorNode::Negate(self.child(expr, inner)?),
            ExprKind::Binary(binary) => self.binary(binary, expr)?,
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr)?,
            ExprKind::Call(call) => self.call(call, expr)?,
            _ => return mismatch(expr),
        })
    }

    fn binary(&self, binary: &parser::Binary, expr: &Expr) -> Built<VectorNode> {
        let (op, return_bool, span) = (binary.op, binary.return_bool, expr.span);
        let (left, right) = (&binary.left, &binary.right);
        Ok(match (left.value_type(), right.value_type()) {
            (ValueType::Scalar, _) => VectorNode::WithScalar(WithScalar {
                op,
                vector: self.child(expr, right)?,
                scalar: self.scalar(left)?,
                scalar_left: true,
                return_bool,
                span,
            }),
            (_, ValueType::Scalar) => VectorNode::WithScalar(WithScalar {
                op,
                vector: self.child(expr, left)?,
                scalar: self.scalar(right)?,
                scalar_left: false,
                return_bool,
                span,
            }),
            _ => {
                let (left, right) = (self.child(expr, left)?, self.child(expr, right)?);
                let matching = binary.matching.clone();
                if op.is_set() {
                    VectorNode::Set(Set { op, left, right, matching })
                } else {
                    VectorNode::Join(Join { op, left, right, return_bool, matching, span })
                }
            }
        })
    }

    fn aggregate(&self, aggregate: &parser::Aggregate, expr: &Expr) -> Built<VectorNode> {
        let param = match &aggregate.param {
            None => AggregateParam::None,
            Some(param) if aggregate.op == AggregateOp::CountValues => {
                let label = string(param);
                let valid = std::str::from_utf8(label).is_ok_and(|l| !l.is_empty());
                if !valid {
                    return Err(QueryError::Execution(format!("invalid label name {}", quote(label))));
                }
                AggregateParam::Label(label.to_vec())
            }
            Some(param) => AggregateParam::Number(self.scalar(param)?),
        };
        let grouping = Grouping { without: aggregate.without, labels: aggregate.labels.clone() };
        let mut input = self.child(expr, &aggregate.expr)?;
        if order::is_free(aggregate.op) {
            order::relax(&mut input);
        }
        Ok(VectorNode::Aggregate(Aggregate {
            op: aggregate.op,
            input,
            grouping,
            param,
            span: aggregate.expr.span,
            whole_span: expr.span,
            param_span: aggregate.param.as_ref().map_or(expr.span, |p| p.span),
        }))
    }

    fn call(&self, call: &Call, expr: &Expr) -> Built<VectorNode> {
        if let Some(name) = &call.external {
            return self.external(name, &call.args, expr);
        }
        let name = call.function.name;
        let args = &call.args;
        if let Some((function, at)) = window_function(name) {
            let range = &args[at];
            let others = args.iter().enumerate().filter(|(i, _)| *i != at);
            return Ok(VectorNode::Window(Window {
                function,
                name,
                input: self.range(range)?,
                args: others.map(|(_, arg)| self.scalar(arg)).collect::<Built<_>>()?,
                span: annotated(range),
                arg_span: annotated(&args[0]),
            }));
        }
        if let Some(function) = map_function(name) {
            let Some(first) = args.first() else {
                let now = VectorNode::OfScalar(ScalarNode::Time);
                return Ok(VectorNode::Map(Map { function, name, input: Box::new(now), args: Vec::new() }));
            };
            if let (MapFunction::Timestamp, ExprKind::Vector(selector)) = (function, &first.unparen().kind) {
                return Ok(VectorNode::SampleTimes(self.select(selector, first.span)?));
            }
            let rest = args[1..].iter().map(|arg| self.scalar(arg)).collect::<Built<_>>()?;
            return Ok(VectorNode::Map(Map { function, name, input: self.child(expr, first)?, args: rest }));
        }
        self.other_call(call, expr)
    }

    fn external(&self, name: &Arc<str>, args: &[Expr], expr: &Expr) -> Built<VectorNode> {
        let fail = |span: Span, message: String| {
            Err(QueryError::Parse(parser::error_at(self.params.query, span, message)))
        };
        let quoted = quote(name.as_bytes());
        let name_span = Span { end: expr.span.start + name.len(), ..expr.span };
        let Some(function) = self.params.functions.find(name) else {
            return fail(name_span, format!("unknown function with name {quoted}"));
        };
        let (wanted, count) = (function.args(), args.len());
        let least = wanted.len().saturating_sub(function.optional());
        if !(least..=wanted.len()).contains(&count) {
            let (bound, number) = match (least == wanted.len(), count < least) {
                (true, _) => ("", least),
                (false, true) => ("at least ", least),
                (false, false) => ("at most ", wanted.len()),
            };
            let message = format!("expected {bound}{number} argument(s) in call to {quoted}, got {count}");
            return fail(expr.span, message);
        }
        for (arg, wanted) in args.iter().zip(wanted) {
            let found = arg.value_type();
            if found != *wanted {
                let message = format!("expected type {wanted} in call to function {quoted}, got {found}");
                return fail(arg.span, message);
            }
        }
        let Some((first, others)) = args.split_first() else { return mismatch(expr) };
        let input = match first.value_type() {
            ValueType::Matrix => ExternalInput::Range(self.range(first)?),
            _ => ExternalInput::Vector(self.child(expr, first)?),
        };
        let (mut scalars, mut texts) = (Vec::new(), Vec::new());
        for arg in others {
            match arg.value_type() {
                ValueType::String => texts.push(String::from_utf8_lossy(string(arg)).into_owned()),
                _ => scalars.push(self.scalar(arg)?),
            }
        }
        let (line, column) = name_span.line_column(self.params.query);
        Ok(VectorNode::External(External {
            function,
            name: Arc::clone(name),
            input,
            scalars,
            texts,
            arg_span: first.span,
            position: format!("{line}:{column}"),
        }))
    }

    fn other_call(&self, call: &Call, expr: &Expr) -> Built<VectorNode> {
        let args = &call.args;
        Ok(match call.function.name {
            "vector" => VectorNode::OfScalar(self.scalar(&args[0])?),
            "absent" => absent(self.child(expr, &args[0])?, absent_labels(&args[0])),
            "absent_over_time" => {
                // The latest sample of a range is there where any is.
                let input = Box::new(VectorNode::Window(Window {
                    function: WindowFunction::Last,
                    name: call.function.name,
                    input: self.range(&args[0])?,
                    args: Vec::new(),
                    span: annotated(&args[0]),
                    arg_span: args[0].span,
                }));
                absent(input, absent_labels(&args[0]))
            }
            "label_replace" => self.label_replace(args, expr)?,
            "label_join" => self.label_join(args, expr)?,
            "sort" | "sort_desc" => VectorNode::Sort {
                input: self.child(expr, &args[0])?,
                order: Order::Value { descending: call.function.name == "sort_desc" },
                span: expr.span,
            },
            "sort_by_label" | "sort_by_label_desc" => VectorNode::Sort {
                input: self.child(expr, &args[0])?,
                order: Order::Labels {
                    descending: call.function.name == "sort_by_label_desc",
                    labels: args[1..]
                        .iter()
                        .map(|a| String::from_utf8_lossy(string(a)).into_owned())
                        .collect(),
                },
                span: expr.span,
            },
            "histogram_quantile" => VectorNode::Buckets(Buckets {
                function: BucketFunction::Quantile { q: self.scalar(&args[0])?, span: args[0].span },
                input: self.child(expr, &args[1])?,
                span: args[1].span,
                first_span: args[0].span,
            }),
            "histogram_quantiles" => VectorNode::Buckets(Buckets {
                function: BucketFunction::Quantiles {
                    label: label_name(string(&args[1]))?,
                    quantiles: args[2..]
                        .iter()
                        .map(|a| Ok((self.scalar(a)?, a.span)))
                        .collect::<Built<_>>()?,
                },
                input: self.child(expr, &args[0])?,
                span: args[0].span,
                first_span: args[0].span,
            }),
            "histogram_fraction" => VectorNode::Buckets(Buckets {
                function: BucketFunction::Fraction {
                    lower: self.scalar(&args[0])?,
                    upper: self.scalar(&args[1])?,
                },
                input: self.child(expr, &args[2])?,
                span: args[2].span,
                first_span: args[0].span,
            }),
            "info" => self.info(args, expr)?,
            "start_timestamp" if !self.params.use_start_timestamps => {
                let message = "start_timestamp() needs the feature use-start-timestamps to be enabled";
                return Err(QueryError::Execution(message.to_owned()));
            }
            "start_timestamp" => match &args[0].unparen().kind {
                ExprKind::Vector(selector) => VectorNode::StartTimes(self.select(selector, args[0].span)?),
                _ => VectorNode::Map(Map {
                    function: MapFunction::StartTimestamp,
                    name: call.function.name,
                    input: self.child(expr, &args[0])?,
                    args: Vec::new(),
                }),
            },
            _ => return mismatch(expr),
        })
    }

    fn label_replace(&self, args: &[Expr], expr: &Expr) -> Built<VectorNode> {
        let text = |i: usize| String::from_utf8(string(&args[i]).to_vec());
        let pattern = text(4).unwrap_or_default();
        let regex = model::anchored_regex(&pattern).map_err(|_| {
            QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        let Ok(target) = text(1).map_err(drop).and_then(|t| if t.is_empty() { Err(()) } else { Ok(t) })
        else {
            let bad = quote(string(&args[1]));
            return Err(QueryError::Execution(format!(
                "invalid destination label name in label_replace(): {}",
                bad.trim_matches('"')
            )));
        };
        Ok(VectorNode::LabelReplace(LabelReplace {
            input: self.child(expr, &args[0])?,
            target,
            replacement: String::from_utf8_lossy(string(&args[2])).into_owned(),
            source: text(3).unwrap_or_default(),
            regex,
        }))
    }

    fn label_join(&self, args: &[Expr], expr: &Expr) -> Built<VectorNode> {
        let invalid = |what: &str, i: usize| {
            let bad = quote(string(&args[i]));
            QueryError::Execution(format!(
                "invalid {what} label name in label_join(): {}",
                bad.trim_matches('"')
            ))
        };
        let target = label_name(string(&args[1])).map_err(|_| invalid("destination", 1))?;
        let sources = (3..args.len())
            .map(|i| label_name(string(&args[i])).map_err(|_| invalid("source", i)))
            .collect::<Built<_>>()?;
        Ok(VectorNode::LabelJoin(LabelJoin {
            input: self.child(expr, &args[0])?,
            target,
            separator: String::from_utf8_lossy(string(&args[2])).into_owned(),
            sources,
        }))
    }

    fn info(&self, args: &[Expr], expr: &Expr) -> Built<VectorNode> {
        let (mut matchers, mut data_matchers) = (Vec::new(), Vec::new());
        if let Some(ExprKind::Vector(selector)) = args.get(1).map(|a| &a.kind) {
            let (names, others): (Vec<_>, Vec<_>) =
                selector.matchers.iter().cloned().partition(|m| m.name() == METRIC_NAME);
            matchers = names;
            data_matchers = others;
        }
        let positive = |m: &Matcher| matches!(m.op(), MatchOp::Equal | MatchOp::Regex);
        if matchers.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, "target_info"));
        } else if !matchers.iter().any(positive) {
            // Names are only excluded: info metrics are then those that are named as such.
            matchers.extend(Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info"));
        }
        // The info series are looked up at the times that the first argument looks at.
        let mut shift = Shift::default();
        let mut first = true;
        let mut built = Ok(());
        args[0].visit_selectors(&mut |selector| {
            if std::mem::take(&mut first) {
                match self.shift(&selector.shift) {
                    Ok(found) => shift = found,
                    Err(e) => built = Err(e),
                }
            }
        });
        built?;
        Ok(VectorNode::Info(Info {
            input: self.child(expr, &args[0])?,
            select: Select { matchers, shift, span: expr.span, ordered: true, finds_resets: false },
            data_matchers,
        }))
    }

    fn range(&self, expr: &Expr) -> Built<RangeNode> {
        match &expr.kind {
            ExprKind::Paren(inner) => self.range(inner),
            ExprKind::Matrix(matrix) => Ok(RangeNode::Select {
                select: self.select(&matrix.selector, expr.span)?,
                range_ms: self.positive(&matrix.range)?,
                extension: matrix.selector.extension,
            }),
            ExprKind::Subquery(subquery) => Ok(RangeNode::Subquery(Subquery {
                input: {
                    let around = self.need.replace(NeedOf::Buckets);
                    let input = self.outer_vector(&subquery.expr);
                    self.need.set(around);
                    Box::new(input?)
                },
                range_ms: self.positive(&subquery.range)?,
                step_ms: match &subquery.step {
                    Some(step) => self.positive(step)?,
                    None => self.params.subquery_step_ms,
                },
                shift: self.shift(&subquery.shift)?,
            })),
            _ => mismatch(expr),
        }
    }

    fn select(&self, selector: &VectorSelector, span: Span) -> Built<Select> {
        let shift = self.shift(&selector.shift)?;
        let finds_resets = self.need.get() == NeedOf::Statistics;
        Ok(Select { matchers: selector.matchers.clone(), shift, span, ordered: true, finds_resets })
    }

    fn shift(&self, shift: &TimeShift) -> Built<Shift> {
        let offset_ms = match &shift.offset {
            None => 0,
            Some(offset) => self.millis(offset)?,
        };
        let at = shift.at.map(|at| match at {
            At::Millis(millis) => millis,
            At::Start => self.params.start_ms,
            At::End => self.params.end_ms,
        });
        Ok(Shift { offset_ms, at })
    }

    fn positive(&self, duration: &DurationExpr) -> Built<i64> {
        let millis = self.millis(duration)?;
        // What is written down is known to be positive, however short.
        if millis <= 0 && !matches!(duration.unparen(), DurationExpr::Number { .. }) {
            return Err(duration_error(duration, "duration must be greater than 0"));
        }
        Ok(millis)
    }

    /// Computed durations are cut to milliseconds.
    fn millis(&self, duration: &DurationExpr) -> Built<i64> {
        let seconds = self.seconds(duration)?;
        if !seconds.is_finite() {
            return Err(duration_error(duration, "duration is NaN or infinite"));
        }
        if seconds.abs() > DURATION_SECONDS_MAX {
            return Err(duration_error(duration, "duration is out of range"));
        }
        Ok(match duration {
            DurationExpr::Number { .. } => (seconds * 1e9).round() as i64 / 1_000_000,
            _ => (seconds * 1000.0) as i64,
        })
    }

    fn seconds(&self, duration: &DurationExpr) -> Built<f64> {
        let of = |d: &DurationExpr| self.seconds(d);
        Ok(match duration {
            DurationExpr::Number { seconds, .. } => *seconds,
            DurationExpr::Step(_) => self.params.step_ms as f64 / 1000.0,
            DurationExpr::Range(_) => self.params.end_ms.saturating_sub(self.params.start_ms) as f64 / 1000.0,
            DurationExpr::MinOf(_, a, b) => math::min_of(of(a)?, of(b)?),
            DurationExpr::MaxOf(_, a, b) => math::max_of(of(a)?, of(b)?),
            DurationExpr::Negate(_, a) => -of(a)?,
            DurationExpr::Paren(a) => of(a)?,
            DurationExpr::Binary(op, a, b) => {
                let (a, b) = (of(a)?, of(b)?);
                if b == 0.0 && *op == BinaryOp::Div {
                    return Err(duration_error(duration, "division by zero"));
                }
                if b == 0.0 && *op == BinaryOp::Mod {
                    return Err(duration_error(duration, "modulo by zero"));
                }
                arithmetic::scalars(*op, a, b)
            }
        })
    }
}

/// How many seconds a computed duration may come to, either way: so many nanoseconds Prometheus counts.
const DURATION_SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// What is wrong with a computed duration, with the bytes of the query from which and to which it stands, as Prometheus
/// says it.
fn duration_error(duration: &DurationExpr, message: &str) -> QueryError {
    let Span { start, end } = duration.span();
    QueryError::Execution(format!("{start}:{end}: {message}"))
}

/// Where annotations on a range point to: those on a subquery to the start of the query, as in Prometheus.
fn annotated(range: &Expr) -> Span {
    if matches!(range.unparen().kind, ExprKind::Subquery(_)) { Span::default() } else { range.span }
}

fn fold(node: ScalarNode) -> ScalarNode {
    let constant = |n: &ScalarNode| match n {
        ScalarNode::Constant(v) => Some(*v),
        _ => None,
    };
    let folded = match &node {
        ScalarNode::Negate(inner) => constant(inner).map(|v| -v),
        ScalarNode::Binary { op, left, right } => {
            constant(left).zip(constant(right)).map(|(l, r)| arithmetic::scalars(*op, l, r))
        }
        ScalarNode::MinOf(l, r) => constant(l).zip(constant(r)).map(|(l, r)| math::min_of(l, r)),
        ScalarNode::MaxOf(l, r) => constant(l).zip(constant(r)).map(|(l, r)| math::max_of(l, r)),
        _ => None,
    };
    folded.map_or(node, ScalarNode::Constant)
}

fn label_name(bytes: &[u8]) -> Built<String> {
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(QueryError::Execution(format!("invalid label name {}", quote(bytes)))),
    }
}

/// One where a vector has nothing, whatever order it comes in.
fn absent(mut input: Box<VectorNode>, labels: Vec<(String, String)>) -> VectorNode {
    order::relax(&mut input);
    VectorNode::Absent { input, labels }
}

/// The labels that `absent` can name: those that the selector pins to one value.
fn absent_labels(expr: &Expr) -> Vec<(String, String)> {
    let matchers = match &expr.unparen().kind {
        ExprKind::Vector(selector) => &selector.matchers,
        ExprKind::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Vec::new(),
    };
    let mut labels: Vec<(String, String)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    // The first equality counts, unless something else is said of the label after it.
    for m in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if m.op() == MatchOp::Equal && !seen.contains(&m.name()) {
            seen.push(m.name());
            labels.push((m.name().to_owned(), m.value().to_owned()));
        } else {
            labels.retain(|(name, _)| name != m.name());
        }
    }
    Labels::from_pairs(labels).iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

pub(super) fn map_function(name: &str) -> Option<MapFunction> {
    if let Some(function) = math::find(name) {
        return Some(MapFunction::Float(function));
    }
    if let Some(function) = date::find(name) {
        return Some(MapFunction::Date(function));
    }
    Some(match name {
        "clamp" => MapFunction::Clamp,
        "clamp_min" => MapFunction::ClampMin,
        "clamp_max" => MapFunction::ClampMax,
        "round" => MapFunction::Round,
        "timestamp" => MapFunction::Timestamp,
        "histogram_avg" => MapFunction::HistogramAvg,
        "histogram_count" => MapFunction::HistogramCount,
        "histogram_sum" => MapFunction::HistogramSum,
        "histogram_stddev" => MapFunction::HistogramStddev,
        "histogram_stdvar" => MapFunction::HistogramStdvar,
        _ => return None,
    })
}

/// The function over a range of that name, and which argument is the range.
pub(super) fn window_function(name: &str) -> Option<(WindowFunction, usize)> {
    let function = match name {
        "quantile_over_time" => return Some((WindowFunction::Quantile, 1)),
        "rate" => WindowFunction::Rate,
        "increase" => WindowFunction::Increase,
        "delta" => WindowFunction::Delta,
        "irate" => WindowFunction::Irate,
        "idelta" => WindowFunction::Idelta,
        "deriv" => WindowFunction::Deriv,
        "predict_linear" => WindowFunction::PredictLinear,
        "double_exponential_smoothing" => WindowFunction::DoubleExponentialSmoothing,
        "resets" => WindowFunction::Resets,
        "changes" => WindowFunction::Changes,
        "avg_over_time" => WindowFunction::Avg,
        "sum_over_time" => WindowFunction::Sum,
        "min_over_time" => WindowFunction::Min,
        "max_over_time" => WindowFunction::Max,
        "count_over_time" => WindowFunction::Count,
        "last_over_time" => WindowFunction::Last,
        "first_over_time" => WindowFunction::First,
        "present_over_time" => WindowFunction::Present,
        "stddev_over_time" => WindowFunction::Stddev,
        "stdvar_over_time" => WindowFunction::Stdvar,
        "mad_over_time" => WindowFunction::Mad,
        "ts_of_first_over_time" => WindowFunction::TimeOfFirst,
        "ts_of_last_over_time" => WindowFunction::TimeOfLast,
        "ts_of_max_over_time" => WindowFunction::TimeOfMax,
        "ts_of_min_over_time" => WindowFunction::TimeOfMin,
        _ => return None,
    };
    Some((function, 0))
}
