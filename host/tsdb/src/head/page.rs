//! A page of the head: neighbouring ids under one lock, field by field.
//!
//! Ids are given out one after the other, and a sender's series come in the order in which they came first. A batch
//! therefore goes through few pages, takes each lock once, and finds what it looks at side by side: a comparison of
//! times reads eight series from a cache line. The page is the shard of the head. Pages are small, since they go only
//! with their last series.
//!
//! What always holds of each series:
//! * samples in chunks and in the open chunk strictly increase in time, up to `newest`; *late* ones, which came when
//!   `newest` was past them already, are kept apart and have times that no other sample has;
//! * `reserved` is `newest` or later: up to there, samples are on their way through the log (see [`crate::db`]).

use model::staleness::is_stale;
use model::{AppendError, Exemplar, Labels};
use parking_lot::{Mutex, MutexGuard};

use super::rare::Rare;
use super::series::{SampleValue, SeriesIn, TimedSample, Verdict};
use super::sightings::Sighting;
use super::{OpenChunk, judge_exemplar};
use crate::chunk::Chunk;
use crate::starts::{Starts, UNKNOWN_START};

/// Series of one page. One bit each in a word.
pub(crate) const PAGE_SERIES: usize = 64;

/// The open chunk of a series that has ended is sealed from so many samples on: fewer take less than sealing them would.
const ENDED_SAMPLES_MIN: usize = 16;

/// No time yet.
const NEVER: i64 = i64::MIN;

/// Neighbouring series.
pub(crate) struct Page {
    pub(crate) number: u32,
    data: Mutex<PageData>,
}

/// The series, field by field.
pub(crate) struct PageData {
    first_id: u32,
    /// One bit for each series that is there.
    taken: u64,
    /// One bit for each series of which the log (or a checkpoint) says which labels its id stands for.
    logged: u64,
    /// One bit for each series that may have late samples.
    late: u64,
    chunk_count: u32,
    reserved: [i64; PAGE_SERIES],
    newest: [i64; PAGE_SERIES],
    pub(super) open: [Option<OpenChunk>; PAGE_SERIES],
    pub(super) labels: [Option<Labels>; PAGE_SERIES],
    pub(super) rare: [Option<Box<Rare>>; PAGE_SERIES],
    /// Of the samples of open chunks, where any series of the page has any: most pages have none, and pay one word.
    starts: Option<Box<[Starts; PAGE_SERIES]>>,
}

/// What is taken at the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Everything before this time is in blocks.
    pub(crate) min_valid: i64,
    /// Samples that are not the newest of their series are taken from this time on, where they are at all.
    pub(crate) late_from: Option<i64>,
}

/// The places of the bits that are set.
pub(crate) fn slots_of(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(slot)
    })
}

impl Page {
    pub(super) fn new(number: u32) -> Self {
        let data = PageData {
            first_id: number * PAGE_SERIES as u32,
            taken: 0,
            logged: 0,
            late: 0,
            chunk_count: 0,
            reserved: [NEVER; PAGE_SERIES],
            newest: [NEVER; PAGE_SERIES],
            open: [const { None }; PAGE_SERIES],
            labels: [const { None }; PAGE_SERIES],
            rare: [const { None }; PAGE_SERIES],
            starts: None,
        };
        Self { number, data: Mutex::new(data) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PageData> {
        self.data.lock()
    }

    pub(crate) const fn id(&self, slot: usize) -> u32 {
        self.number * PAGE_SERIES as u32 + slot as u32
    }
}

impl PageData {
    pub(super) fn put(&mut self, slot: usize, labels: Labels, logged: bool) {
        self.labels[slot] = Some(labels);
        self.taken |= 1 << slot;
        self.logged |= u64::from(logged) << slot;
    }

    pub(super) fn remove(&mut self, slot: usize) {
        let bit = !(1u64 << slot);
        (self.taken, self.logged, self.late) = (self.taken & bit, self.logged & bit, self.late & bit);
        (self.reserved[slot], self.newest[slot]) = (NEVER, NEVER);
        (self.open[slot], self.labels[slot], self.rare[slot]) = (None, None, None);
        self.take_open_starts(slot);
    }

    /// The starts of the samples of an open chunk.
    pub(super) fn open_starts(&self, slot: usize) -> Starts {
        self.starts.as_ref().map(|starts| starts[slot].clone()).unwrap_or_default()
    }

    fn take_open_starts(&mut self, slot: usize) -> Starts {
        self.starts.as_mut().map(|starts| std::mem::take(&mut starts[slot])).unwrap_or_default()
    }

    /// Notes the start of the newest sample of an open chunk.
    fn note_start(&mut self, slot: usize, start: i64) {
        if start == UNKNOWN_START && self.starts.is_none() {
            return;
        }
        let position = self.open[slot].as_ref().map_or(0, |open| open.count() as u32 - 1);
        let starts = self.starts.get_or_insert_with(|| Box::new([const { Starts::Unknown }; PAGE_SERIES]));
        starts[slot].push(position, start);
    }

    pub(super) const fn is_unused(&self) -> bool {
        self.taken == 0
    }

    /// How many chunks there are, open ones included.
    pub(crate) fn chunk_count(&self) -> u64 {
        u64::from(self.chunk_count)
    }

    /// The id of the first series.
    pub(crate) const fn first_id(&self) -> u32 {
        self.first_id
    }

    /// Whether there is a series.
    pub(crate) const fn has(&self, slot: usize) -> bool {
        self.taken >> slot & 1 == 1
    }

    /// The series there, if there is one.
    pub(crate) fn series(&self, slot: usize) -> Option<SeriesIn<'_>> {
        let labels = self.labels[slot].as_ref()?;
        Some(SeriesIn { id: self.first_id + slot as u32, labels, page: self, slot })
    }

    /// All series.
    pub(crate) fn all(&self) -> impl Iterator<Item = SeriesIn<'_>> {
        (0..PAGE_SERIES).filter_map(|slot| self.series(slot))
    }

    /// Whether these are all series that there are.
    pub(crate) const fn are_all(&self, slots: u64) -> bool {
        self.taken & !slots == 0
    }

    /// When the newest samples of those of `slots` are that have any.
    pub(super) fn sighting(&self, slots: u64) -> Sighting {
        let mut sighting = Sighting { slots: 0, first: i64::MAX, last: i64::MIN };
        for (slot, newest) in self.newest.iter().enumerate() {
            if slots >> slot & 1 == 1 && *newest != NEVER {
                sighting.slots |= 1 << slot;
                sighting.first = sighting.first.min(*newest);
                sighting.last = sighting.last.max(*newest);
            }
        }
        sighting
    }

    /// Which of `slots` have samples in `[start, end]`, one bit each: those that have for sure, and those that have to be
    /// asked one by one. `start` is not before what is in blocks. Looks at nothing but the newest sample's times, which
    /// lie side by side.
    pub(crate) fn seen_in(&self, slots: u64, start: i64, end: i64) -> (u64, u64) {
        let (mut newest_within, mut newer) = (0, 0);
        // Before its first sample, a series has not been seen at any time.
        let start = start.max(NEVER + 1);
        for (slot, newest) in self.newest.iter().enumerate() {
            newest_within |= u64::from((start..=end).contains(newest)) << slot;
            newer |= u64::from(*newest > end) << slot;
        }
        let slots = slots & self.taken;
        // Of what is in blocks, only late samples are left.
        let newer = if start > end { 0 } else { newer };
        (slots & newest_within, slots & !newest_within & (newer | self.late))
    }

    /// The time of the newest sample that was ever visible; the lowest number before the first one.
    pub(super) const fn newest(&self, slot: usize) -> i64 {
        self.newest[slot]
    }

    pub(super) const fn is_logged(&self, slot: usize) -> bool {
        self.logged >> slot & 1 == 1
    }

    /// Those of `slots` that the log does not know yet.
    pub(crate) const fn unlogged(&self, slots: u64) -> u64 {
        slots & self.taken & !self.logged
    }

    /// Notes that the log knows these series.
    pub(crate) const fn set_logged(&mut self, slots: u64) {
        self.logged |= slots & self.taken;
    }

    /// Keeps the place of a sample that is newer than everything there and on its way. Says whether it is.
    pub(crate) fn reserve(&mut self, slot: usize, time: i64) -> bool {
        let newest = time > self.reserved[slot];
        if newest {
            self.reserved[slot] = time;
        }
        newest
    }

    /// Forgets what was on its way. Only for those who know that nothing is.
    pub(crate) fn release(&mut self, slots: u64) {
        for slot in slots_of(slots) {
            self.reserved[slot] = self.newest[slot];
        }
    }

    /// What becomes of a sample, as far as the samples that are visible tell.
    pub(crate) fn judge(
        &self,
        slot: usize,
        time: i64,
        value: &SampleValue,
        rules: Rules,
    ) -> Result<Verdict, AppendError> {
        if time >= rules.min_valid && time > self.newest[slot] {
            return Ok(Verdict::Add);
        }
        let Some(late_from) = rules.late_from else {
            if time < rules.min_valid {
                return Err(AppendError::OutOfBounds);
            }
            return if time == self.newest[slot] {
                self.judge_repeat(slot, time, value)
            } else {
                Err(AppendError::OutOfOrder)
            };
        };
        match self.judge_repeat(slot, time, value)? {
            Verdict::Repeat => Ok(Verdict::Repeat),
            _ if time >= late_from => Ok(Verdict::Late),
            _ => Err(AppendError::TooOld),
        }
    }

    fn judge_repeat(&self, slot: usize, time: i64, value: &SampleValue) -> Result<Verdict, AppendError> {
        match self.find(slot, time) {
            Some(known) if known.bits_equal(value) => Ok(Verdict::Repeat),
            Some(_) => Err(AppendError::DuplicateTimestamp),
            None => Ok(Verdict::Late),
        }
    }

    /// The sample of exactly that time. Chunks are decoded where they must be.
    pub(crate) fn find(&self, slot: usize, time: i64) -> Option<SampleValue> {
        let open = self.open[slot].as_ref().filter(|open| open.meta().overlaps(time, time));
        open.and_then(|open| open.find(time)).or_else(|| self.rare[slot].as_ref()?.find(time))
    }

    /// Makes a float visible, with its start. Where something newer is visible already, it joins the late ones, unless
    /// the very time is taken; says whether it was added.
    pub(crate) fn add_float(
        &mut self,
        slot: usize,
        (time, start): (i64, i64),
        float: f64,
        block_range_ms: i64,
    ) -> bool {
        if time > self.newest[slot]
            && let Some(open) = &mut self.open[slot]
            && open.takes(time, Some(float), block_range_ms)
        {
            open.push_float(time, float);
            self.saw(slot, time);
            self.note_start(slot, start);
            if is_stale(float) {
                self.seal_ended(slot);
            }
            return true;
        }
        self.add(slot, TimedSample { time, start, value: SampleValue::Float(float) }, block_range_ms)
    }

    /// As [`PageData::add_float`], for any sample.
    pub(crate) fn add(&mut self, slot: usize, sample: TimedSample, block_range_ms: i64) -> bool {
        if sample.time <= self.newest[slot] {
            return self.add_late(slot, sample);
        }
        let TimedSample { time, start, value } = sample;
        let has_ended = value.is_stale();
        match &mut self.open[slot] {
            Some(open) if open.takes(time, value.float(), block_range_ms) => open.push(time, value),
            _ => {
                self.chunk_count += 1;
                self.seal_open(slot);
                self.open[slot] = Some(OpenChunk::new(time, value));
            }
        }
        self.saw(slot, time);
        self.note_start(slot, start);
        if has_ended {
            self.seal_ended(slot);
        }
        true
    }

    fn seal_open(&mut self, slot: usize) {
        let starts = self.take_open_starts(slot);
        if let Some(chunk) = self.open[slot].take().and_then(|open| open.seal(&starts)) {
            self.rare(slot).chunks.push(chunk.into());
        }
    }

    /// Seals the open chunk of a series whose target is gone: it would keep room for samples that do not come. Where the
    /// series comes and goes, chunks stay long enough to be worth their description.
    fn seal_ended(&mut self, slot: usize) {
        if self.open[slot].as_ref().is_some_and(|open| open.count() >= ENDED_SAMPLES_MIN) {
            self.seal_open(slot);
        }
    }

    /// Adds a sample to the late ones, unless its time is taken; says whether it was added.
    pub(crate) fn add_late(&mut self, slot: usize, sample: TimedSample) -> bool {
        let added = self.find(slot, sample.time).is_none() && self.rare(slot).add_late(sample);
        self.late |= u64::from(added) << slot;
        added
    }

    fn saw(&mut self, slot: usize, time: i64) {
        self.newest[slot] = time;
        self.reserved[slot] = self.reserved[slot].max(time);
    }

    fn rare(&mut self, slot: usize) -> &mut Rare {
        self.rare[slot].get_or_insert_default()
    }

    /// Adds a sealed chunk that is newer than everything there. Says whether it is.
    pub(crate) fn restore_chunk(&mut self, slot: usize, chunk: Chunk) -> bool {
        if chunk.meta.min_time <= self.newest[slot] {
            return false;
        }
        let newest = chunk.meta.max_time;
        self.chunk_count += 1;
        self.seal_open(slot);
        self.rare(slot).chunks.push(chunk.into());
        self.saw(slot, newest);
        true
    }

    /// What becomes of an exemplar.
    pub(crate) fn judge_exemplar(&self, slot: usize, exemplar: &Exemplar) -> Result<Verdict, AppendError> {
        judge_exemplar(self.rare[slot].as_ref().and_then(|rare| rare.last_exemplar()), exemplar)
    }

    /// Makes an exemplar visible, in the order of time. Says whether it was not there yet.
    pub(crate) fn add_exemplar(&mut self, slot: usize, exemplar: &Exemplar) -> bool {
        self.rare(slot).add_exemplar(exemplar)
    }

    /// Forgets what is older than `end`; of the late samples only those of `late`, or all.
    pub(crate) fn drop_before(&mut self, slot: usize, end: i64, late: Option<&[i64]>) {
        if self.open[slot].as_ref().is_some_and(|open| open.max_time() < end) {
            self.open[slot] = None;
            self.take_open_starts(slot);
            self.chunk_count -= 1;
        }
        if let Some(rare) = &mut self.rare[slot] {
            self.chunk_count -= rare.drop_before(end, late);
            self.late &= !(u64::from(rare.late().is_none()) << slot);
            if rare.is_needless() {
                self.rare[slot] = None;
            }
        }
    }
}
