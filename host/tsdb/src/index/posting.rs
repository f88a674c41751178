//! The ids of the series that carry one label value.

use roaring::RoaringBitmap;

/// A set of series ids, without the weight of a bitmap for the many values that one series alone carries.
#[derive(Debug, Clone)]
pub(crate) enum Posting {
    One(u32),
    Many(RoaringBitmap),
}

impl Posting {
    pub(crate) fn insert(&mut self, id: u32) {
        match self {
            Self::One(only) if *only == id => {}
            Self::One(only) => *self = Self::Many(RoaringBitmap::from([*only, id])),
            Self::Many(ids) => {
                ids.insert(id);
            }
        }
    }

    /// Takes ids out; says whether any are left.
    pub(crate) fn remove_all(&mut self, gone: &RoaringBitmap) -> bool {
        match self {
            Self::One(only) => !gone.contains(*only),
            Self::Many(ids) => {
                *ids -= gone;
                !ids.is_empty()
            }
        }
    }

    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many(ids) => ids.len(),
        }
    }

    pub(crate) fn add_to(&self, union: &mut RoaringBitmap) {
        match self {
            Self::One(only) => {
                union.insert(*only);
            }
            Self::Many(ids) => *union |= ids,
        }
    }

    pub(crate) fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::One(only) => RoaringBitmap::from([*only]),
            Self::Many(ids) => ids.clone(),
        }
    }

    pub(crate) fn meets(&self, ids: &RoaringBitmap) -> bool {
        match self {
            Self::One(only) => ids.contains(*only),
            Self::Many(own) => !own.is_disjoint(ids),
        }
    }
}
