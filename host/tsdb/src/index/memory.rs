//! The label index of the head, and of a block while it is written.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ahash::RandomState;
use model::Labels;
use roaring::RoaringBitmap;

use super::{LabelIndex, Posting};
use crate::error::Result;

type Map<V> = HashMap<Box<str>, V, RandomState>;

/// A label index that grows and shrinks.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex {
    names: Map<Name>,
    all: RoaringBitmap,
}

/// What is known of one label name.
#[derive(Debug, Default)]
pub(crate) struct Name {
    pub(crate) values: Map<Posting>,
    pub(crate) having: RoaringBitmap,
}

impl MemoryIndex {
    /// Adds a series.
    pub(crate) fn insert(&mut self, id: u32, labels: &Labels) {
        self.all.insert(id);
        for (name, value) in labels {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), Name::default());
            }
            let Some(entry) = self.names.get_mut(name) else { continue };
            entry.having.insert(id);
            match entry.values.get_mut(value) {
                Some(posting) => posting.insert(id),
                None => {
                    entry.values.insert(value.into(), Posting::One(id));
                }
            }
        }
    }

    /// Takes series out; `labels` are theirs.
    pub(crate) fn remove_all<'a>(&mut self, ids: &RoaringBitmap, labels: impl Iterator<Item = &'a Labels>) {
        self.all -= ids;
        for (name, value) in labels.flatten() {
            let Entry::Occupied(mut entry) = self.names.entry(name.into()) else { continue };
            let known = entry.get_mut();
            known.having -= ids;
            if known.values.get_mut(value).is_some_and(|posting| !posting.remove_all(ids)) {
                known.values.remove(value);
            }
            if known.values.is_empty() {
                entry.remove();
            }
        }
    }

    /// Every name with its values, in any order.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &Name)> {
        self.names.iter().map(|(name, entry)| (&**name, entry))
    }

    /// One name's values.
    pub(crate) fn name(&self, name: &str) -> Option<&Name> {
        self.names.get(name)
    }
}

impl LabelIndex for MemoryIndex {
    fn all(&self) -> Result<RoaringBitmap> {
        Ok(self.all.clone())
    }

    fn having(&self, name: &str) -> Result<RoaringBitmap> {
        Ok(self.names.get(name).map(|entry| entry.having.clone()).unwrap_or_default())
    }

    fn postings(&self, name: &str, value: &str) -> Result<RoaringBitmap> {
        let posting = self.names.get(name).and_then(|entry| entry.values.get(value));
        Ok(posting.map(Posting::to_bitmap).unwrap_or_default())
    }

    fn postings_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<RoaringBitmap> {
        let mut union = RoaringBitmap::new();
        let values = self.names.get(name).into_iter().flat_map(|entry| &entry.values);
        values.filter(|(value, _)| wanted(value)).for_each(|(_, posting)| posting.add_to(&mut union));
        Ok(union)
    }

    fn names_of(&self, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let carried = self.names.iter().filter(|(_, entry)| !entry.having.is_disjoint(ids));
        carried.for_each(|(name, _)| each(name));
        Ok(())
    }

    fn values_of(&self, name: &str, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let values = self.names.get(name).into_iter().flat_map(|entry| &entry.values);
        values.filter(|(_, posting)| posting.meets(ids)).for_each(|(value, _)| each(value));
        Ok(())
    }
}
