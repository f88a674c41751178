//! Plans as trees of named operators.

use model::{MatchOp, Matcher};

use super::{Key, Operator, Profile, Timed};
use crate::parser::{Extension, Group, Matching, Span};
use crate::plan::{
    AggregateParam, BucketFunction, ExternalInput, Grouping, Order, Plan, RangeNode, ScalarNode, Select,
    Shift, VectorNode,
};

/// Calls `visit` for every part of the plan that is timed.
pub(super) fn each_key(plan: &Plan, visit: &mut dyn FnMut(Key)) {
    match plan {
        Plan::Scalar(node) => scalar_keys(node, visit),
        Plan::Vector(node) => vector_keys(node, visit),
        Plan::Range(RangeNode::Subquery(subquery)) => vector_keys(&subquery.input, visit),
        Plan::Range(RangeNode::Select { .. }) | Plan::String(_) => {}
    }
}

fn vector_keys(node: &VectorNode, visit: &mut dyn FnMut(Key)) {
    visit(node.key());
    for input in vector_inputs(node) {
        match input {
            Input::Vector(node) => vector_keys(node, visit),
            Input::Scalar(node) => scalar_keys(node, visit),
            Input::Range(RangeNode::Subquery(subquery)) => vector_keys(&subquery.input, visit),
            Input::Range(RangeNode::Select { .. }) => {}
        }
    }
}

fn scalar_keys(node: &ScalarNode, visit: &mut dyn FnMut(Key)) {
    visit(node.key());
    match node {
        ScalarNode::Constant(_) | ScalarNode::Time => {}
        ScalarNode::Negate(inner) => scalar_keys(inner, visit),
        ScalarNode::Binary { left, right, .. }
        | ScalarNode::MinOf(left, right)
        | ScalarNode::MaxOf(left, right) => {
            scalar_keys(left, visit);
            scalar_keys(right, visit);
        }
        ScalarNode::OfVector(vector) => vector_keys(vector, visit),
    }
}

enum Input<'a> {
    Vector(&'a VectorNode),
    Scalar(&'a ScalarNode),
    Range(&'a RangeNode),
}

fn vector_inputs(node: &VectorNode) -> Vec<Input<'_>> {
    match node {
        VectorNode::Select(_)
        | VectorNode::Smoothed(_)
        | VectorNode::SampleTimes(_)
        | VectorNode::StartTimes(_) => Vec::new(),
        VectorNode::OfScalar(scalar) => vec![Input::Scalar(scalar)],
        VectorNode::Invariant(input) | VectorNode::Negate(input) => vec![Input::Vector(input)],
        VectorNode::Shared(shared) => vec![Input::Vector(&shared.input)],
        VectorNode::Map(map) => {
            let mut inputs = vec![Input::Vector(&map.input)];
            inputs.extend(map.args.iter().map(Input::Scalar));
            inputs
        }
        VectorNode::Window(window) => {
            let mut inputs = vec![Input::Range(&window.input)];
            inputs.extend(window.args.iter().map(Input::Scalar));
            inputs
        }
        VectorNode::Absent { input, .. } | VectorNode::Sort { input, .. } => vec![Input::Vector(input)],
        VectorNode::Aggregate(aggregate) => {
            let mut inputs = vec![Input::Vector(&aggregate.input)];
            if let AggregateParam::Number(param) = &aggregate.param {
                inputs.push(Input::Scalar(param));
            }
            inputs
        }
        VectorNode::WithScalar(node) => vec![Input::Vector(&node.vector), Input::Scalar(&node.scalar)],
        VectorNode::Join(node) => vec![Input::Vector(&node.left), Input::Vector(&node.right)],
        VectorNode::Set(node) => vec![Input::Vector(&node.left), Input::Vector(&node.right)],
        VectorNode::LabelReplace(node) => vec![Input::Vector(&node.input)],
        VectorNode::LabelJoin(node) => vec![Input::Vector(&node.input)],
        VectorNode::Buckets(node) => {
            let mut inputs = vec![Input::Vector(&node.input)];
            match &node.function {
                BucketFunction::Quantile { q, .. } => inputs.push(Input::Scalar(q)),
                BucketFunction::Quantiles { quantiles, .. } => {
                    inputs.extend(quantiles.iter().map(|(q, _)| Input::Scalar(q)));
                }
                BucketFunction::Fraction { lower, upper } => {
                    inputs.extend([Input::Scalar(lower), Input::Scalar(upper)]);
                }
            }
            inputs
        }
        VectorNode::Info(node) => vec![Input::Vector(&node.input)],
        VectorNode::External(node) => {
            let mut inputs = vec![match &node.input {
                ExternalInput::Vector(input) => Input::Vector(input),
                ExternalInput::Range(input) => Input::Range(input),
            }];
            inputs.extend(node.scalars.iter().map(Input::Scalar));
            inputs
        }
    }
}

pub(super) fn plan(plan: &Plan, query: &str, profile: Option<&Profile>) -> Operator {
    let describer = Describer { query, profile };
    match plan {
        Plan::Scalar(node) => describer.scalar(node),
        Plan::Vector(node) => describer.vector(node),
        Plan::Range(node) => describer.range(node),
        Plan::String(text) => {
            let detail = crate::lexer::quote(text);
            Operator { name: "string", detail, span: None, stats: None, inputs: Vec::new() }
        }
    }
}

struct Describer<'a> {
    query: &'a str,
    profile: Option<&'a Profile>,
}

impl Describer<'_> {
    fn operator(&self, name: &'static str, detail: String, span: Option<Span>, key: Option<Key>) -> Operator {
        let known = span.filter(|span| span.start < span.end && span.end <= self.query.len());
        let stats = key.and_then(|key| self.profile?.stats(key));
        Operator { name, detail, span: known.map(|s| (s.start, s.end)), stats, inputs: Vec::new() }
    }

    fn inputs(&self, inputs: Vec<Input<'_>>) -> Vec<Operator> {
        // A constant is told in what it is an argument of.
        let told = |input: &Input<'_>| !matches!(input, Input::Scalar(ScalarNode::Constant(_)));
        let of = |input: Input<'_>| match input {
            Input::Vector(node) => self.vector(node),
            Input::Scalar(node) => self.scalar(node),
            Input::Range(node) => self.range(node),
        };
        inputs.into_iter().filter(told).map(of).collect()
    }

    fn scalar(&self, node: &ScalarNode) -> Operator {
        let (name, detail) = match node {
            ScalarNode::Constant(value) => ("constant", crate::number::format_general(*value)),
            ScalarNode::Time => ("time", String::new()),
            ScalarNode::Negate(_) => ("negate", String::new()),
            ScalarNode::Binary { op, .. } => ("arithmetic", op.as_str().to_owned()),
            ScalarNode::MinOf(..) => ("min_of", String::new()),
            ScalarNode::MaxOf(..) => ("max_of", String::new()),
            ScalarNode::OfVector(_) => ("scalar", String::new()),
        };
        let mut operator = self.operator(name, detail, None, Some(node.key()));
        operator.inputs = match node {
            ScalarNode::Constant(_) | ScalarNode::Time => Vec::new(),
            ScalarNode::Negate(inner) => vec![self.scalar(inner)],
            ScalarNode::Binary { left, right, .. }
            | ScalarNode::MinOf(left, right)
            | ScalarNode::MaxOf(left, right) => vec![self.scalar(left), self.scalar(right)],
            ScalarNode::OfVector(vector) => vec![self.vector(vector)],
        };
        operator
    }

    fn range(&self, node: &RangeNode) -> Operator {
        match node {
            RangeNode::Select { select, range_ms, extension } => {
                let extended = match extension {
                    Extension::None => "",
                    Extension::Anchored => " anchored",
                    Extension::Smoothed => " smoothed",
                };
                let range = format!("[{}]{extended}", duration(*range_ms));
                self.operator("range", selector(select, &range), Some(select.span), None)
            }
            RangeNode::Subquery(subquery) => {
                let detail = format!(
                    "[{}:{}]{}",
                    duration(subquery.range_ms),
                    duration(subquery.step_ms),
                    shift(subquery.shift)
                );
                let mut operator = self.operator("subquery", detail, None, None);
                operator.inputs = vec![self.vector(&subquery.input)];
                operator
            }
        }
    }

    fn vector(&self, node: &VectorNode) -> Operator {
        let (name, detail, span) = match node {
            VectorNode::Select(select) => ("select", selector(select, ""), Some(select.span)),
            VectorNode::Smoothed(select) => ("smoothed", selector(select, ""), Some(select.span)),
            VectorNode::SampleTimes(select) => ("sample times", selector(select, ""), Some(select.span)),
            VectorNode::StartTimes(select) => ("start times", selector(select, ""), Some(select.span)),
            VectorNode::OfScalar(_) => ("vector", String::new(), None),
            VectorNode::Invariant(_) => ("once", "the same at every step".to_owned(), None),
            VectorNode::Shared(node) => {
                ("shared", format!("expression {} of {} places", node.id, node.uses), None)
            }
            VectorNode::Negate(_) => ("negate", String::new(), None),
            VectorNode::Map(map) => ("map", call(map.name, &map.args), None),
            VectorNode::Window(window) => ("window", call(window.name, &window.args), Some(window.span)),
            VectorNode::Absent { .. } => ("absent", String::new(), None),
            VectorNode::Aggregate(node) => {
                let param = match &node.param {
                    AggregateParam::None => String::new(),
                    AggregateParam::Number(ScalarNode::Constant(value)) => {
                        format!(" {}", crate::number::format_general(*value))
                    }
                    AggregateParam::Number(_) => " by a number of each step".to_owned(),
                    AggregateParam::Label(label) => format!(" {}", crate::lexer::quote(label)),
                };
                let detail = format!("{}{}{param}", node.op.as_str(), grouping(&node.grouping));
                ("aggregate", detail, Some(node.span))
            }
            VectorNode::WithScalar(node) => {
                let constant = match &node.scalar {
                    ScalarNode::Constant(value) => crate::number::format_general(*value),
                    _ => "number".to_owned(),
                };
                let bool_word = if node.return_bool { " bool" } else { "" };
                let op = node.op.as_str();
                let detail = if node.scalar_left {
                    format!("{constant} {op}{bool_word} vector")
                } else {
                    format!("vector {op}{bool_word} {constant}")
                };
                ("with scalar", detail, Some(node.span))
            }
            VectorNode::Join(node) => {
                let bool_word = if node.return_bool { " bool" } else { "" };
                let detail = format!("{}{bool_word}{}", node.op.as_str(), matching(&node.matching));
                ("join", detail, Some(node.span))
            }
            VectorNode::Set(node) => {
                ("set", format!("{}{}", node.op.as_str(), matching(&node.matching)), None)
            }
            VectorNode::LabelReplace(node) => ("label_replace", node.target.clone(), None),
            VectorNode::LabelJoin(node) => ("label_join", node.target.clone(), None),
            VectorNode::Sort { order, .. } => {
                let detail = match order {
                    Order::Value { descending: false } => "by value".to_owned(),
                    Order::Value { descending: true } => "by value, descending".to_owned(),
                    Order::Labels { descending, labels } => {
                        let down = if *descending { ", descending" } else { "" };
                        format!("by label {}{down}", labels.join(", "))
                    }
                };
                ("sort", detail, None)
            }
            VectorNode::Buckets(node) => {
                let function = match &node.function {
                    BucketFunction::Quantile { .. } => "histogram_quantile",
                    BucketFunction::Quantiles { .. } => "histogram_quantiles",
                    BucketFunction::Fraction { .. } => "histogram_fraction",
                };
                ("buckets", function.to_owned(), Some(node.span))
            }
            VectorNode::Info(node) => ("info", selector(&node.select, ""), None),
            VectorNode::External(node) => ("external", call(&node.name, &node.scalars), Some(node.arg_span)),
        };
        let mut operator = self.operator(name, detail, span, Some(node.key()));
        operator.inputs = self.inputs(vector_inputs(node));
        operator
    }
}

fn call(name: &str, args: &[ScalarNode]) -> String {
    let mut out = name.to_owned();
    for arg in args {
        if let ScalarNode::Constant(value) = arg {
            out.push(' ');
            out.push_str(&crate::number::format_general(*value));
        }
    }
    out
}

fn duration(millis: i64) -> String {
    let length = std::time::Duration::from_millis(millis.unsigned_abs());
    let sign = if millis < 0 { "-" } else { "" };
    format!("{sign}{}", model::format_duration(length))
}

fn shift(shift: Shift) -> String {
    let mut out = String::new();
    if let Some(at) = shift.at {
        out.push_str(&format!(" @ {}", crate::number::format_general(at as f64 / 1000.0)));
    }
    if shift.offset_ms != 0 {
        out.push_str(&format!(" offset {}", duration(shift.offset_ms)));
    }
    out
}

/// The matchers as they are read, those moved from elsewhere among them.
fn selector(select: &Select, range: &str) -> String {
    let matcher = |m: &Matcher| {
        let op = match m.op() {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        format!("{}{op}{}", m.name(), crate::lexer::quote(m.value_bytes()))
    };
    let matchers: Vec<String> = select.matchers.iter().map(matcher).collect();
    format!("{{{}}}{range}{}", matchers.join(","), shift(select.shift))
}

fn grouping(grouping: &Grouping) -> String {
    if grouping.without {
        format!(" without ({})", grouping.labels.join(", "))
    } else if grouping.labels.is_empty() {
        String::new()
    } else {
        format!(" by ({})", grouping.labels.join(", "))
    }
}

fn matching(matching: &Matching) -> String {
    let mut out = String::new();
    if matching.written {
        let word = if matching.on { "on" } else { "ignoring" };
        out.push_str(&format!(" {word} ({})", matching.labels.join(", ")));
    }
    let group = match matching.group {
        Group::None => return out,
        Group::Left => "group_left",
        Group::Right => "group_right",
    };
    out.push_str(&format!(" {group} ({})", matching.include.join(", ")));
    out
}
