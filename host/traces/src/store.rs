//! The span store: a directory of segments, one of which is appended to.
//!
//! Spans that [`TraceStore::append`] has acknowledged have reached the operating system, and with
//! [`Sync::Always`] the disk. Readers never wait for a write: they work on the indexes of the segments, which
//! name only what is whole.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahash::{AHashMap, AHashSet};
use model::Timestamp;
use model::span::{Span, SpanId, TraceId};
use parking_lot::{Mutex, RwLock};

use crate::batch::BatchWriter;
use crate::catalog::{TagScope, TagValue};
use crate::error::TraceError;
use crate::index::RecordEntry;
use crate::limits::{RECORD_BYTES_TARGET, Refusal, SPAN_BYTES_MAX, TRACE_BYTES_MAX, weigh, weigh_origin};
use crate::recovery::{Found, Recovery, list_segments, open_segment};
use crate::segment::{HEADER_BYTES, RecordKind, Segment, record_bytes, sync_dir};

/// A segment that is appended to is sealed after this long even where it is small, so that retention, which
/// removes whole segments, follows the clock.
const SEGMENT_AGE_MAX: Duration = Duration::from_secs(3600);

/// When appended spans are synced to the disk. They reach the operating system before they are acknowledged in
/// either case, so that a killed process loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before each append is acknowledged: a power cut loses nothing acknowledged.
    Always,
    /// When this long has passed since the first append that is not synced yet, by the append that finds it so.
    /// After the last append of a burst somebody has to call [`TraceStore::sync`], and as often.
    Interval(Duration),
}

/// How a store keeps spans.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// How long spans are kept, counted from their end.
    pub retention: Duration,
    /// A segment is sealed when it reaches this size. 64 MiB keeps the scan of an unsealed one well below a second.
    pub segment_bytes_max: u64,
    /// When spans are synced.
    pub sync: Sync,
}

/// What became of the spans of one append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many are kept.
    pub stored: usize,
    /// How many were refused; the others are kept all the same.
    pub refused: usize,
    /// Why the first of the refused was.
    pub reason: Option<Refusal>,
}

/// A stretch of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment.
    pub start: Timestamp,
    /// The last moment.
    pub end: Timestamp,
}

impl TimeRange {
    /// Whether something from `start` to `end`, in nanoseconds, overlaps.
    pub(crate) fn overlaps(&self, start_nanos: u64, end_nanos: u64) -> bool {
        let millis = |nanos: u64| (nanos / 1_000_000) as i64;
        millis(start_nanos) <= self.end.millis() && millis(end_nanos) >= self.start.millis()
    }
}

/// What a store holds, for its metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Segments.
    pub segments: usize,
    /// Their size on disk.
    pub bytes: u64,
    /// Spans in them.
    pub spans: u64,
    /// Records that could not be read since the store was opened; each was logged.
    pub records_corrupt: u64,
}

/// Keeps spans in a directory that it has for itself.
pub struct TraceStore {
    dir: PathBuf,
    options: TraceOptions,
    /// By number, which grows with time. The one that is appended to is among them.
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    writer: Mutex<Writer>,
    recovery: Recovery,
    records_corrupt: AtomicU64,
    /// Held for as long as the store is open.
    _lock: File,
}

struct Writer {
    active: Option<Active>,
    next_seq: u64,
}

impl Writer {
    /// Goes on in a new segment. After a failed sync nobody knows what the disk holds: nothing more goes into the
    /// file. Its spans may turn up after all, which is why duplicates are told by their ids.
    fn abandon(&mut self) {
        self.active = None;
    }
}

struct Active {
    segment: Arc<Segment>,
    end: u64,
    unsynced_since: Option<Instant>,
    /// When maintenance first saw it, by maintenance's own clock.
    seen_at: Option<Timestamp>,
}

/// Spans of one record, encoded before the writer is locked.
struct Record<'a> {
    bytes: Vec<u8>,
    spans: Vec<(&'a Span, u64)>,
}

impl TraceStore {
    /// Opens the store in `dir`, which is made where it is missing. Torn writes are cut off and damaged segments
    /// are set aside; [`TraceStore::recovery`] says which.
    ///
    /// # Errors
    /// [`TraceError::InUse`], [`TraceError::UnknownVersion`] and [`TraceError::Io`].
    pub fn open(dir: impl Into<PathBuf>, options: TraceOptions) -> Result<Self, TraceError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(TraceError::io(&dir))?;
        let lock = lock(&dir)?;
        let mut recovery = Recovery::default();
        let (mut segments, mut active) = (BTreeMap::new(), None);
        let seqs = list_segments(&dir)?;
        for seq in &seqs {
            let (segment, open_end) = match open_segment(&dir, *seq, &mut recovery)? {
                Found::Nothing => continue,
                Found::Sealed(segment) => (Arc::new(segment), None),
                Found::Open { segment, end } => (Arc::new(segment), Some(end)),
            };
            segments.insert(*seq, Arc::clone(&segment));
            if let Some(end) = open_end {
                if Some(seq) == seqs.last() {
                    active =
                        Some(Active { segment, end, unsynced_since: Some(Instant::now()), seen_at: None });
                } else {
                    segment.seal(end)?;
                }
            }
        }
        let next_seq = seqs.last().map_or(1, |last| last.saturating_add(1));
        Ok(Self {
            dir,
            options,
            segments: RwLock::new(segments),
            writer: Mutex::new(Writer { active, next_seq }),
            recovery,
            records_corrupt: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// What opening the store has mended.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Keeps spans. Those over a limit are refused one by one; the rest is stored all together or, on an error,
    /// not at all.
    ///
    /// # Errors
    /// [`TraceError::Io`]: nothing is acknowledged, send the spans again.
    pub fn append(&self, spans: &[Span]) -> Result<Appended, TraceError> {
        let (kept, mut outcome) = self.admit(spans);
        if kept.is_empty() {
            return Ok(outcome);
        }
        let carried = self.carried(&kept);
        let records = encode_records(kept);
        let mut writer = self.writer.lock();
        let active = self.active(&mut writer)?;
        let bytes: Vec<u8> = records.iter().map(|r| r.bytes.as_slice()).collect::<Vec<_>>().concat();
        if let Err(source) = active.segment.file.write_all_at(&bytes, active.end) {
            // Recovery would cut the half-written record off; doing it now keeps the next append in line.
            let _ = active.segment.file.set_len(active.end);
            return Err(TraceError::Io { path: active.segment.path.clone(), source });
        }
        if let Err(error) = self.sync_due(active) {
            writer.abandon();
            return Err(error);
        }
        let mut index = active.segment.index.write();
        for record in &records {
            index.add(active.end, record.bytes.len() as u32, record.spans.iter().copied(), &carried);
            active.end += record.bytes.len() as u64;
            outcome.stored += record.spans.len();
        }
        drop(index);
        active.segment.set_bytes(active.end);
        if active.end >= self.options.segment_bytes_max {
            seal_active(&mut writer);
        }
        Ok(outcome)
    }

    /// The spans of a trace, by start; of several with one id and kind, the first that arrived. Empty where the
    /// trace is not known. With a range, only segments that overlap it are asked.
    ///
    /// # Errors
    /// [`TraceError::Io`]. A damaged record is logged and left out.
    pub fn trace(&self, id: TraceId, range: Option<TimeRange>) -> Result<Vec<Span>, TraceError> {
        let mut spans = Vec::new();
        for (segment, record) in self.records_of(id, range) {
            spans.extend(self.read(&segment, &record)?.into_iter().filter(|span| span.trace_id == id));
        }
        Ok(dedupe(spans))
    }

    /// The services that have sent spans.
    pub fn services(&self) -> BTreeSet<String> {
        self.collect(|segment, into| segment.index.read().catalog.services(into))
    }

    /// The names of the spans of `service`, or of all.
    pub fn operations(&self, service: Option<&str>) -> BTreeSet<String> {
        self.collect(|segment, into| match service {
            Some(service) => segment.index.read().catalog.operations(service, into),
            None => segment.index.read().catalog.all_operations(into),
        })
    }

    /// The tags of one scope.
    pub fn tag_names(&self, scope: TagScope) -> BTreeSet<String> {
        if scope == TagScope::Intrinsic {
            return crate::query::INTRINSIC_NAMES.iter().map(|name| (*name).to_owned()).collect();
        }
        self.collect(|segment, into| segment.index.read().catalog.tag_names(scope, into))
    }

    /// The values of one attribute in one scope; see [`crate::tag_values`] for names as queries write them.
    pub(crate) fn attribute_values(&self, scope: TagScope, name: &str) -> BTreeSet<TagValue> {
        self.collect(|segment, into| segment.index.read().catalog.tag_values(scope, name, into))
    }

    /// Removes what is past the retention and seals a segment that has grown old. To be called about every minute.
    ///
    /// # Errors
    /// [`TraceError::Io`]; what was not done is tried again by the next call.
    pub fn maintain(&self, now: Timestamp) -> Result<usize, TraceError> {
        let mut writer = self.writer.lock();
        if let Some(active) = &mut writer.active {
            let seen_at = *active.seen_at.get_or_insert(now);
            let age_max = SEGMENT_AGE_MAX.min(self.options.retention / 8);
            if active.end > HEADER_BYTES && now - age_max >= seen_at {
                seal_active(&mut writer);
            }
        }
        let active_seq = writer.active.as_ref().map(|active| active.segment.seq);
        drop(writer);
        self.remove_expired(now - self.options.retention, active_seq)
    }

    /// Syncs everything appended so far, whatever the policy. Costs nothing where all of it is synced, and appends
    /// go on meanwhile. To be called as often as [`Sync::Interval`] says, and before a clean stop.
    ///
    /// # Errors
    /// [`TraceError::Io`]: what was appended last may not survive a power cut.
    pub fn sync(&self) -> Result<(), TraceError> {
        let segment = {
            let mut writer = self.writer.lock();
            let Some(active) = &mut writer.active else { return Ok(()) };
            if active.unsynced_since.take().is_none() {
                return Ok(());
            }
            Arc::clone(&active.segment)
        };
        segment.sync().inspect_err(|_| {
            let mut writer = self.writer.lock();
            if writer.active.as_ref().is_some_and(|active| active.segment.seq == segment.seq) {
                writer.abandon();
            }
        })
    }

    /// What the store holds.
    pub fn stats(&self) -> StoreStats {
        let segments = self.snapshot();
        StoreStats {
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.bytes()).sum(),
            spans: segments.iter().map(|segment| segment.index.read().spans).sum(),
            records_corrupt: self.records_corrupt.load(Ordering::Relaxed),
        }
    }

    /// The segments, oldest first.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Segment>> {
        self.segments.read().values().cloned().collect()
    }

    /// Where a trace's spans are.
    pub(crate) fn records_of(
        &self,
        id: TraceId,
        range: Option<TimeRange>,
    ) -> Vec<(Arc<Segment>, RecordEntry)> {
        let mut found = Vec::new();
        for segment in self.snapshot() {
            let index = segment.index.read();
            let Some(trace) = index.traces.get(&id) else { continue };
            if range.is_some_and(|range| !range.overlaps(trace.start_min, trace.end_max)) {
                continue;
            }
            let records = trace.records.iter().filter_map(|at| index.records.get(*at as usize));
            found.extend(records.map(|record| (Arc::clone(&segment), *record)));
        }
        found
    }

    /// One record's spans; none, and a word in the log, where it is damaged.
    pub(crate) fn read(&self, segment: &Segment, record: &RecordEntry) -> Result<Vec<Span>, TraceError> {
        match segment.read(record) {
            Err(error @ TraceError::Corrupt { .. }) => {
                self.records_corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "left a damaged span record out of an answer");
                Ok(Vec::new())
            }
            other => other,
        }
    }

    fn collect<T: Ord>(&self, add: impl Fn(&Segment, &mut BTreeSet<T>)) -> BTreeSet<T> {
        let mut all = BTreeSet::new();
        self.snapshot().iter().for_each(|segment| add(segment, &mut all));
        all
    }

    /// Weighs spans and leaves out those over a limit.
    fn admit<'a>(&self, spans: &'a [Span]) -> (Vec<(&'a Span, u64, u64)>, Appended) {
        let mut kept: Vec<(&Span, u64, u64)> = Vec::with_capacity(spans.len());
        let mut outcome = Appended::default();
        let mut totals: AHashMap<TraceId, u64> = AHashMap::new();
        let mut origin: Option<(&Span, Result<u64, Refusal>)> = None;
        for span in spans {
            let origin_bytes = match origin {
                Some((of, bytes)) if shares_origin(of, span) => bytes,
                _ => origin.insert((span, weigh_origin(span))).1,
            };
            let weighed = weigh(span).and_then(|bytes| Ok((bytes, origin_bytes?)));
            let admitted = weighed.and_then(|(bytes, origin_bytes)| {
                if bytes + origin_bytes > SPAN_BYTES_MAX {
                    return Err(Refusal::SpanTooLarge);
                }
                let total = totals.entry(span.trace_id).or_insert_with(|| self.weight_so_far(span.trace_id));
                if *total + bytes > TRACE_BYTES_MAX {
                    return Err(Refusal::TraceTooLarge);
                }
                *total += bytes;
                Ok((span, bytes, origin_bytes))
            });
            match admitted {
                Ok(span) => kept.push(span),
                Err(reason) => {
                    outcome.refused += 1;
                    outcome.reason.get_or_insert(reason);
                }
            }
        }
        (kept, outcome)
    }

    /// What a trace weighs in the newest two segments.
    fn weight_so_far(&self, id: TraceId) -> u64 {
        let segments = self.segments.read();
        let newest = segments.values().rev().take(2);
        newest.filter_map(|s| s.index.read().traces.get(&id).map(|t| t.bytes)).max().unwrap_or(0)
    }

    fn carried(&self, kept: &[(&Span, u64, u64)]) -> AHashMap<TraceId, u64> {
        let ids: AHashSet<TraceId> = kept.iter().map(|(span, ..)| span.trace_id).collect();
        ids.into_iter().map(|id| (id, self.weight_so_far(id))).filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// The segment to append to, made where there is none.
    fn active<'w>(&self, writer: &'w mut Writer) -> Result<&'w mut Active, TraceError> {
        let made = match writer.active.take() {
            Some(active) => active,
            None => {
                let segment = Arc::new(Segment::create(&self.dir, writer.next_seq)?);
                writer.next_seq += 1;
                self.segments.write().insert(segment.seq, Arc::clone(&segment));
                Active { segment, end: HEADER_BYTES, unsynced_since: None, seen_at: None }
            }
        };
        Ok(writer.active.insert(made))
    }

    /// Syncs what was just written where the policy says so.
    fn sync_due(&self, active: &mut Active) -> Result<(), TraceError> {
        let since = *active.unsynced_since.get_or_insert_with(Instant::now);
        let due = match self.options.sync {
            Sync::Always => true,
            Sync::Interval(interval) => since.elapsed() >= interval,
        };
        if due {
            active.segment.sync()?;
            active.unsynced_since = None;
        }
        Ok(())
    }

    fn remove_expired(&self, oldest_kept: Timestamp, active_seq: Option<u64>) -> Result<usize, TraceError> {
        let mut removed = 0;
        for segment in self.snapshot() {
            if Some(segment.seq) == active_seq || latest(&segment)? >= oldest_kept {
                continue;
            }
            fs::remove_file(&segment.path).map_err(TraceError::io(&segment.path))?;
            self.segments.write().remove(&segment.seq);
            removed += 1;
        }
        if removed > 0 {
            sync_dir(&self.dir)?;
        }
        Ok(removed)
    }
}

/// The end of a segment's last span, or the time of its last write where that is earlier: a sender whose clock is
/// ahead must not keep a segment for ever.
fn latest(segment: &Segment) -> Result<Timestamp, TraceError> {
    let written =
        segment.file.metadata().and_then(|m| m.modified()).map_err(TraceError::io(&segment.path))?;
    let ended = Timestamp::from_millis((segment.index.read().end_max() / 1_000_000) as i64);
    Ok(ended.min(Timestamp::from_system(written)))
}

/// Seals the active segment. A failure leaves it as it was, to be tried again by the next append: its spans are
/// stored either way.
fn seal_active(writer: &mut Writer) {
    let Some(active) = writer.active.take() else { return };
    if let Err(error) = active.segment.seal(active.end) {
        tracing::warn!(%error, "could not seal a span segment; trying again later");
        let _ = active.segment.file.set_len(active.end);
        active.segment.set_bytes(active.end);
        writer.active = Some(active);
    }
}

fn lock(dir: &Path) -> Result<File, TraceError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(TraceError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TraceError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(TraceError::Io { path, source }),
    }
}

fn shares_origin(a: &Span, b: &Span) -> bool {
    Arc::ptr_eq(&a.resource, &b.resource) && Arc::ptr_eq(&a.scope, &b.scope)
}

/// Cuts spans into records of about the target size.
fn encode_records(kept: Vec<(&Span, u64, u64)>) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    let (mut batch, mut spans, mut bytes) = (BatchWriter::default(), Vec::<(&Span, u64)>::new(), 0);
    let finish = |batch: BatchWriter<'_>, spans| Record {
        bytes: record_bytes(RecordKind::Batch, &batch.finish()),
        spans,
    };
    for (span, span_bytes, origin_bytes) in kept {
        let known = spans.last().is_some_and(|(last, _)| shares_origin(last, span));
        bytes += span_bytes + if known { 0 } else { origin_bytes };
        batch.push(span);
        spans.push((span, span_bytes));
        if bytes >= RECORD_BYTES_TARGET {
            records.push(finish(std::mem::take(&mut batch), std::mem::take(&mut spans)));
            bytes = 0;
        }
    }
    if !spans.is_empty() {
        records.push(finish(batch, spans));
    }
    records
}

/// By start; of several with one id and kind, the first. Kinds count since Zipkin's clients and servers share ids.
pub(crate) fn dedupe(mut spans: Vec<Span>) -> Vec<Span> {
    let mut seen: AHashSet<(SpanId, i32)> = AHashSet::with_capacity(spans.len());
    spans.retain(|span| seen.insert((span.span_id, span.kind.number())));
    spans.sort_by_key(|span| span.start_unix_nanos);
    spans
}

#[cfg(test)]
mod tests;
