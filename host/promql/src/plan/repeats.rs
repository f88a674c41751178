//! Expressions that a query writes more than once, to be evaluated once.
//!
//! What is shared is held until its last use. Only expressions are shared, therefore, whose series something
//! holds anyway: the sides of joins and set operators, and aggregations, whose groups are few. The input of an
//! aggregation is not: it may be large, and passes through series by series.

use std::collections::BTreeMap;

use crate::parser::{Expr, ExprKind, ValueType};

/// Texts of all parts are compared, whose length is the query's squared at worst: longer queries are left as
/// they are.
const QUERY_BYTES_MAX: usize = 8 << 10;

/// The expressions of a query that are worth sharing, by their canonical text.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    found: BTreeMap<String, Repeat>,
}

/// An expression that is written more than once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    pub(crate) id: usize,
    /// How often.
    pub(crate) count: usize,
    /// How often where its series are held anyway.
    held: usize,
}

impl Repeats {
    pub(crate) fn find(query: &str, expr: &Expr) -> Self {
        let mut repeats = Self::default();
        if query.len() <= QUERY_BYTES_MAX {
            repeats.count(expr, false);
            repeats.found.retain(|_, repeat| repeat.held > 1);
        }
        repeats
    }

    /// Whether the expression is one of them.
    pub(crate) fn get(&self, expr: &Expr) -> Option<Repeat> {
        if self.found.is_empty() { None } else { self.found.get(&expr.to_string()).copied() }
    }

    fn count(&mut self, expr: &Expr, operand: bool) {
        let expr = expr.unparen();
        if expr.value_type() == ValueType::Vector {
            let next = self.found.len();
            let repeat = self.found.entry(expr.to_string()).or_insert(Repeat { id: next, count: 0, held: 0 });
            repeat.count += 1;
            repeat.held += usize::from(operand || matches!(expr.kind, ExprKind::Aggregate(_)));
        }
        match &expr.kind {
            ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {}
            ExprKind::Subquery(subquery) => self.count(&subquery.expr, false),
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => self.count(expr, false),
            ExprKind::Aggregate(aggregate) => {
                self.count(&aggregate.expr, false);
                aggregate.param.iter().for_each(|param| self.count(param, false));
            }
            ExprKind::Call(call) => call.args.iter().for_each(|arg| self.count(arg, false)),
            ExprKind::Binary(binary) => {
                let sides = [&binary.left, &binary.right];
                let held = sides.iter().all(|side| side.value_type() == ValueType::Vector);
                sides.into_iter().for_each(|side| self.count(side, held));
            }
        }
    }
}
