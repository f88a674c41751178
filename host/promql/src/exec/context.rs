//! What every operator of one query shares: storage, limits, annotations.

use std::num::NonZero;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use model::{Labels, Timestamp, Windows};

use super::column::is_metric_label;
use super::shared::Held;
use super::signature::{BySignature, PLACE_BYTES, Signatures};
use super::{Series, Size};
use crate::annotations::Annotations;
use crate::engine::QueryControl;
use crate::error::QueryError;
use crate::explain::Profile;
use crate::memory::Lease;
use crate::read::{Columns, Select, SeriesReader, Storage, UNKNOWN_START};
use crate::stats::{QueryStats, Timings};

/// The times of an evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// Time of the first step, in milliseconds.
    pub(crate) start: i64,
    /// From step to step; at least one.
    pub(crate) step: i64,
    pub(crate) count: usize,
    /// For how many steps of the query a sample counts that is looked at here. Within a subquery it is none:
    /// what the subquery comes to counts where it is used.
    weight: usize,
}

impl Grid {
    /// The steps of a query.
    pub(crate) const fn at(start: i64, step: i64, count: usize) -> Self {
        Self { start, step, count, weight: 1 }
    }

    /// The steps of a subquery.
    pub(crate) const fn within(start: i64, step: i64, count: usize) -> Self {
        Self { start, step, count, weight: 0 }
    }

    pub(crate) fn time(self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(step as i64))
    }

    pub(crate) fn end(self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    pub(crate) fn first_step(self) -> Self {
        Self { count: self.count.min(1), weight: self.weight.saturating_mul(self.count), ..self }
    }
}

/// A quantity that comes and goes, and the most that there was of it.
#[derive(Default)]
struct Gauge {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    fn add(&self, amount: u64) -> u64 {
        let now = self.now.fetch_add(amount, Ordering::Relaxed) + amount;
        self.peak.fetch_max(now, Ordering::Relaxed);
        now
    }

    fn subtract(&self, amount: u64) {
        self.now.fetch_sub(amount, Ordering::Relaxed);
    }

    fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Asked for once: the system reads files to find out.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZero::get));

/// What every operator of one query shares.
pub(crate) struct Context<'q> {
    pub(crate) storage: &'q dyn Storage,
    pub(crate) control: &'q QueryControl,
    pub(crate) deadline: Instant,
    /// When the caller's thread has no more time for it.
    quick_until: Option<Instant>,
    pub(crate) lookback_ms: i64,
    pub(crate) delayed_name_removal: bool,
    pub(crate) use_start_timestamps: bool,
    pub(crate) type_and_unit_labels: bool,
    /// At least one.
    pub(crate) threads: usize,
    /// Whether this is an instant query, in which order means something.
    pub(crate) instant: bool,
    /// The query's step where it has one, for storages with coarser copies.
    pub(crate) step_ms: Option<i64>,
    pub(crate) samples_max: u64,
    pub(crate) notes: Annotations,
    pub(crate) shared: Held,
    pub(crate) bytes_max: u64,
    /// What operators took, where the caller wants to know.
    pub(crate) profile: Option<Profile>,
    held: Gauge,
    held_bytes: Gauge,
    samples_read: AtomicU64,
    samples_looked_at: AtomicU64,
    /// The same by step; empty where nobody asked.
    looked_at_by_step: Vec<AtomicU64>,
    lease: Lease,
}

impl<'q> Context<'q> {
    pub(crate) fn new(
        storage: &'q dyn Storage,
        control: &'q QueryControl,
        options: &crate::engine::EngineOptions,
        lease: Lease,
        instant: bool,
        step_ms: Option<i64>,
    ) -> Self {
        let now = Instant::now();
        let timeout = now + options.timeout;
        Self {
            storage,
            control,
            deadline: control.deadline.map_or(timeout, |deadline| deadline.min(timeout)),
            quick_until: control.quick.and_then(|quick| now.checked_add(quick)),
            lookback_ms: i64::try_from(options.lookback.as_millis()).unwrap_or(i64::MAX),
            delayed_name_removal: options.features.delayed_name_removal,
            use_start_timestamps: options.features.use_start_timestamps,
            type_and_unit_labels: options.features.type_and_unit_labels,
            threads: match options.threads {
                _ if control.quick.is_some() => 1,
                0 => *PROCESSORS,
                threads => threads,
            },
            instant,
            step_ms,
            samples_max: options.samples_max,
            notes: Annotations::default(),
            shared: Held::default(),
            bytes_max: options.bytes_max,
            profile: None,
            held: Gauge::default(),
            held_bytes: Gauge::default(),
            samples_read: AtomicU64::new(0),
            samples_looked_at: AtomicU64::new(0),
            looked_at_by_step: Vec::new(),
            lease,
        }
    }

    /// How far apart data may be that these steps look at; a subquery's steps are closer than the query's.
    pub(crate) fn coarse_step_ms(&self, grid: Grid) -> Option<i64> {
        self.step_ms.map(|step| step.min(grid.step))
    }

    /// Counts samples that are looked at by step, too.
    pub(crate) fn count_by_step(&mut self, count: usize) {
        self.looked_at_by_step.resize_with(count, AtomicU64::default);
    }

    /// What the query took, its annotations, and its account with the pool.
    pub(crate) fn finish(self, grid: Grid, timings: Timings) -> (QueryStats, Annotations, Lease) {
        let steps = self.looked_at_by_step.iter().enumerate();
        let by_step = steps
            .map(|(step, count)| (Timestamp::from_millis(grid.time(step)), count.load(Ordering::Relaxed)));
        let stats = QueryStats {
            samples_read: self.samples_read(),
            queryable_samples: self.samples_looked_at.load(Ordering::Relaxed),
            queryable_samples_per_step: by_step.collect(),
            peak_samples: self.held.peak(),
            peak_bytes: self.held_bytes.peak(),
            timings,
        };
        (stats, self.notes, self.lease)
    }

    /// Whether the query may go on; asked once per series by whatever produces them.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.lease.check()?;
        self.check_caller()
    }

    /// Whether anybody still waits for the answer.
    fn check_caller(&self) -> Result<(), QueryError> {
        if self.control.is_canceled() {
            return Err(QueryError::Canceled);
        }
        let now = Instant::now();
        if now >= self.deadline {
            return Err(QueryError::Timeout);
        }
        if self.quick_until.is_some_and(|until| now >= until) {
            return Err(QueryError::NotQuick);
        }
        Ok(())
    }

    /// Whether it may go on to wait for memory, or for a function of somebody else.
    pub(crate) fn check_wait(&self) -> Result<(), QueryError> {
        if self.quick_until.is_some() {
            return Err(QueryError::NotQuick);
        }
        self.check_caller()
    }

    /// The series that a request selects, and what their readers hold.
    pub(crate) fn select(
        &self,
        request: &Select<'_>,
        ordered: bool,
    ) -> Result<(Vec<Box<dyn SeriesReader>>, Size), QueryError> {
        let readers = match ordered {
            true => self.storage.select(request)?,
            false => self.storage.select_unordered(request)?,
        };
        let held = readers.iter().map(|reader| Size::of_reader(reader.labels())).sum();
        self.hold(held)?;
        Ok((readers, held))
    }

    /// Reads the samples of one series. Start timestamps are one for every sample then, or none at all.
    pub(crate) fn read(
        &self,
        reader: &dyn SeriesReader,
        start: Timestamp,
        end: Timestamp,
        columns: &mut Columns,
    ) -> Result<(), QueryError> {
        columns.clear();
        reader.read(start, end, columns)?;
        self.even_starts(columns);
        Ok(())
    }

    /// The same of what `windows` hold: summaries in place of samples where storage has them.
    pub(crate) fn read_windows(
        &self,
        reader: &dyn SeriesReader,
        windows: &Windows,
        columns: &mut Columns,
    ) -> Result<(), QueryError> {
        columns.clear();
        reader.read_windows(windows, columns)?;
        self.even_starts(columns);
        Ok(())
    }

    fn even_starts(&self, columns: &mut Columns) {
        let even = |starts: &mut Vec<Timestamp>, count: usize| {
            if !self.use_start_timestamps {
                starts.clear();
            } else if !starts.is_empty() {
                starts.resize(count, UNKNOWN_START);
            }
        };
        even(&mut columns.start_timestamps, columns.timestamps.len());
        even(&mut columns.histogram_start_timestamps, columns.histograms.len());
    }

    /// Counts what is now held in memory.
    pub(crate) fn hold(&self, size: Size) -> Result<(), QueryError> {
        let (samples, bytes) = (self.held.add(size.samples), self.held_bytes.add(size.bytes));
        if let Some(profile) = &self.profile {
            profile.note_held(bytes);
        }
        if samples > self.samples_max {
            return Err(QueryError::TooManySamples);
        }
        if bytes > self.bytes_max {
            return Err(QueryError::TooMuchMemory { limit_bytes: self.bytes_max });
        }
        self.lease.cover(bytes, &|| self.check_wait())
    }

    pub(crate) fn samples_read(&self) -> u64 {
        self.samples_read.load(Ordering::Relaxed)
    }

    /// How many bytes are held.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.now.load(Ordering::Relaxed)
    }

    pub(crate) fn release(&self, size: Size) {
        self.held.subtract(size.samples);
        self.held_bytes.subtract(size.bytes);
    }

    pub(crate) fn count_read(&self, samples: u64) {
        self.samples_read.fetch_add(samples, Ordering::Relaxed);
    }

    /// Counts samples of one series that `grid` looks at, all steps together, and by step where that is wanted.
    pub(crate) fn count_looked_at(&self, grid: Grid, samples: u64, by_step: impl Fn(usize) -> u64) {
        if grid.weight == 0 || samples == 0 {
            return;
        }
        self.samples_looked_at.fetch_add(samples.saturating_mul(grid.weight as u64), Ordering::Relaxed);
        if self.looked_at_by_step.is_empty() {
            return;
        }
        for (step, count) in self.looked_at_by_step.iter().enumerate() {
            // What is evaluated at the first step alone holds for all of them.
            let step = if grid.weight > 1 { 0 } else { step };
            if step < grid.count {
                count.fetch_add(by_step(step), Ordering::Relaxed);
            }
        }
    }

    /// Drops the metric's name from a series, at once or when the query is done.
    pub(crate) fn drop_name(&self, series: &mut Series) {
        if self.delayed_name_removal {
            series.drop_name = true;
        } else {
            series.labels = series.labels.without(is_metric_label);
        }
    }
}

/// Refuses a second series of the same labels below an operator that removes names at once.
///
/// Series of one metric come in the order of their labels, and are still in order without its name: as long as that
/// is so, none can be there twice. Of what came, signatures are kept.
pub(crate) struct Distinct<'c, 'q> {
    cx: &'c Context<'q>,
    wanted: bool,
    last: Option<Labels>,
    signatures: Signatures,
    /// Those of all that came, as long as they came in order.
    ordered: Vec<u128>,
    /// The same, once they did not.
    seen: BySignature<()>,
    held: Size,
}

impl<'c, 'q> Distinct<'c, 'q> {
    pub(crate) fn new(cx: &'c Context<'q>) -> Self {
        Self {
            cx,
            wanted: !cx.delayed_name_removal,
            last: None,
            signatures: Signatures::new(),
            ordered: Vec::new(),
            seen: BySignature::default(),
            held: Size::default(),
        }
    }

    pub(crate) fn check(&mut self, labels: &Labels) -> Result<(), QueryError> {
        if !self.wanted {
            return Ok(());
        }
        let size = Size::of_bytes(PLACE_BYTES);
        self.cx.hold(size)?;
        self.held = self.held + size;
        let signature = self.signatures.of(labels.as_encoded());
        if self.seen.is_empty() {
            if self.last.as_ref().is_none_or(|last| last < labels) {
                self.ordered.push(signature);
                self.last = Some(labels.clone());
                return Ok(());
            }
            self.seen.extend(std::mem::take(&mut self.ordered).into_iter().map(|signature| (signature, ())));
        }
        if self.seen.insert(signature, ()).is_none() { Ok(()) } else { Err(same_labelset()) }
    }
}

impl Drop for Distinct<'_, '_> {
    fn drop(&mut self) {
        self.cx.release(self.held);
    }
}

pub(crate) fn same_labelset() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}
