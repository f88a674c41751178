//! The values of one label name as one text, and finding those in it that a regular expression passes.
//!
//! Values lie one behind the other. In a block they are sorted, so that what cannot pass is skipped in leaps: once
//! the automaton has failed at some byte, all values that share the bytes up to there are passed over by galloping.
//! That gives what an automaton over a trie (an FST) gives, without the trie's bytes. In the head values lie in the
//! order in which they came, which lets it add one without moving any.
//!
//! A literal within values is searched in the whole text at the speed of memory, and only hits are looked at.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::ops::Range;

use memchr::memmem::Finder;

use super::automaton::Batch;
use super::pattern::{Form, Pattern, Verdict};
use crate::side_by_side;

/// Less than this, in nanoseconds, is not worth another thread.
const THREAD_NS_MIN: u64 = 2_000_000;
/// After so many values it is asked how far leaping has come.
const LEAPS_TRIED: u32 = 64;
/// Testing side by side takes about a fifth of the time, for each value.
const LEAP_MIN: u32 = 5;
/// So many are then tested side by side before leaping is tried again.
const SIDE_BY_SIDE: u32 = 8192;

/// Where values begin and end within their text.
pub(crate) trait Places {
    /// How many values there are.
    fn count(&self) -> u32;
    /// Where a value begins; at `count` where the last one ends. Never less than for the number before.
    fn start(&self, number: u32) -> usize;
}

/// The values of one label name, numbered from 0.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a, P> {
    pub(crate) text: &'a [u8],
    pub(crate) places: P,
    pub(crate) sorted: bool,
}

impl<'a, P: Places> Values<'a, P> {
    fn place(&self, number: u32) -> Range<usize> {
        self.places.start(number)..self.places.start(number.saturating_add(1))
    }

    /// The value of that number; empty where there is none.
    pub(crate) fn get(&self, number: u32) -> &'a [u8] {
        self.text.get(self.place(number)).unwrap_or_default()
    }

    /// Some values with their numbers, in order. Where each begins is where the one before ends.
    fn each(&self, numbers: Range<u32>) -> impl Iterator<Item = (u32, &'a [u8])> {
        let mut start = self.places.start(numbers.start);
        numbers.map(move |number| {
            let value = start..self.places.start(number.saturating_add(1));
            start = value.end;
            (number, self.text.get(value).unwrap_or_default())
        })
    }

    /// The first of the numbers whose value is not before what `before` says yes to. Values must be sorted.
    pub(crate) fn partition_point(&self, numbers: Range<u32>, before: impl Fn(&[u8]) -> bool) -> u32 {
        let Range { start: mut low, end: mut high } = numbers;
        while low < high {
            let middle = low.midpoint(high);
            if before(self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// As [`Values::partition_point`], for a result that is near the start.
    fn gallop(&self, numbers: Range<u32>, before: impl Fn(&[u8]) -> bool) -> u32 {
        let mut step = 1;
        let mut low = numbers.start;
        while let Some(next) = low.checked_add(step).filter(|next| *next < numbers.end) {
            if !before(self.get(next)) {
                return self.partition_point(low..next, before);
            }
            (low, step) = (next, step.saturating_mul(2));
        }
        self.partition_point(low..numbers.end, before)
    }

    /// The numbers of the values that begin with `prefix`. Values must be sorted.
    pub(crate) fn starting_with(&self, prefix: &[u8], within: Range<u32>) -> Range<u32> {
        let first = self.partition_point(within.clone(), |value| value < prefix);
        let of_prefix = |value: &[u8]| value.get(..prefix.len()).unwrap_or(value) <= prefix;
        first..self.partition_point(first..within.end, of_prefix)
    }

    /// What it costs to find the passing ones among `count` of the values, in nanoseconds, roughly.
    pub(crate) fn cost_ns(&self, pattern: &Pattern, count: u32) -> u64 {
        let (count, bytes) = (u64::from(count), self.text.len() as u64);
        match pattern.form() {
            Form::Anything | Form::Something => 0,
            Form::Values(values) => values.len() as u64 * 200,
            Form::Prefixes { any, .. } if self.sorted => any
                .iter()
                .map(|prefix| {
                    let found = self.starting_with(prefix, 0..self.places.count());
                    1_000 + u64::from(found.end - found.start) * 20
                })
                .sum(),
            Form::Prefixes { .. } => count * 4,
            Form::Infixes { any, whole: false } if any.iter().any(|infix| infix.len() == 1) => count * 20,
            // A rare one half of that.
            Form::Infixes { any, .. } => 1_000 + any.len() as u64 * bytes / 4,
            Form::Other => count * 20,
        }
    }

    /// The numbers of those values among `within` that pass, in order.
    pub(crate) fn passing(&self, pattern: &Pattern, within: Range<u32>) -> Vec<u32>
    where
        P: Sync,
    {
        let (count, cost_ns) = (within.end - within.start, self.cost_ns(pattern, within.end - within.start));
        let parts = (cost_ns / THREAD_NS_MIN).clamp(1, side_by_side::threads() as u64) as u32;
        let part = |at: u32| {
            let border =
                |at: u32| within.start + (u64::from(count) * u64::from(at) / u64::from(parts)) as u32;
            border(at)..border(at + 1)
        };
        let parts: Vec<Range<u32>> = (0..parts).map(part).collect();
        side_by_side::each(&parts, |part| self.passing_of(pattern, part.clone())).concat()
    }

    fn passing_of(&self, pattern: &Pattern, within: Range<u32>) -> Vec<u32> {
        let mut found = Vec::new();
        match pattern.form() {
            Form::Prefixes { any, whole } if self.sorted => {
                for prefix in any {
                    let range = self.starting_with(prefix, within.clone());
                    if *whole {
                        found.extend(range);
                    } else {
                        self.leap(pattern, range, &mut found);
                    }
                }
                sort_if_several(any, &mut found);
            }
            Form::Prefixes { any, whole } => {
                let starting = self.each(within).filter(|(_, value)| {
                    let may = value.first().is_some_and(|byte| pattern.may_begin(*byte));
                    may && any.iter().any(|prefix| value.starts_with(prefix))
                });
                if *whole {
                    found.extend(starting.map(|(number, _)| number));
                } else {
                    test_each(pattern, starting, &mut found);
                }
            }
            // A single byte is in most values or in none: testing is quicker than finding it first.
            Form::Infixes { any, whole } if *whole || any.iter().all(|infix| infix.len() > 1) => {
                for infix in any {
                    let mut holding = Vec::new();
                    self.search(infix, within.clone(), |number| holding.push(number));
                    if *whole {
                        found.append(&mut holding);
                    } else {
                        let values = holding.into_iter().map(|number| (number, self.get(number)));
                        test_each(pattern, values, &mut found);
                    }
                }
                sort_if_several(any, &mut found);
            }
            _ if self.sorted => self.leap(pattern, within, &mut found),
            _ => {
                let may =
                    |(_, value): &(u32, &[u8])| value.first().is_some_and(|byte| pattern.may_begin(*byte));
                test_each(pattern, self.each(within).filter(may), &mut found);
            }
        }
        found
    }

    /// Tests sorted values, leaping over those that fail for the reason the one before did. Where that takes it past few,
    /// the next ones are tested side by side.
    fn leap(&self, pattern: &Pattern, within: Range<u32>, found: &mut Vec<u32>) {
        let Range { start: mut number, end } = within;
        let (mut tested, mut tested_from) = (0, number);
        while number < end {
            if tested == LEAPS_TRIED {
                if number - tested_from < LEAPS_TRIED * LEAP_MIN {
                    let to = end.min(number.saturating_add(SIDE_BY_SIDE));
                    test_each(pattern, self.each(number..to), found);
                    number = to;
                }
                (tested, tested_from) = (0, number);
                continue;
            }
            tested += 1;
            let value = self.get(number);
            match pattern.test(value) {
                Verdict::Passes => found.push(number),
                Verdict::Fails => {}
                Verdict::FailsFrom(at) => {
                    let failed = value.get(..=at).unwrap_or(value);
                    let same = |value: &[u8]| value.get(..failed.len()).unwrap_or(value) <= failed;
                    number = self.gallop(number..end, same).max(number + 1);
                    continue;
                }
            }
            number += 1;
        }
    }

    /// Hands over the numbers of the values that hold `infix`, each once, in order.
    fn search(&self, infix: &[u8], within: Range<u32>, mut each: impl FnMut(u32)) {
        let finder = Finder::new(infix);
        let Range { start: mut number, end } = within;
        let last = self.places.start(end);
        let mut at = self.places.start(number);
        while let Some(hit) = self.text.get(at..last).and_then(|rest| finder.find(rest)) {
            let hit = at + hit;
            number = self.number_at(hit, number..end);
            let place = self.place(number);
            if hit + infix.len() <= place.end {
                each(number);
                at = place.end;
                number += 1;
            } else {
                at = hit + 1;
            }
            if number >= end {
                break;
            }
        }
    }

    /// Which of the values the byte at `at` belongs to.
    fn number_at(&self, at: usize, among: Range<u32>) -> u32 {
        let mut step = 1;
        let Range { start: mut low, end: mut high } = among;
        while let Some(next) = low.checked_add(step).filter(|next| *next < high) {
            if self.places.start(next) > at {
                high = next;
                break;
            }
            (low, step) = (next, step.saturating_mul(2));
        }
        // The value at `low` begins at or before the byte, the one at `high` after it.
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.places.start(middle) > at {
                high = middle;
            } else {
                low = middle;
            }
        }
        low
    }
}

/// Tests values, many side by side.
fn test_each<'a>(pattern: &Pattern, values: impl Iterator<Item = (u32, &'a [u8])>, found: &mut Vec<u32>) {
    let mut batch = Batch::default();
    for (number, value) in values {
        batch.push(number, value);
        if batch.is_full() {
            batch.test(pattern, found);
        }
    }
    batch.test(pattern, found);
}

fn sort_if_several(any: &[Vec<u8>], found: &mut Vec<u32>) {
    if any.len() > 1 {
        found.sort_unstable();
        found.dedup();
    }
}
