//! The label index: from matchers to series.
//!
//! For each label name: its values as one text, the ids of the series that carry each value (*postings*, roaring
//! bitmaps where they are many), and the union of them all, which answers "has the label". The head keeps one in
//! memory ([`MemoryIndex`]), each block one on disk, read where it lies; a [`Query`] works on both alike.
//!
//! Matchers follow Prometheus: a label that is not there counts as the empty value. A matcher that passes the
//! empty value therefore *excludes* the series whose value fails, every other one *selects* those whose value
//! passes.
//!
//! * [`Pattern`] takes a regular expression apart once per query: which form do values have that pass?
//! * [`Values`] finds the values of that form.
//! * [`Query`] puts the matchers in order by what each would cost, and tests the labels of the series that are left
//!   themselves where that is cheaper than going through all values.

mod automaton;
mod cache;
mod memory;
mod pattern;
mod posting;
mod query;
mod runs;
mod texts;
mod union;
mod values;
mod view;

use roaring::RoaringBitmap;

use crate::error::Result;

pub(crate) use cache::{Asked, PassingCache};
pub(crate) use memory::{MemoryIndex, Name, SeriesIndex};
pub(crate) use pattern::Pattern;
pub(crate) use posting::Posting;
pub(crate) use query::Query;
pub(crate) use runs::Runs;
pub(crate) use texts::Texts;
pub(crate) use union::Union;
pub(crate) use values::{Places, Values};
pub(crate) use view::RoaringView;

/// What a [`Query`] needs to know of an index.
pub(crate) trait LabelIndex {
    /// Every series.
    fn all(&self) -> Result<RoaringBitmap>;

    /// What is known of a label name, where any series has it.
    fn name(&self, name: &str) -> Result<Option<Box<dyn NameIndex + '_>>>;

    /// Hands over the value of the label `name` of a series; the empty one where it has none.
    fn value_of(&self, id: u32, name: &str, each: &mut dyn FnMut(&str)) -> Result<()>;

    /// What [`LabelIndex::value_of`] costs, in nanoseconds, roughly.
    fn value_of_ns(&self) -> u64;

    /// All label names carried by any of `ids`, handed over in any order.
    fn names_of(&self, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()>;

    /// All values of `name` carried by any of `ids`, handed over in any order, some maybe more than once.
    fn values_of(&self, name: &str, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()>;
}

/// One label name of an index. Its values are numbered from 0; some numbers may stand for no series any more.
pub(crate) trait NameIndex {
    /// How many values there are.
    fn value_count(&self) -> u32;

    /// The number of a value.
    fn find(&self, value: &str) -> Result<Option<u32>>;

    /// The series that have the label; of `among` only, where that is given.
    fn having(&self, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap>;

    /// The series whose value has that number; of `among` only, where that is given.
    fn posting(&self, number: u32, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap>;

    /// Adds the series of those values to a union.
    fn unite(&self, numbers: &mut dyn Iterator<Item = u32>, union: &mut Union) -> Result<()>;

    /// What [`NameIndex::passing`] costs, in nanoseconds, roughly.
    fn passing_ns(&self, pattern: &Pattern) -> u64;

    /// The numbers of the values that pass.
    fn passing(&self, pattern: &Pattern) -> Result<std::sync::Arc<RoaringBitmap>>;
}

#[cfg(test)]
pub(crate) mod tests;
