//! Committing: how a batch becomes durable and then visible.
//!
//! ```text
//!  reserve ────► encode, checksum ────► queue ─► log ────► apply
//!  by pages      outside of locks       one writes for     by pages, behind
//!                                       all that wait      the gate
//! ```
//!
//! Any number of batches are *in flight* at once, on all cores. They hold `flight` shared. A batch first keeps the
//! places of its samples: each must be newer than everything of its series that is visible or in flight. Then whatever
//! becomes of the others, its samples are fine; that is what lets it go ahead without a look at the others' fate. The
//! frames are written in groups: whoever finds the log free becomes the leader, takes every frame that waits by then,
//! writes and syncs them as one, and leaves each its result. Then each batch makes itself visible.
//!
//! A batch that cannot keep all places (another one in flight has the same time, or a later one; or it holds late
//! samples) takes `flight` alone: nothing else is in flight then, each of its samples is judged by what is visible, and
//! those that are refused are named to the sender. So nothing that is acknowledged is ever dropped. Whoever has `flight`
//! alone takes along what else waits for it, as far as no two of them have samples of the same series: their frames are
//! written and synced as one, too.
//!
//! Two batches in flight may become visible in the other order than that of the log. Where they have samples of the
//! same series, the older one then joins the late samples, and readers see the same as after a replay.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use model::{AppendError, Exemplar, Refused, SeriesRef, Timestamp};
use parking_lot::Mutex;

use super::Shared;
use super::append::{At, Batch, BatchPage, Column};
use super::late::find_in_blocks;
use crate::block::Block;
use crate::error::{Error, Result};
use crate::head::page::{PageData, Rules, slots_of};
use crate::head::{Counters, Head, SampleValue, TimedSample, Verdict};
use crate::wal::{begin_frame, finish_frame, record};

/// What the definition of a series takes in the log besides its labels: its id and how long they are.
const DEFINITION_BYTES_MAX: usize = 10;

/// A frame that waits for its turn.
pub(super) struct Pending {
    frame: Vec<u8>,
    result: OnceLock<std::result::Result<(), Arc<Error>>>,
}

/// What became of a batch: what of it was refused, or why nothing of it was taken.
type Committed = std::result::Result<Vec<Refused>, Arc<Error>>;

/// A batch that waits to be in flight alone.
pub(super) struct Waiting {
    batch: Mutex<Batch>,
    result: OnceLock<Committed>,
}

/// What the samples of a batch are judged by, and what has been found so far.
struct Settling<'a> {
    rules: Rules,
    blocks: &'a [Arc<Block>],
    /// The samples of the batch that stay.
    seen: HashMap<(At, i64), SampleValue, RandomState>,
    refused: Vec<Refused>,
}

impl Batch {
    /// Whether no series of the batch is among those that are `taken`, by page, which its own then are.
    fn is_apart(&self, taken: &mut HashMap<usize, u64, RandomState>) -> bool {
        let number = |page: &BatchPage| Arc::as_ptr(&page.page).addr();
        if self.pages.iter().any(|page| taken.get(&number(page)).is_some_and(|bits| bits & page.used != 0)) {
            return false;
        }
        self.pages.iter().for_each(|page| *taken.entry(number(page)).or_default() |= page.used);
        true
    }

    /// Goes through a column, all neighbours under one lock, until `each` says no. Says whether it never did.
    fn by_page<T>(
        &self,
        column: &Column<T>,
        mut each: impl FnMut(&mut PageData, usize, usize) -> bool,
    ) -> bool {
        let mut index = 0;
        while let Some(first) = column.at.get(index) {
            let mut data = self.pages[first.page()].page.lock();
            while let Some(at) = column.at.get(index).filter(|at| at.page() == first.page()) {
                if !each(&mut data, at.slot(), index) {
                    return false;
                }
                index += 1;
            }
        }
        true
    }

    fn reserve_column<T>(&self, column: &Column<T>, min_valid: i64) -> bool {
        self.by_page(column, |data, slot, index| {
            let time = column.times[index];
            time >= min_valid && data.reserve(slot, time)
        })
    }

    /// Keeps the places of all samples, if each is newer than all that is visible or in flight.
    fn reserve(&self, min_valid: i64) -> bool {
        let exemplars_fit = self.exemplars.iter().all(|(_, e)| e.timestamp.millis() >= min_valid);
        exemplars_fit
            && self.reserve_column(&self.floats, min_valid)
            && self.reserve_column(&self.histograms, min_valid)
    }

    /// Gives all places up. Only for those who have `flight` alone.
    fn release(&self) {
        self.pages.iter().for_each(|page| page.page.lock().release(page.used));
    }

    /// Judges a column by what is visible. Repeated samples go, since they are there; refused ones are named.
    fn settle_column<T>(
        &self,
        column: &Column<T>,
        value: impl Fn(&T) -> SampleValue,
        is_preceded: impl Fn(At, i64, usize) -> bool,
        settling: &mut Settling<'_>,
    ) -> Result<Vec<bool>> {
        let Settling { rules, blocks, seen, refused } = settling;
        let rules = *rules;
        let mut failed = None;
        let mut keep = Vec::with_capacity(column.at.len());
        self.by_page(column, |data, slot, index| {
            let (at, time, value) = (column.at[index], column.times[index], value(&column.values[index]));
            let verdict = match seen.get(&(at, time)) {
                Some(known) if known.bits_equal(&value) => Ok(Verdict::Repeat),
                Some(_) => Err(AppendError::DuplicateTimestamp),
                None => match data.judge(slot, time, &value, rules) {
                    Ok(Verdict::Late) if time < rules.min_valid => {
                        let labels =
                            data.series(slot).map(|series| series.labels.clone()).unwrap_or_default();
                        match find_in_blocks(blocks, &labels, time) {
                            Ok(None) => Ok(Verdict::Late),
                            Ok(Some(known)) if known.bits_equal(&value) => Ok(Verdict::Repeat),
                            Ok(Some(_)) => Err(AppendError::DuplicateTimestamp),
                            Err(error) => {
                                failed = Some(error);
                                return false;
                            }
                        }
                    }
                    judged => judged,
                },
            };
            let verdict = match verdict {
                Ok(Verdict::Add | Verdict::Late) if is_preceded(at, time, index) => {
                    Err(AppendError::DuplicateTimestamp)
                }
                judged => judged,
            };
            keep.push(verdict == Ok(Verdict::Add) || verdict == Ok(Verdict::Late));
            match verdict {
                Ok(Verdict::Repeat) => {}
                Ok(_) => drop(seen.insert((at, time), value)),
                Err(error) => refused.push(Refused {
                    series: SeriesRef(u64::from(self.id(at))),
                    timestamp: Timestamp::from_millis(time),
                    error,
                }),
            }
            true
        });
        failed.map_or(Ok(keep), Err)
    }

    /// How many floats the batch had when the first histogram of a series and time came. A float that came later can
    /// only be refused: whatever is visible at that time would have been found by it, too.
    fn histograms_first(&self) -> HashMap<(At, i64), usize, RandomState> {
        let mut first = HashMap::default();
        if !self.floats.at.is_empty() {
            let histograms = self.histograms.at.iter().zip(&self.histograms.times).zip(&self.floats_before);
            for ((at, time), floats_before) in histograms {
                first.entry((*at, *time)).or_insert(*floats_before);
            }
        }
        first
    }

    /// Leaves out what is not fine any more, and says what that is. Only for those who have `flight` alone.
    /// What belongs to a block is compared with what that has.
    fn settle(&mut self, rules: Rules, blocks: &[Arc<Block>]) -> Result<Vec<Refused>> {
        let mut settling = Settling { rules, blocks, seen: HashMap::default(), refused: Vec::new() };
        let histograms_first = self.histograms_first();
        let float = |value: &f64| SampleValue::Float(*value);
        let is_preceded = |at, time, index| {
            histograms_first.get(&(at, time)).is_some_and(|floats_before| *floats_before <= index)
        };
        let (floats, histograms) = (&self.floats, &self.histograms);
        let keep = self.settle_column(floats, float, is_preceded, &mut settling)?;
        let histogram = |value: &Arc<_>| SampleValue::Histogram(Arc::clone(value));
        // Floats that precede are among those seen.
        let keep_histograms = self.settle_column(histograms, histogram, |_, _, _| false, &mut settling)?;
        self.floats.retain(&keep);
        self.histograms.retain(&keep_histograms);
        let mut refused = settling.refused;
        let (exemplars, old) = std::mem::take(&mut self.exemplars)
            .into_iter()
            .partition(|(_, exemplar)| exemplar.timestamp.millis() >= rules.min_valid);
        self.exemplars = exemplars;
        refused.extend(old.into_iter().map(|(at, exemplar): (At, Exemplar)| Refused {
            series: SeriesRef(u64::from(self.id(at))),
            timestamp: exemplar.timestamp,
            error: AppendError::OutOfBounds,
        }));
        Ok(refused)
    }

    /// The batch as one frame. Series that the log does not know yet are defined first, perhaps by two batches at once.
    fn encode(&self, min_valid: i64) -> Result<Vec<u8>> {
        let (mut fresh, mut fresh_count, mut fresh_bytes) = (Vec::new(), 0, 0);
        for page in &self.pages {
            let data = page.page.lock();
            let unlogged = data.unlogged(page.used);
            if unlogged != 0 {
                let series = slots_of(unlogged).filter_map(|slot| data.series(slot));
                let lengths = series.map(|series| series.labels.as_encoded().len() + DEFINITION_BYTES_MAX);
                (fresh_count, fresh_bytes) = lengths
                    .fold((fresh_count, fresh_bytes), |(count, bytes), more| (count + 1, bytes + more));
                fresh.push((page, unlogged));
            }
        }
        let samples_bytes = self.floats.at.len() * 6 + self.histograms.at.len() * 64 + 64;
        let mut body = begin_frame(fresh_bytes + samples_bytes);
        if fresh_count > 0 {
            record::begin_series(&mut body, fresh_count);
        }
        for (page, unlogged) in fresh {
            let data = page.page.lock();
            for series in slots_of(unlogged).filter_map(|slot| data.series(slot)) {
                record::put_one_series(&mut body, series.id, series.labels);
            }
        }
        let ids = |at: &[At]| at.iter().map(|at| self.id(*at)).collect::<Vec<u32>>();
        let (floats, late_floats) = self.floats.split_before(min_valid);
        if !floats.at.is_empty() {
            record::put_floats(&mut body, &floats.columns(&ids(&floats.at)));
        }
        let (histograms, late_histograms) = self.histograms.split_before(min_valid);
        if !histograms.at.is_empty() {
            record::put_histograms(&mut body, &histograms.columns(&ids(&histograms.at)));
        }
        let late = late_floats.items().map(|(time, start, value)| TimedSample {
            time,
            start,
            value: SampleValue::Float(*value),
        });
        record::put_late(&mut body, &ids(&late_floats.at), late);
        let late = late_histograms.items().map(|(time, start, value)| TimedSample {
            time,
            start,
            value: SampleValue::Histogram(value.clone()),
        });
        record::put_late(&mut body, &ids(&late_histograms.at), late);
        if !self.exemplars.is_empty() {
            let ids: Vec<u32> = self.exemplars.iter().map(|(at, _)| self.id(*at)).collect();
            let exemplars: Vec<&Exemplar> = self.exemplars.iter().map(|(_, exemplar)| exemplar).collect();
            record::put_exemplars(&mut body, &ids, &exemplars);
        }
        if !self.metadata.is_empty() {
            record::put_metadata(&mut body, self.metadata.iter().map(|(family, m)| (family.as_str(), m)));
        }
        finish_frame(body)
    }

    /// Makes the batch visible.
    fn apply(&self, head: &Head) {
        for page in &self.pages {
            page.page.lock().set_logged(page.used);
        }
        let range = head.block_range_ms;
        let (mut taken, mut oldest, mut newest) = (0, i64::MAX, i64::MIN);
        let min_valid = head.min_valid();
        let mut note = |added: bool, time: i64| {
            taken += u64::from(added);
            newest = newest.max(time);
            if time >= min_valid {
                oldest = oldest.min(time);
            }
            true
        };
        let floats = &self.floats;
        self.by_page(floats, |data, slot, index| {
            let (time, start, value) = (floats.times[index], floats.start(index), floats.values[index]);
            let added = if time < min_valid {
                data.add_late(slot, TimedSample { time, start, value: SampleValue::Float(value) })
            } else {
                data.add_float(slot, (time, start), value, range)
            };
            note(added, time)
        });
        let histograms = &self.histograms;
        let mut histograms_taken = 0;
        self.by_page(histograms, |data, slot, index| {
            let value = SampleValue::Histogram(histograms.values[index].clone());
            let time = histograms.times[index];
            let sample = TimedSample { time, start: histograms.start(index), value };
            let added =
                if time < min_valid { data.add_late(slot, sample) } else { data.add(slot, sample, range) };
            histograms_taken += u64::from(added);
            note(added, time)
        });
        for page in &self.pages {
            let data = page.page.lock();
            // What is noted of a page is of all its series, as long as one sender has them.
            if data.are_all(page.used) {
                head.note_seen(&data, page.used);
            }
        }
        // Counted once per batch: these are written by every committing thread.
        head.saw_times(oldest, newest);
        Counters::add(&head.counters.samples_appended, taken);
        if histograms_taken > 0 {
            Counters::add(&head.counters.histograms_appended, histograms_taken);
        }
        let mut exemplars = 0;
        for (at, exemplar) in &self.exemplars {
            let mut data = self.pages[at.page()].page.lock();
            exemplars += u64::from(data.add_exemplar(at.slot(), exemplar));
        }
        Counters::add(&head.counters.exemplars_appended, exemplars);
        for (family, metadata) in &self.metadata {
            head.set_metadata(family, metadata);
        }
    }
}

impl Shared {
    /// Whether any series may take a sample of that time.
    pub(super) fn check_bounds(&self, time: i64, rules: Rules) -> std::result::Result<(), AppendError> {
        match rules.late_from {
            Some(from) if time < from.min(rules.min_valid) => Err(AppendError::TooOld),
            None if time < rules.min_valid => Err(AppendError::OutOfBounds),
            _ => Ok(()),
        }
    }

    /// Notes how far back a batch goes, before it waits for any lock: as far as it would be refused had its range been
    /// cut.
    fn note_arrival(&self, batch: &Batch) {
        let rules = self.rules();
        let refused_before = rules.late_from.unwrap_or(i64::MAX);
        let times = batch.floats.times.iter().chain(&batch.histograms.times).copied();
        let oldest = times.filter(|time| (rules.min_valid..refused_before).contains(time)).min();
        if let Some(oldest) = oldest {
            self.arrivals.note(oldest, self.clock.now().millis());
        }
    }

    /// Makes a batch durable and visible, and says what of it could not be taken any more.
    pub(super) fn commit(&self, batch: Batch) -> Committed {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.note_arrival(&batch);
        if !batch.late {
            let flight = self.flight.read();
            if batch.reserve(self.head.min_valid()) {
                let written = self.write(&batch);
                if written.is_ok() {
                    let _pass = self.gate.write();
                    batch.apply(&self.head);
                } else {
                    drop(flight);
                    let _alone = self.flight.write();
                    batch.release();
                }
                return written.map(|()| Vec::new());
            }
        }
        let waiting = Arc::new(Waiting { batch: Mutex::new(batch), result: OnceLock::new() });
        self.waiting.lock().push(waiting.clone());
        let _alone = self.flight.write();
        loop {
            // Whoever was alone before may have taken this batch along.
            if let Some(result) = waiting.result.get() {
                return result.clone();
            }
            self.commit_waiting();
        }
    }

    /// Commits those of the batches that wait whose series are not those of one that has waited for longer: at least
    /// one. Only for those who have `flight` alone: places that are still kept are those batches' own, or those of one
    /// that is about to give them up.
    fn commit_waiting(&self) {
        let mut taken = HashMap::default();
        let group: Vec<Arc<Waiting>> = {
            let mut waiting = self.waiting.lock();
            waiting.extract_if(.., |waiting| waiting.batch.lock().is_apart(&mut taken)).collect()
        };
        let blocks = self.view.read().blocks.clone();
        let (mut frames, mut written) = (Vec::new(), Vec::new());
        for waiting in &group {
            let mut batch = waiting.batch.lock();
            batch.release();
            let frame = batch.settle(self.rules(), &blocks).and_then(|refused| {
                let frame = if batch.is_empty() { None } else { Some(batch.encode(self.head.min_valid())?) };
                Ok((refused, frame))
            });
            // Each is in one group only.
            match frame {
                Err(error) => drop(waiting.result.set(Err(Arc::new(error)))),
                Ok((refused, None)) => drop(waiting.result.set(Ok(refused))),
                Ok((refused, Some(frame))) => {
                    frames.push(frame);
                    written.push((waiting, refused));
                }
            }
        }
        if frames.is_empty() {
            return;
        }
        let logged = match self.wal.lock().as_mut() {
            None => Err(Arc::new(Error::Closed)),
            Some(wal) => wal.append(&frames.concat(), self.clock.now()).map_err(Arc::new),
        };
        if logged.is_ok() {
            let _pass = self.gate.write();
            written.iter().for_each(|(waiting, _)| waiting.batch.lock().apply(&self.head));
        }
        for (waiting, refused) in written {
            let _ = waiting.result.set(logged.clone().map(|()| refused));
        }
    }

    /// Writes a batch to the log, together with all that wait for it.
    fn write(&self, batch: &Batch) -> std::result::Result<(), Arc<Error>> {
        let pending = Arc::new(Pending {
            frame: batch.encode(self.head.min_valid()).map_err(Arc::new)?,
            result: OnceLock::new(),
        });
        self.queue.lock().push(pending.clone());
        let mut wal = self.wal.lock();
        // Whoever had the log before may have taken this frame along.
        if let Some(result) = pending.result.get() {
            return result.clone();
        }
        let group = std::mem::take(&mut *self.queue.lock());
        let result = match wal.as_mut() {
            None => Err(Error::Closed),
            Some(wal) => match &group[..] {
                [alone] => wal.append(&alone.frame, self.clock.now()),
                all => {
                    let frames: Vec<&[u8]> = all.iter().map(|member| &member.frame[..]).collect();
                    wal.append(&frames.concat(), self.clock.now())
                }
            },
        };
        let result = result.map_err(Arc::new);
        for member in &group {
            // Each is in one group only.
            let _ = member.result.set(result.clone());
        }
        result
    }
}
