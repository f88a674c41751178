//! Selectors whose series may come in any order.
//!
//! Putting a million series in order takes longer than summing them up. What an aggregation answers does not depend on
//! the order of what goes in, but for rounding, so that selectors below one do without, unless something on the way
//! chooses by order.

use super::{RangeNode, VectorNode};
use crate::parser::AggregateOp;

/// Whether an aggregation answers the same whatever comes first. Of equal values, which are chosen depends on it.
pub(super) fn is_free(op: AggregateOp) -> bool {
    !matches!(op, AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::CountValues)
}

/// Lets the selectors of an input answer in any order.
pub(super) fn relax(node: &mut VectorNode) {
    match node {
        VectorNode::Select(select)
        | VectorNode::Smoothed(select)
        | VectorNode::SampleTimes(select)
        | VectorNode::StartTimes(select) => select.ordered = false,
        VectorNode::Invariant(input) | VectorNode::Negate(input) => relax(input),
        VectorNode::Map(map) => relax(&mut map.input),
        VectorNode::Window(window) => match &mut window.input {
            RangeNode::Select { select, .. } => select.ordered = false,
            RangeNode::Subquery(subquery) => relax(&mut subquery.input),
        },
        VectorNode::WithScalar(node) => relax(&mut node.vector),
        VectorNode::Join(join) => {
            relax(&mut join.left);
            relax(&mut join.right);
        }
        VectorNode::Set(set) => {
            relax(&mut set.left);
            relax(&mut set.right);
        }
        VectorNode::Buckets(node) => relax(&mut node.input),
        // What is shared is answered at several places, of which one may need the order. Those that merge series depend
        // on which came first. An aggregation below has seen to its own input.
        VectorNode::OfScalar(_)
        | VectorNode::Shared(_)
        | VectorNode::Absent { .. }
        | VectorNode::Aggregate(_)
        | VectorNode::LabelReplace(_)
        | VectorNode::LabelJoin(_)
        | VectorNode::Sort { .. }
        | VectorNode::Info(_)
        | VectorNode::External(_) => {}
    }
}
