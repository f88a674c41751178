//! Downsampling: what samples come to in windows of five minutes and of one hour, kept for longer than they are.
//!
//! ```text
//!  blocks ──after, five minutes──► blocks-5m ──after, one hour──► blocks-1h
//!  samples                         a summary per window           a summary per window
//! ```
//!
//! * A window ends at a multiple of its resolution, and that time belongs to it, as in PromQL. Of each float series a
//!   window becomes one [`Summary`]: whatever holds whole windows, `rate`, `increase` and every `*_over_time` but
//!   quantiles, is answered as from the samples, up to the rounding of sums; what cuts a window takes all of it or
//!   nothing, by when its last sample was. Stale markers are left out.
//! * Of native histograms the last of each window is kept, and the last before each reset of their counter: increases
//!   stay what they were, averages become those of the ones that are kept.
//! * A window in which a counter was started anew is one summary per start, so that what was counted before is not lost
//!   where values do not show it; of native histograms the last before each new start is kept. Of more than
//!   [`STARTS_MAX`] starts in one window, the last ones are taken for one.
//! * Of exemplars, the last of each window and series is kept.
//! * Samples that come late, after their range was downsampled, are in the samples alone.
//!
//! A stretch as long as the longest merged block is downsampled at once, when all of it is old enough; the result is a
//! block as any other, in a folder of its own. It stands until [`crate::Downsampling`] lets go of it; deletion and the
//! rules of retention reach it as well.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Exemplar, Histogram, Labels, Summary, Timestamp};

use super::cursor::Cursor;
use super::retention::Expiry;
use super::{Shared, View};
use crate::block::{Block, BlockSeries, BlockWriter};
use crate::chunk::{ChunkKind, ChunkMeta, Run, RunValues};
use crate::error::Result;
use crate::options::DownsamplingLevel;
use crate::starts::UNKNOWN_START;
use crate::tombstones::Intervals;

/// How far apart the summaries of the levels are: five minutes, one hour.
pub(crate) const RESOLUTIONS_MS: [i64; 2] = [300_000, 3_600_000];

/// The folders of the levels, and that of the samples.
pub(crate) const DIRS: [&str; 2] = ["blocks-5m", "blocks-1h"];
pub(crate) const RAW_DIR: &str = "blocks";

/// Summaries in one chunk: half a week of five minutes.
const RUN_SUMMARIES_MAX: usize = 1024;

/// A window becomes at most so many summaries or histograms for the sake of starts: a sender that tells another start with
/// every sample is not downsampled otherwise.
const STARTS_MAX: usize = 8;

/// A query's step has to be so many times the resolution of data that answer it where finer ones are there.
const STEP_RESOLUTIONS: i64 = 5;

/// The end of the window that a time is in.
pub(crate) const fn window_end(time: i64, resolution_ms: i64) -> i64 {
    let since = time.rem_euclid(resolution_ms);
    if since == 0 { time } else { time.saturating_add(resolution_ms - since) }
}

/// From which times on which level answers: before the first the hours, then the five minutes, then samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Borders {
    pub(super) hours_end: i64,
    pub(super) minutes_end: i64,
}

impl Borders {
    /// For a query of that step; `raw_from` is where samples begin.
    pub(super) fn new(coarse: &[Arc<Vec<Arc<Block>>>; 2], raw_from: i64, step_ms: Option<i64>) -> Self {
        let [minutes, hours] = coarse;
        let end = |blocks: &[Arc<Block>]| {
            blocks.iter().map(|block| block.meta().range_end).max().unwrap_or(i64::MIN)
        };
        let [minutes_do, hours_do] = RESOLUTIONS_MS
            .map(|resolution| step_ms.is_some_and(|step| step >= STEP_RESOLUTIONS * resolution));
        let minutes_from = minutes.iter().map(|block| block.meta().range_start).min().unwrap_or(i64::MAX);
        let minutes_end = if minutes_do { end(minutes) } else { end(minutes).min(raw_from) };
        // Where there are no five minutes at all, the hours reach up to the samples.
        let hours_end = if hours_do { end(hours) } else { end(hours).min(minutes_from.min(raw_from)) };
        Self { hours_end, minutes_end: minutes_end.max(hours_end) }
    }
}

impl View {
    /// The blocks that a query of that step over `[start, end]` looks at, the coarsest first, what is asked of each,
    /// and from when to when its resolution answers. What summaries answer begins earlier by their resolution, since
    /// the last one before a time is what was seen at it.
    pub(super) fn blocks_for(
        &self,
        (start, end): (i64, i64),
        step_ms: Option<i64>,
    ) -> impl Iterator<Item = (&Arc<Block>, (i64, i64), (i64, i64))> {
        let oldest = self.blocks.iter().map(|block| block.meta().range_start).min();
        let Borders { hours_end, minutes_end } =
            Borders::new(&self.coarse, oldest.unwrap_or(self.head_from), step_ms);
        let [minutes, hours] = &self.coarse;
        let [five_minutes, one_hour] = RESOLUTIONS_MS;
        let levels = [
            (hours, start.saturating_sub(one_hour), (i64::MIN, hours_end.saturating_sub(1))),
            (minutes, start.saturating_sub(five_minutes), (hours_end, minutes_end.saturating_sub(1))),
            (&self.blocks, start, (minutes_end, i64::MAX)),
        ];
        levels.into_iter().flat_map(move |(blocks, start, (first, last))| {
            let (start, end) = (start.max(first), end.min(last));
            let asked = move |block: &&Arc<Block>| start <= end && block.meta().overlaps(start, end);
            blocks.iter().filter(asked).map(move |block| (block, (start, end), (first, last)))
        })
    }
}

/// A histogram of a series, and when its counter started.
struct TimedHistogram {
    time: i64,
    start: i64,
    histogram: Arc<Histogram>,
}

/// What becomes of one series.
struct Windows {
    resolution_ms: i64,
    summaries: Vec<Summary>,
    /// Those of the last sample of each.
    starts: Vec<i64>,
    /// How many starts the last window has been cut at.
    cuts: usize,
    histograms: Vec<TimedHistogram>,
    exemplars: Vec<Exemplar>,
}

impl Windows {
    /// Takes what follows in time, with the start of its last sample.
    fn push(&mut self, next: &Summary, start: i64) {
        let end = |summary: &Summary| window_end(summary.last_time.millis(), self.resolution_ms);
        match (self.summaries.last_mut(), self.starts.last_mut()) {
            (Some(last), Some(known)) if end(last) == end(next) => {
                if *known == start || self.cuts + 1 >= STARTS_MAX {
                    last.append(next);
                    *known = start;
                    return;
                }
                self.cuts += 1;
            }
            _ => self.cuts = 0,
        }
        self.summaries.push(*next);
        self.starts.push(start);
    }

    fn push_histogram(&mut self, next: TimedHistogram) {
        if let Some(last) = self.histograms.last()
            && window_end(last.time, self.resolution_ms) == window_end(next.time, self.resolution_ms)
            && next.histogram.count >= last.histogram.count
            && next.start == last.start
        {
            self.histograms.pop();
        }
        self.histograms.push(next);
    }

    fn push_exemplar(&mut self, exemplar: Exemplar) {
        let end = |exemplar: &Exemplar| window_end(exemplar.timestamp.millis(), self.resolution_ms);
        self.exemplars.pop_if(|last| end(last) == end(&exemplar));
        self.exemplars.push(exemplar);
    }

    /// As runs, in order of time: a series may have gone from one kind to the other and back.
    fn into_runs(self) -> (Vec<Run>, Vec<Exemplar>) {
        let mut runs = Vec::new();
        let mut histograms = self.histograms.into_iter().peekable();
        for (summary, start) in self.summaries.into_iter().zip(self.starts) {
            let time = summary.last_time.millis();
            while let Some(before) = histograms.next_if(|kept| kept.time < time) {
                put_histogram(&mut runs, before);
            }
            let run = next_run(&mut runs, ChunkKind::Summaries, time, start);
            if let RunValues::Summaries(all) = &mut run.values {
                all.push(summary);
            }
        }
        histograms.for_each(|kept| put_histogram(&mut runs, kept));
        (runs, self.exemplars)
    }
}

/// The run of that kind which the next value goes to, with the value's time.
fn next_run(runs: &mut Vec<Run>, kind: ChunkKind, time: i64, start: i64) -> &mut Run {
    let meta = ChunkMeta { kind, count: 1, min_time: time, max_time: time };
    let run = Run::next(runs, &meta, RUN_SUMMARIES_MAX);
    run.starts.push(run.times.len() as u32, start);
    run.times.push(time);
    run
}

fn put_histogram(runs: &mut Vec<Run>, kept: TimedHistogram) {
    let run = next_run(runs, ChunkKind::Histograms, kept.time, kept.start);
    if let RunValues::Histograms(all) = &mut run.values {
        all.push(kept.histogram);
    }
}

/// Adds what lies in `[start, end)` of the series that is next in a block, if it has these labels.
fn take(
    cursor: &mut Cursor<'_>,
    labels: &Labels,
    (start, end): (i64, i64),
    gone: &Intervals,
    out: &mut Windows,
) -> Result<()> {
    let Some((number, chunks)) = cursor.take(labels)? else { return Ok(()) };
    let block = cursor.block;
    let deleted = cursor.deleted.of(number);
    let stays = |time: i64| {
        (start..end).contains(&time)
            && !gone.contains(time)
            && !deleted.is_some_and(|deleted| deleted.contains(time))
    };
    let (mut times, mut floats, mut summaries, mut known) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for chunk in &chunks {
        times.clear();
        known.clear();
        block.starts(chunk)?.expand(chunk.meta.count as usize, &mut known);
        let mut starts = known.iter().copied().chain(std::iter::repeat(UNKNOWN_START));
        match chunk.meta.kind {
            ChunkKind::Floats => {
                floats.clear();
                block.decode_floats(chunk, &mut times, &mut floats)?;
                for ((time, value), start) in times.iter().zip(&floats).zip(starts) {
                    if stays(*time) && !model::staleness::is_stale(*value) {
                        out.push(&Summary::of_sample(Timestamp::from_millis(*time), *value), start);
                    }
                }
            }
            ChunkKind::Summaries => {
                summaries.clear();
                block.decode_summaries(chunk, &mut summaries)?;
                let kept = summaries.iter().zip(starts).filter(|(s, _)| stays(s.last_time.millis()));
                kept.for_each(|(summary, start)| out.push(summary, start));
            }
            ChunkKind::Histograms => block.decode_histograms(chunk, |time, histogram| {
                let start = starts.next().unwrap_or(UNKNOWN_START);
                if stays(time) && !model::staleness::is_stale(histogram.sum) {
                    out.push_histogram(TimedHistogram { time, start, histogram });
                }
            })?,
        }
    }
    let exemplars = block.exemplars(number)?.into_iter();
    exemplars.filter(|e| stays(e.timestamp.millis())).for_each(|e| out.push_exemplar(e));
    Ok(())
}

impl Shared {
    /// Downsamples what is due, and says how many blocks came of it.
    pub(super) fn downsample(&self) -> Result<usize> {
        let Some(options) = self.options.downsampling.clone() else { return Ok(0) };
        let mut made = 0;
        for (level, options) in [&options.five_minutes, &options.one_hour].into_iter().enumerate() {
            while let Some((start, end, blocks)) = self.due_downsampling(level, options) {
                if let Err(error) = self.downsample_range(level, start, end, &blocks) {
                    return Err(self.leave_alone(&blocks, error));
                }
                made += 1;
            }
        }
        Ok(made)
    }

    /// The first stretch that is old enough and not downsampled yet, with the blocks that have samples of it.
    fn due_downsampling(
        &self,
        level: usize,
        options: &DownsamplingLevel,
    ) -> Option<(i64, i64, Vec<Arc<Block>>)> {
        let (fine, coarse) = {
            let view = self.view.read();
            let [minutes, hours] = &view.coarse;
            if level == 0 { (view.blocks.clone(), minutes.clone()) } else { (minutes.clone(), hours.clone()) }
        };
        let newest = self.max_time()?.min(self.clock.now().millis());
        let after = i64::try_from(options.after.as_millis()).unwrap_or(i64::MAX);
        let covered = coarse.iter().map(|block| block.meta().range_end).max().unwrap_or(i64::MIN);
        let readable = |block: &&Arc<Block>| block.meta().range_end > covered && !block.is_unreadable();
        let first = fine.iter().filter(readable).map(|block| block.meta().range_start).min()?;
        let range = self.merged_range_ms();
        let at = first.max(covered);
        let start = at.div_euclid(range).checked_mul(range)?;
        let end = start.checked_add(range)?;
        let due = end <= newest.saturating_sub(after) && end <= self.head.min_valid();
        let among = |block: &&Arc<Block>| {
            readable(block) && block.meta().range_start < end && block.meta().range_end > start
        };
        due.then(|| (start.max(covered), end, fine.iter().filter(among).cloned().collect()))
    }

    fn downsample_range(&self, level: usize, start: i64, end: i64, blocks: &[Arc<Block>]) -> Result<()> {
        let resolution_ms = RESOLUTIONS_MS.get(level).copied().unwrap_or(1);
        let expiry = self.expiry_of(resolution_ms);
        let path = self.next_block_path_in(&self.blocks_dir_of(resolution_ms))?;
        let mut writer = BlockWriter::create(&*self.fs, &path, start, end)?;
        let mut cursors = Cursor::all(blocks)?;
        loop {
            let labels = cursors.iter().filter_map(Cursor::labels).min().cloned();
            let Some(labels) = labels else { break };
            let gone = past(&expiry, &labels);
            let mut windows = Windows {
                resolution_ms,
                summaries: Vec::new(),
                starts: Vec::new(),
                cuts: 0,
                histograms: Vec::new(),
                exemplars: Vec::new(),
            };
            for cursor in &mut cursors {
                take(cursor, &labels, (start, end), &gone, &mut windows)?;
            }
            let (runs, exemplars) = windows.into_runs();
            if !runs.is_empty() || !exemplars.is_empty() {
                let exemplars: Vec<&Exemplar> = exemplars.iter().collect();
                writer.add(&BlockSeries { labels: &labels, runs: &runs, exemplars: &exemplars })?;
            }
        }
        // An empty block, too, says that this stretch has been dealt with.
        writer.allow_empty();
        let path = writer.finish(&[])?;
        self.replace_blocks(&[], Arc::new(Block::open(&*self.fs, &path)?));
        Ok(())
    }

    /// The folder of blocks of a resolution; zero is that of samples.
    pub(super) fn blocks_dir_of(&self, resolution_ms: i64) -> PathBuf {
        let level = RESOLUTIONS_MS.iter().position(|known| *known == resolution_ms);
        match level.and_then(|level| DIRS.get(level)) {
            Some(dir) => self.blocks_dir.with_file_name(dir),
            None => self.blocks_dir.clone(),
        }
    }
}

/// What of a series is past retention.
fn past(expiry: &Expiry, labels: &Labels) -> Intervals {
    let (mut gone, before) = (Intervals::default(), expiry.of_series(labels));
    if before > i64::MIN {
        gone.add(i64::MIN, before - 1);
    }
    gone
}
