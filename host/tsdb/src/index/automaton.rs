//! The automaton of a regular expression, and running it over many values.
//!
//! Each step of an automaton waits for the one before it, for half a dozen cycles a byte. A table therefore takes eight
//! values at a time, all of the same length, so that no step has to ask whether a value has ended: a byte takes about a
//! cycle then.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

use super::pattern::{Pattern, Verdict};

/// An automaton larger than this takes longer to build than it saves; the expression is then asked itself.
const DFA_BYTES_MAX: usize = 2 << 20;
/// A state is one byte of a table's index, and a byte of the text the other one.
const STATES_MAX: usize = 1 << 8;
/// So many values are tested side by side.
const LANES: usize = 8;
/// So many values are put in the order of their lengths at once: what is noted of them stays in the nearest caches.
const BATCH: usize = 2048;
/// Longer values are tested one by one.
const LEN_MAX: usize = 255;

/// An automaton, and the state in which it begins a value.
pub(super) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

/// A small automaton as a table.
pub(super) struct Table {
    /// By state and byte: the next state, times 256.
    next: Box<[u16; STATES_MAX * 256]>,
    /// Whether a value may end in a state.
    accepts: [bool; STATES_MAX],
}

impl Automaton {
    /// `None` where it would be too large, or its expression has no automaton.
    pub(super) fn build(anchored: &str) -> Option<Self> {
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::LeftmostFirst)
            .dfa_size_limit(Some(DFA_BYTES_MAX))
            .determinize_size_limit(Some(DFA_BYTES_MAX));
        let dfa = dense::Builder::new().configure(config).build(anchored).ok()?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { dfa, start })
    }

    /// `None` where it gives up, as it may on text that its expression's word boundaries cannot tell apart.
    pub(super) fn run(&self, value: &[u8]) -> Option<Verdict> {
        let Self { dfa, start } = self;
        let mut state = *start;
        for (at, byte) in value.iter().enumerate() {
            state = dfa.next_state(state, *byte);
            if dfa.is_special_state(state) {
                if dfa.is_dead_state(state) {
                    return Some(Verdict::FailsFrom(at));
                }
                if dfa.is_quit_state(state) {
                    return None;
                }
            }
        }
        let end = dfa.next_eoi_state(state);
        Some(if dfa.is_match_state(end) { Verdict::Passes } else { Verdict::Fails })
    }
}

impl Table {
    /// `None` where the automaton has too many states, or gives up on some text.
    pub(super) fn of(automaton: &Automaton) -> Option<Self> {
        let Automaton { dfa, start } = automaton;
        let mut next: Box<[u16; STATES_MAX * 256]> =
            vec![0; STATES_MAX * 256].into_boxed_slice().try_into().ok()?;
        let mut accepts = [false; STATES_MAX];
        let mut states = vec![*start];
        let mut numbers = HashMap::from([(*start, 0u16)]);
        let mut at = 0;
        while let Some(state) = states.get(at).copied() {
            if dfa.is_quit_state(state) {
                return None;
            }
            accepts[at] = dfa.is_match_state(dfa.next_eoi_state(state));
            for byte in 0..=u8::MAX {
                let to = dfa.next_state(state, byte);
                let number = match numbers.entry(to) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(_) if states.len() == STATES_MAX => return None,
                    Entry::Vacant(new) => {
                        states.push(to);
                        *new.insert(states.len() as u16 - 1)
                    }
                };
                next[at << 8 | usize::from(byte)] = number << 8;
            }
            at += 1;
        }
        Some(Self { next, accepts })
    }

    /// Which of some values pass, all of which are `len` bytes long.
    fn test(&self, values: [&[u8]; LANES], len: usize) -> [bool; LANES] {
        let values = values.map(|value| &value[..len]);
        let mut states = [0u16; LANES];
        for at in 0..len {
            for (state, value) in states.iter_mut().zip(&values) {
                *state = self.next[usize::from(*state | u16::from(value[at]))];
            }
        }
        states.map(|state| self.accepts[usize::from(state >> 8)])
    }
}

/// Values that are tested together.
#[derive(Default)]
pub(super) struct Batch<'v> {
    values: Vec<(u32, &'v [u8])>,
    /// Their places, by length.
    by_len: Vec<u16>,
    passed: Vec<bool>,
}

impl<'v> Batch<'v> {
    /// Adds a value with its number. Numbers increase.
    pub(super) fn push(&mut self, number: u32, value: &'v [u8]) {
        self.values.push((number, value));
    }

    pub(super) const fn is_full(&self) -> bool {
        self.values.len() == BATCH
    }

    /// Adds the numbers of those that pass to `found`, in order, and begins anew.
    pub(super) fn test(&mut self, pattern: &Pattern, found: &mut Vec<u32>) {
        let table = if self.values.len() < LANES { None } else { pattern.table() };
        match table {
            None => {
                let passing = self.values.iter().filter(|(_, value)| pattern.test(value) == Verdict::Passes);
                found.extend(passing.map(|(number, _)| *number));
            }
            Some(table) => {
                self.test_side_by_side(table, pattern);
                let numbers = self.values.iter().zip(&self.passed).filter(|(_, passed)| **passed);
                found.extend(numbers.map(|((number, _), _)| *number));
            }
        }
        self.values.clear();
    }

    fn test_side_by_side(&mut self, table: &Table, pattern: &Pattern) {
        let Self { values, by_len, passed } = self;
        passed.clear();
        passed.resize(values.len(), false);
        // A counting sort: where each length begins, and after it where the next one of that length goes.
        let mut starts = [0u16; LEN_MAX + 2];
        values.iter().for_each(|(_, value)| starts[value.len().min(LEN_MAX) + 1] += 1);
        for len in 0..=LEN_MAX {
            starts[len + 1] += starts[len];
        }
        by_len.clear();
        by_len.resize(values.len(), 0);
        let mut places = starts;
        for (at, (_, value)) in values.iter().enumerate() {
            let place = &mut places[value.len().min(LEN_MAX)];
            by_len[usize::from(*place)] = at as u16;
            *place += 1;
        }
        for len in 0..LEN_MAX {
            let same_len = &by_len[usize::from(starts[len])..usize::from(starts[len + 1])];
            for lanes in same_len.chunks(LANES) {
                // Where there are too few, the last one is tested more than once.
                let of_lane = |lane: usize| usize::from(lanes[lane.min(lanes.len() - 1)]);
                let verdicts = table.test(std::array::from_fn(|lane| values[of_lane(lane)].1), len);
                for (lane, verdict) in verdicts.into_iter().enumerate() {
                    passed[of_lane(lane)] = verdict;
                }
            }
        }
        for at in &by_len[usize::from(starts[LEN_MAX])..] {
            passed[usize::from(*at)] = pattern.test(values[usize::from(*at)].1) == Verdict::Passes;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{MatchOp, Matcher};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::Pattern;
    use super::{BATCH, Batch};

    fn any_value() -> impl Strategy<Value = String> {
        let pieces =
            vec(prop::sample::select(vec!["a", "-", "7", "pod-", "é", "\n", "long ".repeat(9).leak()]), 0..9);
        pieces.prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn many_values_pass_as_each_does(
            values in vec(any_value(), 0..100),
            text in prop::sample::select(vec![
                ".*-[0-9]+-.*", ".*[a7]", "a.*", "(?i)POD-.*7", r".*\b7.*", "[^é]+", "(.|\n)*é", "(a|7|-){3,40}",
            ]),
        ) {
            let matcher = Matcher::new(MatchOp::Regex, "name", text).unwrap();
            let pattern = Pattern::new(&matcher);
            let (mut batch, mut found) = (Batch::default(), Vec::new());
            for (number, value) in (0..).zip(&values) {
                batch.push(number * 3, value.as_bytes());
            }
            batch.test(&pattern, &mut found);
            let passing = (0..).zip(&values).filter(|(_, value)| matcher.matches(value));
            let expected: Vec<u32> = passing.map(|(number, _)| number * 3).collect();
            prop_assert_eq!(&found, &expected);
            batch.test(&pattern, &mut found);
            prop_assert_eq!(found, expected);
            // Places of values are told in 16 bits.
            prop_assert!(u16::try_from(BATCH).is_ok());
        }
    }
}
