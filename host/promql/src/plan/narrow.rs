//! Matchers that one side of a binary operator takes over from the other.
//!
//! In `a{job="x"} / b`, series of `b` with another job find no partner: they need not be read. A matcher moves
//! where the operator matches on its label, and only from the side that decides to the side that follows:
//! duplicates on the "one" side of a join are an error even where nothing matches them, so that this side is
//! never narrowed.

use model::Matcher;

use super::build::{map_function, window_function};
use crate::exec::is_metric_label;
use crate::parser::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, ExprKind, Group, Matching, ValueType,
};

/// Narrows the selectors of a tree. It answers what it answered before.
pub(crate) fn narrow(expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {}
        ExprKind::Subquery(subquery) => narrow(&mut subquery.expr),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => narrow(expr),
        ExprKind::Aggregate(aggregate) => {
            narrow(&mut aggregate.expr);
            aggregate.param.iter_mut().for_each(narrow);
        }
        ExprKind::Call(call) => call.args.iter_mut().for_each(narrow),
        ExprKind::Binary(binary) => {
            narrow(&mut binary.left);
            narrow(&mut binary.right);
            across(binary);
        }
    }
}

fn across(binary: &mut Binary) {
    let Binary { op, left, right, matching, .. } = binary;
    let vectors = left.value_type() == ValueType::Vector && right.value_type() == ValueType::Vector;
    if !vectors || fills(matching) {
        return;
    }
    let move_over = |from: &Expr, to: &mut Expr| {
        let matched = holding(from).into_iter().filter(|m| matches_on(matching, m.name()));
        matched.for_each(|matcher| accept(to, &matcher));
    };
    match op {
        BinaryOp::Or => {}
        BinaryOp::Unless => move_over(left, right),
        BinaryOp::And => {
            move_over(right, left);
            move_over(left, right);
        }
        _ if matching.group == Group::Right => move_over(left, right),
        _ => move_over(right, left),
    }
}

fn fills(matching: &Matching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}

fn matches_on(matching: &Matching, label: &str) -> bool {
    matching.labels.iter().any(|l| l == label) == matching.on
}

/// The matchers that all series of an answer pass.
fn holding(expr: &Expr) -> Vec<Matcher> {
    let mut all = match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => Vec::new(),
        ExprKind::Vector(selector) => selector.matchers.clone(),
        ExprKind::Matrix(matrix) => matrix.selector.matchers.clone(),
        ExprKind::Subquery(subquery) => holding(&subquery.expr),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => holding(expr),
        ExprKind::Aggregate(aggregate) => {
            let mut all = holding(&aggregate.expr);
            all.retain(|m| keeps_series(aggregate.op) || groups_by(aggregate, m.name()));
            all
        }
        ExprKind::Call(call) => match carried(call) {
            Some((at, changed)) => {
                let mut all = holding(&call.args[at]);
                all.retain(|m| changed != Some(m.name().as_bytes()));
                all
            }
            None => Vec::new(),
        },
        ExprKind::Binary(binary) => match deciding(binary) {
            Some(at) => {
                let mut all = holding(if at == 0 { &binary.left } else { &binary.right });
                all.retain(|m| passes(binary, m.name()));
                all
            }
            None => Vec::new(),
        },
    };
    // Names go away on the way, and matching never looks at them.
    all.retain(|m| !is_metric_label(m.name()));
    all
}

/// Adds a matcher to the selectors from which the series of an answer come, wherever it can be known that
/// those of the other series change nothing.
fn accept(expr: &mut Expr, matcher: &Matcher) {
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => add(&mut selector.matchers, matcher),
        ExprKind::Matrix(matrix) => add(&mut matrix.selector.matchers, matcher),
        ExprKind::Subquery(subquery) => accept(&mut subquery.expr, matcher),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => accept(expr, matcher),
        ExprKind::Aggregate(aggregate) => {
            if groups_by(aggregate, matcher.name()) {
                accept(&mut aggregate.expr, matcher);
            }
        }
        ExprKind::Call(call) => {
            if let Some((at, changed)) = carried(call)
                && changed != Some(matcher.name().as_bytes())
            {
                accept(&mut call.args[at], matcher);
            }
        }
        ExprKind::Binary(binary) => {
            if let Some(at) = deciding(binary)
                && passes(binary, matcher.name())
            {
                accept(if at == 0 { &mut binary.left } else { &mut binary.right }, matcher);
            }
        }
    }
}

fn add(matchers: &mut Vec<Matcher>, matcher: &Matcher) {
    if !matchers.contains(matcher) {
        matchers.push(matcher.clone());
    }
}

/// Whether the aggregation answers series of its input, whatever it groups by.
fn keeps_series(op: AggregateOp) -> bool {
    matches!(op, AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio)
}

/// Whether all series of a group have the same value of the label, and the group's answer has it too.
fn groups_by(aggregate: &Aggregate, label: &str) -> bool {
    let overwritten = aggregate.op == AggregateOp::CountValues
        && aggregate.param.as_ref().is_none_or(|param| text(param) == Some(label.as_bytes()));
    !overwritten && aggregate.labels.iter().any(|l| l == label) != aggregate.without
}

/// The argument whose series a function answers one by one, and the label that it changes on the way.
fn carried(call: &Call) -> Option<(usize, Option<&[u8]>)> {
    let name = call.function.name;
    let (at, changed) = match name {
        "label_replace" | "label_join" => (0, Some(text(call.args.get(1)?)?)),
        "histogram_quantile" => (1, Some(&b"le"[..])),
        "histogram_fraction" => (2, Some(&b"le"[..])),
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => (0, None),
        _ => match window_function(name) {
            Some((_, at)) => (at, None),
            None if map_function(name).is_some() => (0, None),
            None => return None,
        },
    };
    (at < call.args.len()).then_some((at, changed))
}

fn text(expr: &Expr) -> Option<&[u8]> {
    match &expr.unparen().kind {
        ExprKind::String(content) => Some(content),
        _ => None,
    }
}

/// The side, 0 or 1, whose series the operator answers.
fn deciding(binary: &Binary) -> Option<usize> {
    match (binary.left.value_type(), binary.right.value_type()) {
        (ValueType::Vector, ValueType::Scalar) => Some(0),
        (ValueType::Scalar, ValueType::Vector) => Some(1),
        (ValueType::Vector, ValueType::Vector) if binary.op != BinaryOp::Or && !fills(&binary.matching) => {
            Some(usize::from(binary.matching.group == Group::Right))
        }
        _ => None,
    }
}

/// Whether the answer has the label as the deciding side has it.
fn passes(binary: &Binary, label: &str) -> bool {
    let both = binary.left.value_type() == binary.right.value_type();
    match binary.matching.group {
        _ if !both || binary.op.is_set() => true,
        Group::None => matches_on(&binary.matching, label),
        Group::Left | Group::Right => !binary.matching.include.iter().any(|l| l == label),
    }
}

#[cfg(test)]
mod tests {
    use super::narrow;
    use crate::parser::parse;

    fn check(query: &str, expected: &str) {
        let mut expr = parse(query).unwrap();
        narrow(&mut expr);
        assert_eq!(expr.to_string(), expected, "of {query}");
    }

    #[test]
    fn matchers_move_to_the_side_that_follows() {
        check("a / b{x=\"1\"}", r#"a{x="1"} / b{x="1"}"#);
        check("a and b{x=~\"1|2\"}", r#"a{x=~"1|2"} and b{x=~"1|2"}"#);
        check("a{x=\"1\"} unless b", r#"a{x="1"} unless b{x="1"}"#);
        check(
            "sum by (x) (rate(a[5m])) * on (x) group_left () -b{x!=\"\",y=\"2\"}",
            r#"sum by (x) (rate(a{x!=""}[5m])) * on (x) group_left () -b{x!="",y="2"}"#,
        );
        check(
            "a{x=\"1\"} * on (x) group_right (y) (b + 1)",
            r#"a{x="1"} * on (x) group_right (y) (b{x="1"} + 1)"#,
        );
        check(
            "max_over_time(rate(a[1m])[5m:]) / ignoring (y) b{x=\"1\",y=\"2\"}",
            r#"max_over_time(rate(a{x="1"}[1m])[5m:]) / ignoring (y) b{x="1",y="2"}"#,
        );
    }

    #[test]
    fn matchers_stay_where_moving_them_could_change_the_answer() {
        for query in [
            r#"a{x="1"} / b"#,
            r#"a or b{x="1"}"#,
            r#"a unless b{x="1"}"#,
            r#"a + on (y) b{x="1"}"#,
            r#"a + ignoring (x) b{x="1"}"#,
            r#"topk(1, a) + b{x="1"}"#,
            r#"sum(a) + b{x="1"}"#,
            r#"sum without (x) (a) + b{x="1"}"#,
            r#"label_replace(a, "x", "1", "", "") + b{x="1"}"#,
            r#"count_values by (x) ("x", a) + b{x="1"}"#,
            r#"a + sum(b{x="1"})"#,
            r#"a + label_replace(b{x="1"}, "x", "2", "", "")"#,
            r#"absent(a) + b{x="1"}"#,
            r#"a + fill (0) b{x="1"}"#,
            r#"a + absent(b{x="1"})"#,
            r#"a + {__name__="b"}"#,
        ] {
            let canonical = parse(query).unwrap().to_string();
            check(query, &canonical);
        }
    }
}
