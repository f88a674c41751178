//! The tree as canonical PromQL text, on one line.

use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use model::Matcher;

use super::ast::{
    Aggregate, At, Binary, BinaryOp, DurationExpr, Expr, ExprKind, Extension, Group, Matching, Subquery,
    TimeShift, ValueType, VectorSelector,
};
use crate::lexer::quote;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number { value, duration: true } => f.write_str(&literal_text(*value)),
            ExprKind::Number { value, .. } => f.write_str(&plain_number(*value)),
            ExprKind::String(content) => f.write_str(&quote(content)),
            ExprKind::Vector(selector) => {
                selector_head(f, selector)?;
                at_text(f, &selector.shift)?;
                extension(f, selector.extension)?;
                offset_text(f, &selector.shift)
            }
            ExprKind::Matrix(matrix) => {
                selector_head(f, &matrix.selector)?;
                write!(f, "[{}]", matrix.range)?;
                extension(f, matrix.selector.extension)?;
                shift(f, &matrix.selector.shift)
            }
            ExprKind::Subquery(subquery) => {
                write!(f, "{}{}", subquery.expr, subquery_tail(subquery))
            }
            ExprKind::Unary { negate, expr } => write!(f, "{}{expr}", if *negate { "-" } else { "+" }),
            ExprKind::Binary(binary) => binary_text(f, binary),
            ExprKind::Aggregate(aggregate) => aggregate_text(f, aggregate),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.name())?;
                for (index, arg) in call.args.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    write!(f, "{arg}")?;
                }
                f.write_str(")")
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

/// A number without an exponent.
fn plain_number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// A duration that stands for a number. As in Prometheus, what is below a millisecond is cut off, and what multiplying
/// with a billion loses with it.
fn literal_text(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let nanoseconds = seconds.abs() * 1e9;
    let duration = Duration::from_millis((nanoseconds as i64 / 1_000_000).unsigned_abs());
    format!("{sign}{}", model::format_duration(duration))
}

/// A duration that is one, to the millisecond.
fn range_text(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let nanoseconds = (seconds.abs() * 1e9).round() as i64;
    format!("{sign}{}", model::format_duration(Duration::from_nanos(nanoseconds.unsigned_abs())))
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { seconds, .. } => f.write_str(&range_text(*seconds)),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::MinOf(_, a, b) => write!(f, "min_of({}, {})", Part(a), Part(b)),
            Self::MaxOf(_, a, b) => write!(f, "max_of({}, {})", Part(a), Part(b)),
            Self::Negate(_, inner) => write!(f, "-{}", Part(inner)),
            Self::Binary(op, a, b) => write!(f, "{} {} {}", Part(a), op.as_str(), Part(b)),
            Self::Paren(inner) => write!(f, "({})", Part(inner)),
        }
    }
}

/// A duration within a computed one, where numbers print as they were written: with units, or without.
struct Part<'a>(&'a DurationExpr);

impl Display for Part<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            DurationExpr::Number { seconds, units: true, .. } => f.write_str(&literal_text(*seconds)),
            DurationExpr::Number { seconds, .. } => f.write_str(&plain_number(*seconds)),
            computed => write!(f, "{computed}"),
        }
    }
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn label(name: &str) -> String {
    if is_label_name(name) { name.to_owned() } else { quote(name.as_bytes()) }
}

fn matcher(m: &Matcher) -> String {
    format!("{}{}{}", label(m.name()), m.op().as_str(), quote(m.value_bytes()))
}

fn selector_head(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref().unwrap_or("");
    f.write_str(name)?;
    let said = |m: &&Matcher| m.is_metric_name() && m.value() == name && !name.is_empty();
    let mut parts: Vec<String> = selector.matchers.iter().filter(|m| !said(m)).map(matcher).collect();
    parts.sort_unstable();
    if parts.is_empty() { Ok(()) } else { write!(f, "{{{}}}", parts.join(",")) }
}

fn extension(f: &mut Formatter<'_>, extension: Extension) -> fmt::Result {
    f.write_str(match extension {
        Extension::None => "",
        Extension::Anchored => " anchored",
        Extension::Smoothed => " smoothed",
    })
}

fn shift(f: &mut Formatter<'_>, shift: &TimeShift) -> fmt::Result {
    at_text(f, shift)?;
    offset_text(f, shift)
}

fn at_text(f: &mut Formatter<'_>, shift: &TimeShift) -> fmt::Result {
    match shift.at {
        None => Ok(()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        Some(At::Millis(millis)) => write!(f, " @ {:.3}", millis as f64 / 1000.0),
    }
}

fn offset_text(f: &mut Formatter<'_>, shift: &TimeShift) -> fmt::Result {
    match &shift.offset {
        None => Ok(()),
        Some(offset) => write!(f, " offset {offset}"),
    }
}

fn list(labels: &[String]) -> String {
    labels.iter().map(|name| label(name)).collect::<Vec<_>>().join(", ")
}

fn matching_text(matching: &Matching) -> String {
    let mut text = String::new();
    if matching.written && (matching.on || !matching.labels.is_empty() || matching.group != Group::None) {
        let word = if matching.on { "on" } else { "ignoring" };
        let _ = write!(text, " {word} ({})", list(&matching.labels));
    }
    let group = match matching.group {
        Group::None => "",
        Group::Left => "group_left",
        Group::Right => "group_right",
    };
    if !group.is_empty() {
        let _ = write!(text, " {group} ({})", list(&matching.include));
    }
    let number = crate::number::format_general;
    match (matching.fill_left, matching.fill_right) {
        (Some(l), Some(r)) if l == r => {
            let _ = write!(text, " fill ({})", number(l));
        }
        (left, right) => {
            if let Some(left) = left {
                let _ = write!(text, " fill_left ({})", number(left));
            }
            if let Some(right) = right {
                let _ = write!(text, " fill_right ({})", number(right));
            }
        }
    }
    text
}

fn binary_text(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    match left_number(binary) {
        Some(number) => f.write_str(&number)?,
        None => write!(f, "{}", binary.left)?,
    }
    write!(f, " {} {}", operator_text(binary), binary.right)
}

/// The left side where it is a number, without the sign of `+Inf` before `^`: a sign binds looser than that, and would
/// be read as one of the power.
pub(super) fn left_number(binary: &Binary) -> Option<String> {
    let ExprKind::Number { .. } = binary.left.kind else { return None };
    let text = binary.left.to_string();
    Some(if binary.op == BinaryOp::Pow { text.trim_start_matches('+').to_owned() } else { text })
}

/// The operator and how it matches.
pub(super) fn operator_text(binary: &Binary) -> String {
    let bool_word = if binary.return_bool { " bool" } else { "" };
    // Only vectors are matched; between others nothing that was written means anything.
    let both = [&binary.left, &binary.right].iter().all(|side| side.value_type() == ValueType::Vector);
    let matching = if both { matching_text(&binary.matching) } else { String::new() };
    format!("{}{bool_word}{matching}", binary.op.as_str())
}

fn aggregate_text(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    write!(f, "{}(", aggregate_head(aggregate))?;
    if let Some(param) = &aggregate.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", aggregate.expr)
}

/// What stands before the parenthesis.
pub(super) fn aggregate_head(aggregate: &Aggregate) -> String {
    let op = aggregate.op.as_str();
    if aggregate.without {
        format!("{op} without ({}) ", list(&aggregate.labels))
    } else if aggregate.labels.is_empty() {
        op.to_owned()
    } else {
        format!("{op} by ({}) ", list(&aggregate.labels))
    }
}

/// `[range:step] offset x @ y`
pub(super) fn subquery_tail(subquery: &Subquery) -> String {
    let mut tail = format!("[{}:", subquery.range);
    if let Some(step) = &subquery.step {
        let _ = write!(tail, "{step}");
    }
    let _ = write!(tail, "]{}", Shifted(&subquery.shift));
    tail
}

struct Shifted<'a>(&'a TimeShift);

impl Display for Shifted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        shift(f, self.0)
    }
}
