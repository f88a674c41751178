//! Sorting many series by their labels.
//!
//! Comparing two label sets walks through both, which of a million takes twenty million walks, each of which waits for
//! memory. Most series that a query selects differ in a few labels only. What a group of them has in common is therefore
//! looked at once, and what follows is sorted eight bytes at a time, as numbers.
//!
//! A *field* is a name or a value, which in a span stand in turn, each behind its length. Sets are ordered by their first
//! field that differs; one that ends comes before one that goes on.

use std::cmp::Ordering;

use model::Labels;
use parking_lot::Mutex;

use crate::side_by_side;

/// Fewer are sorted by one thread.
const SIDE_BY_SIDE_MIN: usize = 32_768;
/// So often at most are large groups divided before threads begin.
const ROUNDS_MAX: usize = 6;
/// Groups of fewer are sorted by comparing.
const COMPARED_MAX: usize = 24;

/// A place that has its item.
const ARRANGED: u32 = u32::MAX;

/// A set: eight bytes of its field, how many of them there are, and its place in the input.
type Item = (u64, u8, u32);

/// Items whose spans are the same up to a field and in the field's first bytes.
struct Group<'a> {
    items: &'a mut [Item],
    field_at: usize,
    depth: usize,
}

/// The order in which label sets are sorted: the place of the first one, of the second one, and so on. Equal ones keep
/// their order.
pub(super) fn order_of<'a>(labels: impl Iterator<Item = &'a Labels>) -> Vec<u32> {
    let spans: Vec<&[u8]> = labels.map(Labels::as_encoded).collect();
    let mut items: Vec<Item> = (0..spans.len() as u32).map(|place| (0, 0, place)).collect();
    let threads = if items.len() < SIDE_BY_SIDE_MIN { 1 } else { side_by_side::threads() };
    let large = items.len() / (threads * 2);
    let mut groups = vec![Group { items: &mut items, field_at: 0, depth: 0 }];
    if threads > 1 {
        // Until there is work for all. What all sets have in common takes a round for each of its fields.
        for _ in 0..ROUNDS_MAX {
            let (to_divide, rest) = groups.into_iter().partition(|group| group.items.len() > large);
            groups = rest;
            if Vec::is_empty(&to_divide) {
                break;
            }
            to_divide.into_iter().for_each(|group| divide(&spans, group, &mut groups));
        }
    }
    let groups = Mutex::new(groups);
    side_by_side::each(&vec![(); threads], |()| {
        let next = || groups.lock().pop();
        while let Some(group) = next() {
            let mut within = vec![group];
            while let Some(group) = within.pop() {
                divide(&spans, group, &mut within);
            }
        }
    });
    items.into_iter().map(|(_, _, place)| place).collect()
}

/// Sorts a group as far as the next eight bytes tell, and adds the groups of those that are the same in these.
fn divide<'a>(spans: &[&[u8]], group: Group<'a>, groups: &mut Vec<Group<'a>>) {
    let Group { items, field_at, depth } = group;
    if items.len() <= COMPARED_MAX {
        items.sort_unstable_by(|a, b| compare(spans, field_at, *a, *b));
        return;
    }
    let Some((field_at, depth)) = skip_common(spans, items, field_at, depth) else {
        // All of them are equal.
        items.sort_unstable_by_key(|(_, _, place)| *place);
        return;
    };
    for (key, count, place) in items.iter_mut() {
        (*key, *count) = key_of(field(spans[*place as usize], field_at).0, depth);
    }
    // Equal ones stay in the order of their places, which is roughly that of their spans in memory: the next look at them
    // goes through memory rather than all over it.
    items.sort_by_key(|(key, count, _)| (*key, *count));
    for items in items.chunk_by_mut(|a, b| (a.0, a.1) == (b.0, b.1)) {
        match items {
            [] | [_] => {}
            // The field ends here, and is the same in all of them.
            [(_, count, first), ..] if *count < 8 => {
                let (_, field_end) = field(spans[*first as usize], field_at);
                groups.push(Group { items, field_at: field_end, depth: 0 });
            }
            items => groups.push(Group { items, field_at, depth: depth + 8 }),
        }
    }
}

/// Brings items into an order, where they are: a million selected series are too large to be there twice.
pub(super) fn arrange<T>(items: &mut [T], mut order: Vec<u32>) {
    for first in 0..order.len() {
        let mut at = first;
        // Around the circle of places that give each other their items.
        loop {
            let from = std::mem::replace(&mut order[at], ARRANGED) as usize;
            if from == first || from == ARRANGED as usize {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
}

/// The text of the field at `at`, and where the next one begins; empty at the end of a span, where no field is.
fn field(span: &[u8], at: usize) -> (&[u8], usize) {
    let (mut len, mut shift, mut start) = (0, 0, at);
    while let Some(byte) = span.get(start) {
        len |= usize::from(byte & 0x7f) << shift;
        (shift, start) = (shift + 7, start + 1);
        if *byte < 0x80 {
            break;
        }
    }
    (span.get(start..start + len).unwrap_or_default(), start + len)
}

/// Eight bytes of a text as a number that sorts as they do, and how many of them are its own.
fn key_of(text: &[u8], depth: usize) -> (u64, u8) {
    let rest = text.get(depth..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return (u64::from_be_bytes(*bytes), 8);
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    (u64::from_be_bytes(bytes), rest.len() as u8)
}

/// The first field in which not all items are the same, and how many bytes of it are; `None` where they are equal.
fn skip_common(spans: &[&[u8]], items: &[Item], mut field_at: usize, depth: usize) -> Option<(usize, usize)> {
    let first = spans[items.first()?.2 as usize];
    let others = || items.iter().skip(1).map(|(_, _, place)| spans[*place as usize]);
    if depth == 0 {
        let mut common = first.len();
        let mut longer = false;
        for other in others() {
            common =
                common_bytes(&first[field_at..common], other.get(field_at..).unwrap_or_default()) + field_at;
            longer |= other.len() > first.len();
        }
        if common == first.len() && !longer {
            return None;
        }
        loop {
            let (_, end) = field(first, field_at);
            if field_at == first.len() || end > common {
                break;
            }
            field_at = end;
        }
    }
    let (text, _) = field(first, field_at);
    let mut common = text.len();
    for other in others() {
        let other = field(other, field_at).0.get(depth..).unwrap_or_default();
        common = common_bytes(text[..common].get(depth..).unwrap_or_default(), other) + depth;
    }
    Some((field_at, common))
}

/// How many bytes two texts have in common at their start.
fn common_bytes(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let words = a_words.iter().zip(b_words).take_while(|(a, b)| a == b).count() * 8;
    let rest = a[words..].iter().zip(&b[words..]).take_while(|(a, b)| a == b).count();
    words + rest
}

fn compare(spans: &[&[u8]], mut field_at: usize, a: Item, b: Item) -> Ordering {
    let (a_span, b_span) = (spans[a.2 as usize], spans[b.2 as usize]);
    loop {
        match (a_span.len() <= field_at, b_span.len() <= field_at) {
            (true, true) => return a.2.cmp(&b.2),
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let ((a_text, next), (b_text, _)) = (field(a_span, field_at), field(b_span, field_at));
        let order = a_text.cmp(b_text);
        if order.is_ne() {
            return order;
        }
        field_at = next;
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::{arrange, order_of};

    fn any_labels() -> impl Strategy<Value = Labels> {
        let name = prop::sample::select(vec!["__name__", "a", "a\0", "instance", "instances"]);
        let piece = prop::sample::select(vec![
            "a",
            "\0",
            "pod-",
            "12345678",
            "\u{ff}",
            "a longer piece of text than eight bytes, twice and more",
        ])
        .prop_map(str::to_owned);
        let value = vec(piece, 0..4).prop_map(|pieces| pieces.concat());
        btree_map(name, value, 0..4).prop_map(Labels::from_pairs)
    }

    /// As many as several threads sort.
    #[test]
    fn many_are_sorted_as_few() {
        let sets: Vec<Labels> = (0..super::SIDE_BY_SIDE_MIN as u64 + 7)
            .map(|number| {
                let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let pod = format!("web-{:x}", mixed >> 40);
                let name = ["up", "requests_total", "requests_failed_total"][number as usize % 3];
                Labels::from_pairs([
                    ("__name__", name),
                    ("instance", "a longer text than a key"),
                    ("pod", &*pod),
                ])
            })
            .collect();
        let mut expected: Vec<u32> = (0..sets.len() as u32).collect();
        expected.sort_by(|a, b| sets[*a as usize].cmp(&sets[*b as usize]));
        assert_eq!(order_of(sets.iter()), expected);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_labels(sets in vec(any_labels(), 0..200)) {
            let mut expected: Vec<(usize, Labels)> = sets.iter().cloned().enumerate().collect();
            expected.sort_by(|a, b| a.1.cmp(&b.1));
            let order = order_of(sets.iter());
            let numbered: Vec<(usize, Labels)> = sets.into_iter().enumerate().collect();
            let mut sorted = numbered;
            arrange(&mut sorted, order);
            prop_assert_eq!(sorted, expected);
        }
    }
}
