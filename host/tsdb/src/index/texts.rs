//! Collecting many texts in any order, and giving them back sorted, each once.
//!
//! A million label values are sorted by eight bytes at a time, as numbers: comparing whole texts would wait for memory
//! twenty times for each. Where only the first are asked for, the others are never sorted.

/// A text: where it begins and ends in the whole.
type Place = (u32, u32);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    all: Vec<u8>,
    places: Vec<Place>,
    /// What no place can tell, since all before takes four gigabytes.
    more: Vec<String>,
}

impl Texts {
    pub(crate) fn push(&mut self, text: &str) {
        let (start, end) = (self.all.len(), self.all.len() + text.len());
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => {
                self.all.extend_from_slice(text.as_bytes());
                self.places.push((start, end));
            }
            _ => self.more.push(text.to_owned()),
        }
    }

    /// The first `count_max` texts in order, each once.
    pub(crate) fn into_sorted(self, count_max: usize) -> Vec<String> {
        let Self { all, places, more } = self;
        let mut sorted = Vec::new();
        let mut keyed: Vec<(u64, Place)> = places.into_iter().map(|place| (0, place)).collect();
        sort(&all, &mut keyed, 0, count_max, &mut sorted);
        let text = |(start, end): Place| {
            String::from_utf8_lossy(all.get(start as usize..end as usize).unwrap_or_default()).into_owned()
        };
        let mut texts: Vec<String> = sorted.into_iter().map(text).collect();
        if !more.is_empty() {
            texts.extend(more);
            texts.sort_unstable();
            texts.dedup();
            texts.truncate(count_max);
        }
        texts
    }
}

/// The eight bytes of a text from `depth` on, as a number that sorts as they do.
fn key(all: &[u8], (start, end): Place, depth: usize) -> u64 {
    let rest = all.get(start as usize + depth..end as usize).unwrap_or_default();
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(bytes)
}

/// Appends texts that are the same up to `depth` to `sorted`, in order and each once, until it holds `count_max`.
fn sort(all: &[u8], texts: &mut [(u64, Place)], depth: usize, count_max: usize, sorted: &mut Vec<Place>) {
    // A text that ends here has the key of one that goes on with zeros, and comes first.
    let len = |(start, end): Place| ((end - start) as usize).min(depth + 8);
    for (own, place) in texts.iter_mut() {
        *own = key(all, *place, depth);
    }
    texts.sort_unstable_by_key(|(key, place)| (*key, len(*place)));
    for group in texts.chunk_by_mut(|a, b| a.0 == b.0 && len(a.1) == len(b.1)) {
        if sorted.len() >= count_max {
            return;
        }
        match group {
            [] => {}
            [(_, only)] => sorted.push(*only),
            [(_, first), ..] if len(*first) < depth + 8 => sorted.push(*first),
            group => sort(all, group, depth + 8, count_max, sorted),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::Texts;

    fn any_text() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec!["a", "b", "\0", "pod-", "pod-1", "naïve", "12345678"]);
        vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn texts_come_back_as_from_a_set(texts in vec(any_text(), 0..80), count_max in 0usize..100) {
            let mut collected = Texts::default();
            texts.iter().for_each(|text| collected.push(text));
            let set: BTreeSet<String> = texts.into_iter().collect();
            let expected: Vec<String> = set.into_iter().take(count_max).collect();
            prop_assert_eq!(collected.into_sorted(count_max), expected);
        }
    }
}
