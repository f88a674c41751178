//! Late samples: those that came when a newer one of their series was there.
//!
//! They are taken within the window that [`crate::Options::out_of_order_window`] gives, are durable in the log, and
//! readers merge them in. Those of a range that is still in the head are cut with it. Those of a range that is in a
//! block stay in the head until nothing older can come any more; then the block is written anew, with them. So blocks
//! never overlap, and each is written anew once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Labels, Matcher};

use super::Shared;
use crate::Tsdb;
use crate::block::Block;
use crate::chunk::{ChunkKind, ChunkMeta, Run, RunValues};
use crate::error::Result;
use crate::head::page::Rules;
use crate::head::{LateTimes, SampleValue, TimedSample};
use crate::index::Query;
use crate::starts::UNKNOWN_START;

/// Late samples of one series for one block, in order of time.
#[derive(Debug, Default)]
pub(super) struct LateOfSeries {
    pub(super) id: u32,
    pub(super) samples: Vec<TimedSample>,
}

/// Those of all series, in the order of labels.
pub(super) type LateOfBlock = BTreeMap<Labels, LateOfSeries>;

impl Tsdb {
    /// Changes how much older than the newest sample of all a sample may be that is not the newest of its series; none
    /// is taken with zero.
    pub fn set_out_of_order_window(&self, window: Duration) {
        self.shared.late_window_ms.store(window_ms(window), Ordering::Relaxed);
    }
}

pub(super) fn window_ms(window: Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}

impl Shared {
    /// What is taken at the moment.
    pub(super) fn rules(&self) -> Rules {
        let min_valid = self.head.min_valid();
        let window = self.late_window_ms.load(Ordering::Relaxed);
        // A head without samples says nothing of the present but that it is not before the newest block's end.
        let newest = self.head.max_time().max(min_valid);
        Rules { min_valid, late_from: (window > 0).then(|| newest.saturating_sub(window)) }
    }

    /// Writes blocks anew whose late samples are complete, or all that have any; says how many.
    pub(super) fn flush_late(&self, all: bool) -> Result<usize> {
        let rules = self.rules();
        let mut flushed = 0;
        // A cut that failed has left its range in the head, where samples come to it as late ones. They are cut with it: a
        // block of these alone would say that the head has been cut until its end, and a restart would believe it.
        let blocks = self.view.read().blocks.clone();
        let cut_until = blocks.iter().map(|block| block.meta().range_end).max().unwrap_or(i64::MIN);
        for ((start, end), late) in self.late_by_block(rules.min_valid.min(cut_until)) {
            if !all && rules.late_from.is_some_and(|from| from < end) {
                continue;
            }
            let blocks = self.view.read().blocks.clone();
            let old: Vec<Arc<Block>> =
                blocks.iter().filter(|block| block.meta().lies_in(start, end)).cloned().collect();
            if old.iter().any(|block| block.is_unreadable()) {
                continue;
            }
            let times = |(_, late): (&Labels, &LateOfSeries)| {
                (late.id, late.samples.iter().map(|late| late.time).collect())
            };
            let merged = self.merge_with(start, end, &old, &late, || {
                self.late_in_log.store(true, Ordering::Relaxed);
                self.head.drop_late(&late.iter().map(times).collect::<LateTimes>());
            });
            merged.map_err(|error| self.leave_alone(&old, error))?;
            flushed += 1;
        }
        Ok(flushed)
    }

    /// Sees to it that all late samples which belong to blocks are there, and nowhere else.
    pub(super) fn settle_late(&self) -> Result<()> {
        self.flush_late(true)?;
        if self.late_in_log.load(Ordering::Relaxed) { self.checkpoint(&[]) } else { Ok(()) }
    }

    /// Late samples of the head from before `cut_until`, by the range of the block that they belong to.
    fn late_by_block(&self, cut_until: i64) -> BTreeMap<(i64, i64), LateOfBlock> {
        let blocks = self.view.read().blocks.clone();
        let mut late: BTreeMap<(i64, i64), LateOfBlock> = BTreeMap::new();
        self.head.for_each(|series| {
            let Some(samples) = series.late() else { return };
            for sample in samples.iter().take_while(|sample| sample.time < cut_until) {
                let of_block = late.entry(self.range_of(&blocks, sample.time, cut_until)).or_default();
                let of_series = of_block
                    .entry(series.labels.clone())
                    .or_insert_with(|| LateOfSeries { id: series.id, samples: Vec::new() });
                of_series.samples.push(sample.clone());
            }
        });
        late
    }

    /// The range of the block that has, or would have, a time; it overlaps no other block's.
    fn range_of(&self, blocks: &[Arc<Block>], time: i64, cut_until: i64) -> (i64, i64) {
        let at = blocks.partition_point(|block| block.meta().range_end <= time);
        let next = blocks.get(at).map(|block| *block.meta());
        if let Some(meta) = next.filter(|meta| meta.range_start <= time) {
            return (meta.range_start, meta.range_end);
        }
        let range = self.head.block_range_ms;
        let start = time.div_euclid(range).saturating_mul(range);
        let before = at.checked_sub(1).and_then(|at| blocks.get(at)).map(|block| block.meta().range_end);
        let after = next.map_or(cut_until, |meta| meta.range_start.min(cut_until));
        (start.max(before.unwrap_or(start)), start.saturating_add(range).min(after))
    }
}

/// The sample of exactly that time that a block has of the series with these labels.
pub(super) fn find_in_blocks(
    blocks: &[Arc<Block>],
    labels: &Labels,
    time: i64,
) -> Result<Option<SampleValue>> {
    let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let query = Query::new(&matchers);
    for block in blocks.iter().filter(|block| block.meta().overlaps(time, time)) {
        let mut series = block.series();
        for number in query.resolve(&block.index())? {
            let chunks = series.chunks(number, time, time)?;
            if series.labels(number)? != *labels
                || block.tombstones().of(number).is_some_and(|gone| gone.contains(time))
            {
                continue;
            }
            for chunk in chunks {
                let (mut times, mut floats, mut found) = (Vec::new(), Vec::new(), None);
                match chunk.meta.kind {
                    ChunkKind::Floats => {
                        block.decode_floats(&chunk, &mut times, &mut floats)?;
                        let at = times.binary_search(&time).ok().and_then(|at| floats.get(at));
                        found = at.copied().map(SampleValue::Float);
                    }
                    ChunkKind::Histograms => block.decode_histograms(&chunk, |at, histogram| {
                        if at == time {
                            found = Some(SampleValue::Histogram(histogram));
                        }
                    })?,
                    // These are no samples: none can be repeated.
                    ChunkKind::Summaries => {}
                }
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
    }
    Ok(None)
}

/// Puts late samples, which are in time order, where they belong among others.
pub(super) fn merge_late(runs: Vec<Run>, late: &[TimedSample], samples_max: usize) -> Vec<Run> {
    let mut merged: Vec<TimedSample> = Vec::new();
    for run in runs {
        let values: Vec<SampleValue> = match run.values {
            RunValues::Floats(floats) => floats.into_iter().map(SampleValue::Float).collect(),
            RunValues::Histograms(histograms) => histograms.into_iter().map(SampleValue::Histogram).collect(),
            // Late samples go among samples alone.
            RunValues::Summaries(_) => continue,
        };
        let mut starts = Vec::new();
        run.starts.expand(run.times.len(), &mut starts);
        let starts = starts.into_iter().chain(std::iter::repeat(UNKNOWN_START));
        let samples = run.times.into_iter().zip(starts).zip(values);
        merged.extend(samples.map(|((time, start), value)| TimedSample { time, start, value }));
    }
    // Stable: where both have a time, the one that was there first stays.
    merged.extend_from_slice(late);
    merged.sort_by_key(|sample| sample.time);
    merged.dedup_by_key(|sample| sample.time);
    let mut runs: Vec<Run> = Vec::new();
    for TimedSample { time, start, value } in merged {
        let meta = ChunkMeta { kind: value.kind(), count: 1, min_time: time, max_time: time };
        let run = Run::next(&mut runs, &meta, samples_max);
        run.starts.push(run.times.len() as u32, start);
        run.times.push(time);
        match (&mut run.values, value) {
            (RunValues::Floats(floats), SampleValue::Float(float)) => floats.push(float),
            (RunValues::Histograms(all), SampleValue::Histogram(histogram)) => all.push(histogram),
            // A run of that kind was asked for.
            _ => {}
        }
    }
    runs
}
