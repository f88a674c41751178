//! The ids of the series that carry one label value of the head.

use std::ops::RangeInclusive;

use roaring::RoaringBitmap;

use super::Union;

/// Up to this many ids are a list: a bitmap of two ids takes five times their bytes.
const FEW_MAX: usize = 16;

/// Adds ids to a bitmap, most often behind all that it has.
pub(super) fn insert_run(ids: &mut RoaringBitmap, run: RangeInclusive<u32>) {
    if run_len(&run) > 2 {
        ids.insert_range(run);
    } else {
        for id in run {
            if ids.try_push(id).is_err() {
                ids.insert(id);
            }
        }
    }
}

fn run_len(run: &RangeInclusive<u32>) -> usize {
    run.end().abs_diff(*run.start()) as usize + 1
}

/// A set of series ids, without the weight of a bitmap for the many values that few series carry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Posting {
    /// In order.
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl Posting {
    pub(crate) fn insert_run(&mut self, run: RangeInclusive<u32>) {
        match self {
            Self::Few(ids) if ids.len() + run_len(&run) <= FEW_MAX => {
                for id in run {
                    if let Err(at) = ids.binary_search(&id) {
                        ids.insert(at, id);
                    }
                }
            }
            Self::Few(ids) => {
                let mut many: RoaringBitmap = ids.iter().copied().collect();
                insert_run(&mut many, run);
                *self = Self::Many(many);
            }
            Self::Many(ids) => insert_run(ids, run),
        }
    }

    /// Takes ids out; says whether any are left.
    pub(crate) fn remove_all(&mut self, gone: &RoaringBitmap) -> bool {
        match self {
            Self::Few(ids) => {
                ids.retain(|id| !gone.contains(*id));
                !ids.is_empty()
            }
            Self::Many(ids) => {
                *ids -= gone;
                !ids.is_empty()
            }
        }
    }

    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Few(ids) => ids.len() as u64,
            Self::Many(ids) => ids.len(),
        }
    }

    pub(crate) fn add_to(&self, union: &mut Union) {
        match self {
            Self::Few(ids) => ids.iter().for_each(|id| union.add(*id)),
            Self::Many(ids) => union.add_bitmap(ids),
        }
    }

    /// The ids; of `among` only, where that is given.
    pub(crate) fn to_bitmap(&self, among: Option<&RoaringBitmap>) -> RoaringBitmap {
        match (self, among) {
            (Self::Few(ids), None) => ids.iter().copied().collect(),
            (Self::Few(ids), Some(among)) => ids.iter().copied().filter(|id| among.contains(*id)).collect(),
            (Self::Many(ids), None) => ids.clone(),
            (Self::Many(ids), Some(among)) => ids & among,
        }
    }

    pub(crate) fn meets(&self, ids: &RoaringBitmap) -> bool {
        match self {
            Self::Few(own) => own.iter().any(|id| ids.contains(*id)),
            Self::Many(own) => !own.is_disjoint(ids),
        }
    }
}
