//! How a query is run: its plan as a tree of operators, and what each of them took.
//!
//! Operators hand their series upwards one by one, so that what is above works while what is below has not ended.
//! Time is counted where it is spent: that of an operator leaves out what those above it do with its series.

mod describe;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::QueryError;
use crate::exec::{Context, Series, Sink};
use crate::plan::{Plan, ScalarNode, VectorNode};

/// One operator of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// What it is: `select`, `window`, `aggregate`, ...
    pub name: &'static str,
    /// What it does, as PromQL writes it where it can.
    pub detail: String,
    /// The part of the query that it stands for, in bytes, where it is known.
    pub span: Option<(usize, usize)>,
    /// What it took, where the query was run.
    pub stats: Option<OperatorStats>,
    /// The operators whose answers it works on.
    pub inputs: Vec<Operator>,
}

/// What an operator took, its inputs included where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorStats {
    /// How often it was run: within a subquery or where it is shared other than once.
    pub runs: u64,
    /// Time.
    pub time: Duration,
    /// Time without that of its inputs.
    pub self_time: Duration,
    /// Series that it answered.
    pub series: u64,
    /// Samples that it answered.
    pub samples: u64,
    /// Samples read from storage.
    pub samples_read: u64,
    /// Most bytes held.
    pub peak_bytes: u64,
}

impl Operator {
    pub(crate) fn of(plan: &Plan, query: &str, profile: Option<&Profile>) -> Self {
        let mut operator = describe::plan(plan, query, profile);
        operator.subtract_inputs();
        operator
    }

    fn subtract_inputs(&mut self) {
        let inputs: Duration =
            self.inputs.iter().filter_map(|input| input.stats).map(|stats| stats.time).sum();
        if let Some(stats) = &mut self.stats {
            stats.self_time = stats.time.saturating_sub(inputs);
        }
        self.inputs.iter_mut().for_each(Self::subtract_inputs);
    }

    /// As indented text, one operator a line.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    fn write(&self, depth: usize, out: &mut String) {
        use std::fmt::Write as _;
        let _ = write!(out, "{:width$}{}", "", self.name, width = 2 * depth);
        if !self.detail.is_empty() {
            let _ = write!(out, " {}", self.detail);
        }
        if let Some(stats) = &self.stats {
            let _ = write!(
                out,
                " ({:?}, {} series, {} samples, {} read, {} bytes)",
                stats.self_time, stats.series, stats.samples, stats.samples_read, stats.peak_bytes
            );
        }
        out.push('\n');
        self.inputs.iter().for_each(|input| input.write(depth + 1, out));
    }
}

/// A part of a plan that is timed, told apart by where it is in memory: a plan does not move while it runs.
pub(crate) trait Timed {
    fn key(&self) -> Key;
}

/// A scalar may start where the vector made of it does.
pub(crate) type Key = (usize, bool);

impl Timed for VectorNode {
    fn key(&self) -> Key {
        (std::ptr::from_ref(self).addr(), false)
    }
}

impl Timed for ScalarNode {
    fn key(&self) -> Key {
        (std::ptr::from_ref(self).addr(), true)
    }
}

/// What the operators of one query took.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    entries: HashMap<Key, Entry>,
    /// The most that the query has held since whoever runs last looked.
    held_most: AtomicU64,
}

#[derive(Debug, Default)]
struct Entry {
    runs: AtomicU64,
    nanos: AtomicU64,
    series: AtomicU64,
    samples: AtomicU64,
    samples_read: AtomicU64,
    peak_bytes: AtomicU64,
}

impl Profile {
    /// An account for every operator of the plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut profile = Self::default();
        describe::each_key(plan, &mut |key| {
            profile.entries.insert(key, Entry::default());
        });
        profile
    }

    /// Starts to count for an operator.
    pub(crate) fn enter<'p>(&'p self, node: &impl Timed, cx: &Context<'_>) -> Visit<'p> {
        let held = cx.held_bytes();
        Visit {
            profile: self,
            entry: self.entries.get(&node.key()),
            started: Instant::now(),
            above: Duration::ZERO,
            baseline: held,
            most: held,
            around: self.held_most.swap(held, Ordering::Relaxed),
            read_before: cx.samples_read(),
        }
    }

    /// Takes note of what the query holds.
    pub(crate) fn note_held(&self, bytes: u64) {
        self.held_most.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, key: Key) -> Option<OperatorStats> {
        let entry = self.entries.get(&key)?;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some(OperatorStats {
            runs: of(&entry.runs),
            time: Duration::from_nanos(of(&entry.nanos)),
            self_time: Duration::ZERO,
            series: of(&entry.series),
            samples: of(&entry.samples),
            samples_read: of(&entry.samples_read),
            peak_bytes: of(&entry.peak_bytes),
        })
    }
}

/// One run of an operator.
pub(crate) struct Visit<'p> {
    profile: &'p Profile,
    entry: Option<&'p Entry>,
    started: Instant,
    /// Spent by the operators above on the series of this one.
    above: Duration,
    /// What is held that is not this operator's: from before it, and by those above it.
    baseline: u64,
    /// The most held while it ran, whoever held it.
    most: u64,
    /// The same of the operator around, from before this one.
    around: u64,
    read_before: u64,
}

impl Visit<'_> {
    /// Hands a series upwards.
    pub(crate) fn passed(
        &mut self,
        series: Series,
        cx: &Context<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let Some(entry) = self.entry else { return sink(series) };
        entry.series.fetch_add(1, Ordering::Relaxed);
        entry.samples.fetch_add(series.column.sample_count() as u64, Ordering::Relaxed);
        let held = cx.held_bytes();
        self.note_own(held);
        let started = Instant::now();
        let result = sink(series);
        self.above += started.elapsed();
        let held_after = cx.held_bytes();
        self.most = self.most.max(self.profile.held_most.swap(held_after, Ordering::Relaxed));
        self.baseline = (self.baseline + held_after).saturating_sub(held);
        result
    }

    /// Takes note of what the operator held since the last look.
    fn note_own(&mut self, held_now: u64) {
        let most = self.profile.held_most.swap(held_now, Ordering::Relaxed);
        self.most = self.most.max(most);
        if let Some(entry) = self.entry {
            entry.peak_bytes.fetch_max(most.saturating_sub(self.baseline), Ordering::Relaxed);
        }
    }

    /// The operator has ended.
    pub(crate) fn leave(mut self, cx: &Context<'_>) {
        self.note_own(cx.held_bytes());
        self.profile.note_held(self.most.max(self.around));
        let Some(entry) = self.entry else { return };
        let spent = self.started.elapsed().saturating_sub(self.above);
        entry.runs.fetch_add(1, Ordering::Relaxed);
        entry.nanos.fetch_add(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        entry.samples_read.fetch_add(cx.samples_read() - self.read_before, Ordering::Relaxed);
    }
}
