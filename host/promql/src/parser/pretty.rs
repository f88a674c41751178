//! The tree as PromQL text on as many lines as it takes, as Prometheus' `format_query` answers it.
//!
//! A part that fits a line stays on one; a part that does not is split at its own level, its parts indented
//! below it. Read again, the text is the same query.

use std::fmt::Write as _;

use super::ast::{Expr, ExprKind};
use super::display::{aggregate_head, left_number, operator_text, subquery_tail};

/// Prometheus splits what is longer, without its indentation.
const LINE_BYTES_MAX: usize = 100;

const INDENT: &str = "  ";

impl Expr {
    /// The canonical text, with long parts split into lines.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        write(self, 0, &mut out);
        out
    }
}

fn indent(level: usize, out: &mut String) {
    (0..level).for_each(|_| out.push_str(INDENT));
}

fn write(expr: &Expr, level: usize, out: &mut String) {
    match &expr.kind {
        // A sign stands right before what it applies to.
        ExprKind::Unary { negate, expr } => {
            indent(level, out);
            out.push(if *negate { '-' } else { '+' });
            let mut inner = String::new();
            write(expr, level, &mut inner);
            out.push_str(inner.trim_start());
            return;
        }
        ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {
            return write_line(&expr.to_string(), level, out);
        }
        _ => {}
    }
    let line = expr.to_string();
    if line.len() <= LINE_BYTES_MAX {
        return write_line(&line, level, out);
    }
    match &expr.kind {
        ExprKind::Subquery(subquery) => {
            write(&subquery.expr, level, out);
            out.push_str(&subquery_tail(subquery));
        }
        ExprKind::Binary(binary) => {
            match left_number(binary) {
                Some(number) => write_line(&number, level + 1, out),
                None => write(&binary.left, level + 1, out),
            }
            out.push('\n');
            indent(level, out);
            let _ = writeln!(out, "{}", operator_text(binary));
            write(&binary.right, level + 1, out);
        }
        ExprKind::Aggregate(aggregate) => {
            let args = aggregate.param.iter().chain([&aggregate.expr]);
            write_list(&aggregate_head(aggregate), args, level, out);
        }
        ExprKind::Call(call) => write_list(call.name(), call.args.iter(), level, out),
        ExprKind::Paren(inner) => write_list("", std::iter::once(&**inner), level, out),
        _ => write_line(&line, level, out),
    }
}

fn write_line(line: &str, level: usize, out: &mut String) {
    indent(level, out);
    out.push_str(line);
}

/// `head(`, each part on lines of its own, `)`.
fn write_list<'e>(head: &str, parts: impl Iterator<Item = &'e Expr>, level: usize, out: &mut String) {
    indent(level, out);
    out.push_str(head);
    out.push('(');
    for (index, part) in parts.enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        write(part, level + 1, out);
    }
    out.push('\n');
    indent(level, out);
    out.push(')');
}
