//! Binary operators on single samples.

use std::sync::Arc;

use model::staleness::{STALE_NAN, is_stale};
use model::{Histogram, ResetHint, Value};

use crate::annotations::Annotations;
use crate::native;
use crate::parser::{BinaryOp, Span};

/// Two numbers. A comparison answers 0 or 1.
pub(crate) fn scalars(op: BinaryOp, l: f64, r: f64) -> f64 {
    if op.is_comparison() { f64::from(u8::from(compares(op, l, r))) } else { calculated(op, l, r) }
}

fn calculated(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        _ => f64::NAN,
    }
}

fn compares(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Less => l < r,
        BinaryOp::LessEqual => l <= r,
        BinaryOp::Greater => l > r,
        BinaryOp::GreaterEqual => l >= r,
        _ => false,
    }
}

/// Two series of floats, step by step; what of them is stale is missing. Trims know no floats.
pub(crate) fn columns(op: BinaryOp, return_bool: bool, l: &[f64], r: &[f64]) -> Vec<f64> {
    let holds = |holds: bool, l: f64| match (return_bool, holds) {
        (true, holds) => f64::from(u8::from(holds)),
        (false, true) => l,
        (false, false) => STALE_NAN,
    };
    // The operator is looked at once, not at every step.
    match op {
        BinaryOp::Add => zipped(l, r, |l, r| l + r),
        BinaryOp::Sub => zipped(l, r, |l, r| l - r),
        BinaryOp::Mul => zipped(l, r, |l, r| l * r),
        BinaryOp::Div => zipped(l, r, |l, r| l / r),
        BinaryOp::Greater => zipped(l, r, |l, r| holds(l > r, l)),
        BinaryOp::Less => zipped(l, r, |l, r| holds(l < r, l)),
        op if op.is_comparison() => zipped(l, r, |l, r| holds(compares(op, l, r), l)),
        op => zipped(l, r, |l, r| calculated(op, l, r)),
    }
}

fn zipped(l: &[f64], r: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let both = |(l, r): (&f64, &f64)| if is_stale(*l) || is_stale(*r) { STALE_NAN } else { f(*l, *r) };
    l.iter().zip(r).map(both).collect()
}

/// Whether [`columns`] knows the operator.
pub(crate) const fn knows_floats(op: BinaryOp) -> bool {
    !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower)
}

/// What an operator makes of two samples.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A value, or what a comparison lets through.
    Keep(Value),
    /// A comparison that does not hold; what it would have let through.
    Filtered,
    /// The types do not go together.
    Nothing,
}

/// Two samples of vectors.
pub(crate) fn samples(op: BinaryOp, l: &Value, r: &Value, span: Span, notes: &Annotations) -> Outcome {
    match (l, r) {
        (Value::Float(l), Value::Float(r)) => floats(op, *l, *r, span, notes),
        (Value::Histogram(l), Value::Histogram(r)) => histograms(op, l, r, span, notes),
        (Value::Histogram(h), Value::Float(v)) => match op {
            BinaryOp::Mul => keep(native::scaled(h, *v)),
            BinaryOp::Div => keep(native::divided(h, *v)),
            BinaryOp::TrimUpper => keep(native::trim(h, *v, true)),
            BinaryOp::TrimLower => keep(native::trim(h, *v, false)),
            _ => incompatible("histogram", op, "float", span, notes),
        },
        (Value::Float(v), Value::Histogram(h)) => match op {
            BinaryOp::Mul => keep(native::scaled(h, *v)),
            _ => incompatible("float", op, "histogram", span, notes),
        },
    }
}

fn keep(h: Histogram) -> Outcome {
    Outcome::Keep(Value::Histogram(Arc::new(h)))
}

fn incompatible(l: &str, op: BinaryOp, r: &str, span: Span, notes: &Annotations) -> Outcome {
    notes.info(
        span,
        format!(
            "incompatible sample types encountered for binary operator {:?}: {l} {} {r}",
            op.as_str(),
            op.as_str()
        ),
    );
    Outcome::Nothing
}

fn floats(op: BinaryOp, l: f64, r: f64, span: Span, notes: &Annotations) -> Outcome {
    if op.is_comparison() {
        if compares(op, l, r) { Outcome::Keep(Value::Float(l)) } else { Outcome::Filtered }
    } else if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
        incompatible("float", op, "float", span, notes)
    } else {
        Outcome::Keep(Value::Float(calculated(op, l, r)))
    }
}

fn histograms(
    op: BinaryOp,
    l: &Arc<Histogram>,
    r: &Arc<Histogram>,
    span: Span,
    notes: &Annotations,
) -> Outcome {
    let combined = match op {
        BinaryOp::Add => native::add(l, r),
        BinaryOp::Sub => native::subtract(l, r),
        BinaryOp::Equal | BinaryOp::NotEqual => {
            return if native::is_same(l, r) == (op == BinaryOp::Equal) {
                Outcome::Keep(Value::Histogram(Arc::clone(l)))
            } else {
                Outcome::Filtered
            };
        }
        _ => return incompatible("histogram", op, "histogram", span, notes),
    };
    let word = if op == BinaryOp::Add { "addition" } else { "subtraction" };
    match combined {
        Ok(outcome) => {
            note_outcome(&outcome, word, span, notes);
            let mut histogram = native::compact(&outcome.histogram);
            if op == BinaryOp::Sub {
                // A difference may go down as well as up.
                histogram.reset_hint = ResetHint::Gauge;
            }
            keep(histogram)
        }
        Err(native::Incompatible) => {
            notes.warn(
                span,
                format!("incompatible bucket layout encountered for binary operator {}", op.as_str()),
            );
            Outcome::Nothing
        }
    }
}

/// Says what had to be reconciled.
pub(crate) fn note_outcome(outcome: &native::Outcome, word: &str, span: Span, notes: &Annotations) {
    if outcome.reset_conflict {
        notes.warn(span, format!("conflicting counter resets during histogram {word}"));
    }
    if outcome.bounds_reconciled {
        notes.info(span, format!("mismatched custom buckets were reconciled during {word}"));
    }
}
