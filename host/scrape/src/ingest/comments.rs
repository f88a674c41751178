//! Which lines of comments the last answer of a target held, so that those of the next one need not be read.
//!
//! An answer of text has `# HELP` and `# TYPE` before each family, which are a good part of it and hardly ever change. Of
//! lines that stand behind one another a hash with a seed is kept, with how long they are and what they declare.
//!
//! * Lines stand in the order in which they came, and are looked for where they are expected, and shortly behind that.
//! * After a good answer exactly its lines are known.

use formats::exposition::{Comments, Format};
use model::MetricKind;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many families may have vanished from an answer at one place; where it is more, they are read again, once.
const VANISHED_MAX: usize = 8;

/// Lines that stand behind one another.
struct Run {
    hash: u64,
    /// What they add to the sum of declarations.
    declared: u64,
    bytes: u32,
    kind: Option<MetricKind>,
}

pub(super) struct KnownComments {
    seed: u64,
    format: Option<Format>,
    runs: Vec<Run>,
    /// Where the next lines are expected.
    next: usize,
    /// The sum of declarations before the lines that are being read.
    before: u64,
}

impl KnownComments {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, format: None, runs: Vec::new(), next: 0, before: 0 }
    }

    /// Begins to read an answer.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// The answer has this format. What is a comment in one is none in another.
    pub(super) fn expect(&mut self, format: Format) {
        if self.format.replace(format) != Some(format) {
            self.runs.clear();
        }
    }

    /// The known lines that `text` begins with, and what they add to the sum of declarations.
    pub(super) fn recognise(&mut self, text: &str) -> Option<(Comments, u64)> {
        let is = |run: &Run| {
            text.get(..run.bytes as usize)
                .is_some_and(|lines| xxh3_64_with_seed(lines.as_bytes(), self.seed) == run.hash)
        };
        let skipped = self.runs.get(self.next..)?.iter().take(1 + VANISHED_MAX).position(is)?;
        self.runs.drain(self.next..self.next + skipped);
        let run = self.runs.get(self.next)?;
        self.next += 1;
        Some((Comments { bytes: run.bytes as usize, kind: run.kind }, run.declared))
    }

    /// Lines are read that are not known; `declared` is the sum before them.
    pub(super) fn begin(&mut self, declared: u64) {
        self.before = declared;
    }

    /// These were the lines; `declared` is the sum after them.
    pub(super) fn remember(&mut self, lines: &str, kind: Option<MetricKind>, declared: u64) {
        // An answer is limited to much less than what does not fit.
        let Ok(bytes) = u32::try_from(lines.len()) else { return };
        let run = Run {
            hash: xxh3_64_with_seed(lines.as_bytes(), self.seed),
            declared: declared.wrapping_sub(self.before),
            bytes,
            kind,
        };
        self.runs.insert(self.next, run);
        self.next += 1;
    }

    /// Ends an answer that broke off, if one came at all. What stood behind that place is forgotten, or answers that
    /// never end well would be remembered without a bound.
    pub(super) fn break_off(&mut self) {
        if self.next > 0 {
            self.runs.truncate(self.next);
        }
    }

    /// Ends a good answer: what it did not have is forgotten.
    pub(super) fn forget_unseen(&mut self) {
        self.runs.truncate(self.next);
        if self.runs.capacity() > self.runs.len() + self.runs.len() / 4 {
            self.runs.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(super) const fn count(&self) -> usize {
        self.runs.len()
    }
}
