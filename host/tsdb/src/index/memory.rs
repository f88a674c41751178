//! The label index of the head, and of a block while it is written.
//!
//! The values of a name lie one behind the other in the order in which they came, and are numbered in that order. A
//! value that no series carries any more keeps its number until half of a name's values are such; then they are
//! numbered anew.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_map::{EntryRef, HashMap};
use model::Labels;
use roaring::RoaringBitmap;

use super::posting::insert_run;
use super::{Asked, LabelIndex, NameIndex, PassingCache, Pattern, Places, Posting, Union, Values};
use crate::error::Result;

/// Places of values are told from that of the last value whose number is a multiple of this.
const PLACES_GROUP: u32 = 1 << 12;
/// Names with fewer values than this are not numbered anew.
const RENUMBER_MIN: u32 = 256;

/// A label index that grows and shrinks.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex {
    hasher: RandomState,
    names: HashMap<Box<str>, Name, RandomState>,
    all: RoaringBitmap,
    cache: PassingCache,
    /// Given to a name whenever it numbers its values anew.
    epoch: u64,
}

/// What is known of one label name.
#[derive(Debug, Default)]
pub(crate) struct Name {
    text: Vec<u8>,
    places: ValuePlaces,
    /// Hash and number of each value.
    numbers: HashTable<(u32, u32)>,
    carriers: Vec<Carriers>,
    /// What [`Carriers::Posting`] refers to.
    postings: Vec<Posting>,
    postings_free: Vec<u32>,
    having: RoaringBitmap,
    /// How many values no series carries, and their bytes.
    gone: u32,
    gone_bytes: u64,
    epoch: u64,
}

/// Who carries a value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Carriers {
    Nobody,
    One(u32),
    /// Number of the posting.
    Posting(u32),
}

/// Where values end, in five bytes or less for each.
#[derive(Debug, Default)]
struct ValuePlaces {
    /// Where each group begins.
    groups: Vec<u64>,
    /// Where each value ends, from the start of its group. Memory ends long before a group has four gigabytes.
    ends: Vec<u32>,
}

impl ValuePlaces {
    fn push(&mut self, start: usize, end: usize) {
        if self.ends.len().is_multiple_of(PLACES_GROUP as usize) {
            self.groups.push(start as u64);
        }
        let group = self.groups.last().copied().unwrap_or(0);
        self.ends.push((end as u64 - group) as u32);
    }
}

impl Places for &ValuePlaces {
    fn count(&self) -> u32 {
        self.ends.len() as u32
    }

    fn start(&self, number: u32) -> usize {
        let begins_group = number.is_multiple_of(PLACES_GROUP) && (number as usize) < self.ends.len();
        if begins_group || number == 0 {
            return self.groups.get((number / PLACES_GROUP) as usize).map_or(0, |start| *start as usize);
        }
        let before = (number as usize).min(self.ends.len()) - 1;
        let group = self.groups[before / PLACES_GROUP as usize];
        group as usize + self.ends[before] as usize
    }
}

/// The hash of a value in the table, which wants its highest and its lowest bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Name {
    fn values(&self) -> Values<'_, &ValuePlaces> {
        Values { text: &self.text, places: &self.places, sorted: false }
    }

    fn value(&self, number: u32) -> &str {
        // Only whole values are ever put in.
        std::str::from_utf8(self.values().get(number)).unwrap_or_default()
    }

    fn number(&self, hash: u32, value: &str) -> Option<u32> {
        let values = self.values();
        let is = |(_, number): &(u32, u32)| values.get(*number) == value.as_bytes();
        self.numbers.find(spread(hash), is).map(|(_, number)| *number)
    }

    fn insert(&mut self, hash: u32, value: &str, run: RangeInclusive<u32>) {
        let number = match self.number(hash, value) {
            Some(number) => number,
            None => self.push(hash, value, Carriers::One(*run.start())),
        };
        let carriers = &mut self.carriers[number as usize];
        match *carriers {
            // Values that nobody carries are not found.
            Carriers::Nobody => {}
            Carriers::One(only) if run == (only..=only) => {}
            Carriers::One(only) => {
                let mut posting = Posting::Few(vec![only]);
                posting.insert_run(run);
                let at = self.postings_free.pop().unwrap_or(self.postings.len() as u32);
                *carriers = Carriers::Posting(at);
                match self.postings.get_mut(at as usize) {
                    Some(free) => *free = posting,
                    None => self.postings.push(posting),
                }
            }
            Carriers::Posting(at) => self.postings[at as usize].insert_run(run),
        }
    }

    /// Adds a value that is not there; says which number it has got.
    fn push(&mut self, hash: u32, value: &str, carriers: Carriers) -> u32 {
        let number = self.places.ends.len() as u32;
        let start = self.text.len();
        self.text.extend_from_slice(value.as_bytes());
        self.places.push(start, self.text.len());
        self.carriers.push(carriers);
        self.numbers.insert_unique(spread(hash), (hash, number), |(hash, _)| spread(*hash));
        number
    }

    /// Takes ids from a value.
    fn remove(&mut self, hash: u32, value: &str, gone: &RoaringBitmap) {
        let Some(number) = self.number(hash, value) else { return };
        let carriers = &mut self.carriers[number as usize];
        let left = match *carriers {
            Carriers::Nobody => true,
            Carriers::One(only) => !gone.contains(only),
            Carriers::Posting(at) => {
                let posting = &mut self.postings[at as usize];
                let left = posting.remove_all(gone);
                if !left {
                    *posting = Posting::Few(Vec::new());
                    self.postings_free.push(at);
                }
                left
            }
        };
        if !left {
            *carriers = Carriers::Nobody;
            self.gone += 1;
            self.gone_bytes += value.len() as u64;
            let is = |(_, other): &(u32, u32)| *other == number;
            if let Ok(entry) = self.numbers.find_entry(spread(hash), is) {
                entry.remove();
            }
        }
    }

    /// Gives the values that are carried new numbers, and forgets the others.
    fn renumber(&mut self, epoch: u64) {
        let old = std::mem::take(self);
        self.epoch = epoch;
        self.having = old.having;
        self.postings = old.postings;
        self.postings_free = old.postings_free;
        let mut carried: Vec<(u32, u32)> =
            old.numbers.iter().map(|(hash, number)| (*number, *hash)).collect();
        carried.sort_unstable();
        let values = Values { text: &old.text, places: &old.places, sorted: false };
        for (number, hash) in carried {
            let value = std::str::from_utf8(values.get(number)).unwrap_or_default();
            self.push(hash, value, old.carriers[number as usize]);
        }
        self.text.shrink_to_fit();
    }

    /// The series that carry each value, by value, in any order.
    pub(crate) fn carried(&self) -> impl Iterator<Item = (&str, Carried<'_>)> {
        (0u32..).zip(&self.carriers).filter_map(|(number, carriers)| {
            let carried = match *carriers {
                Carriers::Nobody => return None,
                Carriers::One(id) => Carried::One(id),
                Carriers::Posting(at) => Carried::Posting(&self.postings[at as usize]),
            };
            Some((self.value(number), carried))
        })
    }

    /// How many values are carried.
    pub(crate) fn carried_count(&self) -> u64 {
        self.carriers.len() as u64 - u64::from(self.gone)
    }

    /// Bytes that it takes in memory, roughly.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let postings: usize = self
            .postings
            .iter()
            .map(|posting| match posting {
                Posting::Few(ids) => ids.capacity() * 4,
                Posting::Many(ids) => ids.serialized_size(),
            })
            .sum();
        let bytes = self.text.capacity()
            + self.places.ends.capacity() * 4
            + self.numbers.allocation_size()
            + self.carriers.capacity() * size_of::<Carriers>()
            + self.postings.capacity() * size_of::<Posting>()
            + postings
            + self.having.serialized_size();
        bytes as u64
    }

    /// Bytes of the values that are carried.
    pub(crate) fn carried_bytes(&self) -> u64 {
        self.text.len() as u64 - self.gone_bytes
    }

    /// By how many series each value is carried that is carried at all.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> {
        self.carriers.iter().filter_map(|carriers| match *carriers {
            Carriers::Nobody => None,
            Carriers::One(_) => Some(1),
            Carriers::Posting(at) => Some(self.postings[at as usize].count()),
        })
    }

    /// The values that at least `count_min` series carry, at most `count_max` of those that only one carries.
    pub(crate) fn carried_by(&self, count_min: u64, count_max: usize) -> impl Iterator<Item = (&str, u64)> {
        let mut ones = 0;
        (0u32..).zip(&self.carriers).filter_map(move |(number, carriers)| {
            let count = match *carriers {
                Carriers::Nobody => return None,
                Carriers::One(_) if ones == count_max => return None,
                Carriers::One(_) => 1,
                Carriers::Posting(at) => self.postings[at as usize].count(),
            };
            ones += usize::from(count == 1 && count >= count_min);
            (count >= count_min).then(|| (self.value(number), count))
        })
    }

    /// The series that have the label.
    pub(crate) const fn having(&self) -> &RoaringBitmap {
        &self.having
    }
}

/// The series that carry a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Carried<'a> {
    One(u32),
    Posting(&'a Posting),
}

impl Carried<'_> {
    pub(crate) fn count(self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Posting(posting) => posting.count(),
        }
    }

    pub(crate) fn to_bitmap(self) -> RoaringBitmap {
        match self {
            Self::One(id) => [id].into_iter().collect(),
            Self::Posting(posting) => posting.to_bitmap(None),
        }
    }
}

impl MemoryIndex {
    fn hash(hasher: &RandomState, value: &str) -> u32 {
        hasher.hash_one(value) as u32
    }

    /// Notes that there are series.
    pub(super) fn insert_ids(&mut self, run: RangeInclusive<u32>) {
        insert_run(&mut self.all, run);
    }

    /// Notes that series have a label of that name.
    pub(super) fn insert_name(&mut self, name: &str, run: RangeInclusive<u32>) {
        insert_run(&mut self.name_mut(name).having, run);
    }

    /// Notes which value of a name series have.
    pub(super) fn insert_value(&mut self, name: &str, value: &str, run: RangeInclusive<u32>) {
        let hash = Self::hash(&self.hasher, value);
        self.name_mut(name).insert(hash, value, run);
    }

    fn name_mut(&mut self, name: &str) -> &mut Name {
        match self.names.entry_ref(name) {
            EntryRef::Occupied(known) => known.into_mut(),
            EntryRef::Vacant(new) => {
                self.epoch += 1;
                new.insert(Name { epoch: self.epoch, ..Name::default() })
            }
        }
    }

    /// Takes series out; `labels` are theirs.
    pub(crate) fn remove_all<'a>(&mut self, ids: &RoaringBitmap, labels: impl Iterator<Item = &'a Labels>) {
        self.all -= ids;
        let mut pairs: Vec<(&str, &str)> = labels.flatten().collect();
        pairs.sort_unstable();
        pairs.dedup();
        for pairs in pairs.chunk_by(|a, b| a.0 == b.0) {
            let Some((name, _)) = pairs.first() else { continue };
            let Some(known) = self.names.get_mut(*name) else { continue };
            known.having -= ids;
            for (_, value) in pairs {
                known.remove(Self::hash(&self.hasher, value), value, ids);
            }
            if known.carried_count() == 0 {
                self.names.remove(*name);
            } else if known.gone >= RENUMBER_MIN && u64::from(known.gone) > known.carried_count() {
                self.epoch += 1;
                known.renumber(self.epoch);
            }
        }
    }

    /// Every name with its values, in any order.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &Name)> {
        self.names.iter().map(|(name, entry)| (&**name, entry))
    }

    /// How many series carry a label.
    pub(crate) fn series_count(&self, name: &str, value: &str) -> u64 {
        let Some(known) = self.names.get(name) else { return 0 };
        match known
            .number(Self::hash(&self.hasher, value), value)
            .map(|number| known.carriers[number as usize])
        {
            None | Some(Carriers::Nobody) => 0,
            Some(Carriers::One(_)) => 1,
            Some(Carriers::Posting(at)) => known.postings[at as usize].count(),
        }
    }

    /// One name's values.
    pub(crate) fn values(&self, name: &str) -> Option<&Name> {
        self.names.get(name)
    }
}

/// The index of the head together with its series.
pub(crate) struct SeriesIndex<'a, F> {
    pub(crate) index: &'a MemoryIndex,
    /// The labels of a series.
    pub(crate) labels: F,
}

/// A name of the index that is asked for.
struct Named<'a> {
    index: &'a MemoryIndex,
    name: &'a str,
    known: &'a Name,
}

impl<F: Fn(u32) -> Option<Labels>> LabelIndex for SeriesIndex<'_, F> {
    fn all(&self) -> Result<RoaringBitmap> {
        Ok(self.index.all.clone())
    }

    fn name(&self, name: &str) -> Result<Option<Box<dyn NameIndex + '_>>> {
        let named = self.index.names.get_key_value(name);
        Ok(named.map(|(name, known)| {
            Box::new(Named { index: self.index, name, known }) as Box<dyn NameIndex + '_>
        }))
    }

    fn value_of(&self, id: u32, name: &str, each: &mut dyn FnMut(&str)) -> Result<()> {
        let labels = (self.labels)(id);
        each(labels.as_ref().and_then(|labels| labels.get(name)).unwrap_or_default());
        Ok(())
    }

    fn value_of_ns(&self) -> u64 {
        // Two or three cache misses, and the walk through the labels.
        300
    }

    fn names_of(&self, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let carried = self.index.names.iter().filter(|(_, known)| !known.having.is_disjoint(ids));
        carried.for_each(|(name, _)| each(name));
        Ok(())
    }

    fn values_of(&self, name: &str, ids: &RoaringBitmap, each: &mut dyn FnMut(&str)) -> Result<()> {
        let Some(known) = self.index.names.get(name) else { return Ok(()) };
        if ids.len() * 2 < known.carried_count() {
            let mut each = |value: &str| {
                if !value.is_empty() {
                    each(value);
                }
            };
            return (ids & &known.having).iter().try_for_each(|id| self.value_of(id, name, &mut each));
        }
        let all = known.having.is_subset(ids);
        for (value, carried) in known.carried() {
            let meets = all
                || match carried {
                    Carried::One(id) => ids.contains(id),
                    Carried::Posting(posting) => posting.meets(ids),
                };
            if meets {
                each(value);
            }
        }
        Ok(())
    }
}

impl NameIndex for Named<'_> {
    fn value_count(&self) -> u32 {
        self.known.carriers.len() as u32
    }

    fn find(&self, value: &str) -> Result<Option<u32>> {
        Ok(self.known.number(MemoryIndex::hash(&self.index.hasher, value), value))
    }

    fn having(&self, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        Ok(among.map_or_else(|| self.known.having.clone(), |among| &self.known.having & among))
    }

    fn posting(&self, number: u32, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        Ok(match self.known.carriers.get(number as usize) {
            None | Some(Carriers::Nobody) => RoaringBitmap::new(),
            Some(Carriers::One(id)) => {
                Some(*id).filter(|id| among.is_none_or(|among| among.contains(*id))).into_iter().collect()
            }
            Some(Carriers::Posting(at)) => self.known.postings[*at as usize].to_bitmap(among),
        })
    }

    fn unite(&self, numbers: &mut dyn Iterator<Item = u32>, union: &mut Union) -> Result<()> {
        for number in numbers {
            match self.known.carriers.get(number as usize) {
                None | Some(Carriers::Nobody) => {}
                Some(Carriers::One(id)) => union.add(*id),
                Some(Carriers::Posting(at)) => self.known.postings[*at as usize].add_to(union),
            }
        }
        Ok(())
    }

    fn passing_ns(&self, pattern: &Pattern) -> u64 {
        let seen = self.index.cache.seen(&self.asked(), pattern);
        self.known.values().cost_ns(pattern, self.value_count() - seen)
    }

    fn passing(&self, pattern: &Pattern) -> Result<Arc<RoaringBitmap>> {
        let values = self.known.values();
        let cost_ns = values.cost_ns(pattern, self.value_count());
        self.index
            .cache
            .passing(&self.asked(), pattern, cost_ns, |numbers| Ok(values.passing(pattern, numbers)))
    }
}

impl Named<'_> {
    fn asked(&self) -> Asked<'_> {
        Asked { name: self.name, epoch: self.known.epoch, count: self.value_count() }
    }
}
