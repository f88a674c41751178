//! Type checking: every operand, argument and modifier fits where it stands.

use model::{METRIC_NAME, Matcher};

use super::ast::{
    Aggregate, AggregateOp, Binary, Call, Expr, ExprKind, Group, Span, ValueType, VectorSelector,
};
use super::{ParseError, Parser, error_at};
use crate::lexer::quote;

/// Checks a whole tree.
///
/// # Errors
/// [`ParseError`] for the first fault, from the leaves up.
pub(super) fn check(query: &str, expr: &Expr) -> Result<(), ParseError> {
    Checker { query }.expr(expr)
}

struct Checker<'a> {
    query: &'a str,
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T, ParseError> {
        Err(error_at(self.query, span, message))
    }

    fn expr(&self, expr: &Expr) -> Result<(), ParseError> {
        match &expr.kind {
            ExprKind::Number { .. } | ExprKind::String(_) => Ok(()),
            ExprKind::Vector(selector) => self.selector(selector),
            ExprKind::Matrix(matrix) => self.selector(&matrix.selector),
            ExprKind::Subquery(subquery) => {
                self.expr(&subquery.expr)?;
                let found = match subquery.expr.value_type() {
                    ValueType::Vector => return Ok(()),
                    ValueType::Matrix => "matrix",
                    ValueType::Scalar => "scalar",
                    ValueType::String => "string",
                };
                let message = format!("subquery is only allowed on instant vector, got {found} instead");
                self.fail(expr.span, message)
            }
            ExprKind::Unary { expr: inner, .. } => {
                self.expr(inner)?;
                let found = inner.value_type();
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                        found.to_string()
                    );
                    return self.fail(expr.span, message);
                }
                Ok(())
            }
            ExprKind::Binary(binary) => self.binary(binary),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Call(call) => self.call(call, expr.span),
            ExprKind::Paren(inner) => self.expr(inner),
        }
    }

    fn selector(&self, selector: &VectorSelector) -> Result<(), ParseError> {
        let named = |m: &&Matcher| m.name() == METRIC_NAME;
        if let Some(name) = &selector.name {
            // The last condition is the name itself.
            let others = &selector.matchers[..selector.matchers.len().saturating_sub(1)];
            let Some(twice) = others.iter().find(named) else { return Ok(()) };
            let (name, twice) = (quote(name.as_bytes()), quote(twice.value().as_bytes()));
            let message = format!("metric name must not be set twice: {name} or {twice}");
            return self.fail(selector.span, message);
        }
        if Parser::selects_everything(selector) {
            return self.fail(selector.span, "vector selector must contain at least one non-empty matcher");
        }
        Ok(())
    }

    fn expect(&self, expr: &Expr, wanted: ValueType, context: &str) -> Result<(), ParseError> {
        let found = expr.value_type();
        if found == wanted {
            return Ok(());
        }
        self.fail(expr.span, format!("expected type {wanted} in {context}, got {found}"))
    }

    /// What stands between both sides.
    fn operator_span(&self, left: &Expr, right: &Expr) -> Span {
        let between = self.query.get(left.span.end..right.span.start).unwrap_or("");
        let start = left.span.end + (between.len() - between.trim_start().len());
        Span::new(start, right.span.start.max(start))
    }

    fn binary(&self, binary: &Binary) -> Result<(), ParseError> {
        self.expr(&binary.left)?;
        self.expr(&binary.right)?;
        let Binary { op, left, right, return_bool, matching } = binary;
        let (span, at_operator) = (left.span.to(right.span), self.operator_span(left, right));
        if *return_bool && !op.is_comparison() {
            return self.fail(at_operator, "bool modifier can only be used on comparison operators");
        }
        let types = (left.value_type(), right.value_type());
        if types == (ValueType::Scalar, ValueType::Scalar) && op.is_comparison() && !return_bool {
            return self.fail(at_operator, "comparisons between scalars must use BOOL modifier");
        }
        if matching.on
            && let Some(label) = matching.labels.iter().find(|l| matching.include.contains(l))
        {
            let message =
                format!("label {} must not occur in ON and GROUP clause at once", quote(label.as_bytes()));
            return self.fail(at_operator, message);
        }
        for side in [left, right] {
            if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
                return self
                    .fail(side.span, "binary expression must contain only scalar and instant vector types");
            }
        }
        let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        if types != (ValueType::Vector, ValueType::Vector) {
            if !matching.labels.is_empty() {
                return self.fail(span, "vector matching only allowed between instant vectors");
            }
            if filled {
                return self.fail(span, "filling in missing series only allowed between instant vectors");
            }
            if op.is_set() {
                let message =
                    format!("set operator {:?} not allowed in binary scalar expression", op.as_str());
                return self.fail(span, message);
            }
        } else if op.is_set() && matching.group != Group::None {
            return self.fail(span, format!("no grouping allowed for {:?} operation", op.as_str()));
        } else if op.is_set() && filled {
            return self.fail(span, "filling in missing series not allowed for set operators");
        }
        Ok(())
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<(), ParseError> {
        self.expr(&aggregate.expr)?;
        self.expect(&aggregate.expr, ValueType::Vector, "aggregation expression")?;
        let Some(param) = &aggregate.param else { return Ok(()) };
        self.expr(param)?;
        let wanted =
            if aggregate.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        self.expect(param, wanted, "aggregation parameter")
    }

    fn call(&self, call: &Call, span: Span) -> Result<(), ParseError> {
        if call.external.is_some() {
            // What the function takes is known when the query is planned.
            return call.args.iter().try_for_each(|arg| self.expr(arg));
        }
        let signature = call.function;
        let (least, most) = signature.arity();
        let count = call.args.len();
        let name = quote(signature.name.as_bytes());
        if least == most.unwrap_or(usize::MAX) && count != least {
            return self.fail(span, format!("expected {least} argument(s) in call to {name}, got {count}"));
        }
        if count < least {
            return self
                .fail(span, format!("expected at least {least} argument(s) in call to {name}, got {count}"));
        }
        if let Some(most) = most.filter(|most| count > *most) {
            return self
                .fail(span, format!("expected at most {most} argument(s) in call to {name}, got {count}"));
        }
        if let ("info", Some(selector)) = (signature.name, call.args.get(1)) {
            self.label_selector(selector, span)?;
        }
        for (index, arg) in call.args.iter().enumerate() {
            // The second argument of info selects labels rather than series, and may name none.
            let label_selector = signature.name == "info" && index == 1;
            if !label_selector {
                self.expr(arg)?;
            }
            let wanted = signature.args.get(index).or(signature.args.last());
            if let Some(wanted) = wanted {
                self.expect(arg, *wanted, &format!("call to function {name}"))?;
            }
        }
        Ok(())
    }

    /// The second argument of `info`: conditions on labels, without a name in front.
    fn label_selector(&self, arg: &Expr, call: Span) -> Result<(), ParseError> {
        let found = arg.value_type();
        if found != ValueType::Vector {
            let message = format!("expected type instant vector in call to function \"info\", got {found}");
            return self.fail(call, message);
        }
        match &arg.kind {
            ExprKind::Vector(selector) if selector.name.is_some() => {
                self.fail(arg.span, "expected label selectors only, got vector selector instead")
            }
            ExprKind::Vector(_) => Ok(()),
            _ => self.fail(arg.span, "expected label selectors only"),
        }
    }
}
