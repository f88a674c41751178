//! Analysis: what a directory's blocks hold, what takes their bytes, and which labels make the series many.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ahash::RandomState;
use model::{Labels, METRIC_NAME, Timestamp};

use crate::block::{Block, SeriesBytes, SeriesReader};
use crate::chunk::ChunkKind;
use crate::db::{existing_dirs, lock};
use crate::error::{IoContext, Result};
use crate::fs::FileSystem;
use crate::tombstones::Tombstones;

/// What a directory holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Analysis {
    /// Every block of samples, the oldest first.
    pub blocks: Vec<BlockAnalysis>,
    /// The same of downsampled data, five minutes first; samples are summaries there.
    pub downsampled: Vec<BlockAnalysis>,
    /// Bytes in the directory of the log.
    pub log_bytes: u64,
    /// The series of one block: the newest, or the one that was asked for.
    pub series: Option<SeriesAnalysis>,
}

/// What a block holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct BlockAnalysis {
    /// Its file.
    pub path: PathBuf,
    /// Its oldest sample.
    pub min_time: Timestamp,
    /// Its newest sample.
    pub max_time: Timestamp,
    /// Its series.
    pub series: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Its samples.
    pub samples: u64,
    /// Its exemplars.
    pub exemplars: u64,
    /// Its size.
    pub bytes: u64,
    /// The size of each section, by name, in the order of the file; header, contents and footer are none.
    pub sections: Vec<(&'static str, u64)>,
    /// What the section "series" consists of, by name: labels and descriptions of chunks, which find samples, and the
    /// values of constant chunks and summaries, which are data.
    pub series_parts: Vec<(&'static str, u64)>,
    /// Series of which something is deleted that is still in the file.
    pub series_with_tombstones: u64,
}

/// How much one thing counts.
pub type Ranked = Vec<(String, u64)>;

/// What makes a block's series many; each list has the largest first.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SeriesAnalysis {
    /// The block's file.
    pub path: PathBuf,
    /// Samples by kind of their chunks.
    pub samples_by_kind: Ranked,
    /// Series that are not in the block before; `None` where there is none before.
    pub series_new: Option<u64>,
    /// Series by metric name.
    pub series_by_metric: Ranked,
    /// Values by label name.
    pub values_by_label: Ranked,
    /// Bytes of values by label name.
    pub value_bytes_by_label: Ranked,
    /// Series by label pair.
    pub series_by_pair: Ranked,
    /// Series by label name.
    pub series_by_label: Ranked,
    /// How many series' worth of the block's time is missing from series that come late or end early, by label name.
    pub churn_by_label: Ranked,
    /// The same by label pair.
    pub churn_by_pair: Ranked,
}

/// Looks at a database that nobody has open, and at the series of the block of that file name, or of the newest one;
/// lists have `count_max` entries.
///
/// # Errors
/// [`crate::Error::Locked`] where somebody has it open, [`crate::Error::Corrupt`] where a block is damaged,
/// [`crate::Error::Io`].
pub fn analyze(
    files: &dyn FileSystem,
    dir: &Path,
    block: Option<&str>,
    count_max: usize,
) -> Result<Analysis> {
    let _lock = lock(files, dir)?;
    let wal_dir = dir.join("wal");
    let (mut blocks, mut coarse) = (Vec::new(), Vec::new());
    for blocks_dir in existing_dirs(files, dir) {
        let names = files.list(&blocks_dir).at("list", &blocks_dir)?;
        for name in names.iter().filter(|name| name.ends_with(".block")) {
            let block = Block::open(files, &blocks_dir.join(name))?;
            let path = block.tombstones_path();
            if names.iter().any(|name| path.file_name().is_some_and(|own| own == name.as_str())) {
                block.set_tombstones(Tombstones::read(files, &path)?.into());
            }
            if block.resolution_ms() == 0 { blocks.push(block) } else { coarse.push(block) }
        }
    }
    blocks.sort_by_key(|block| block.meta().range_start);
    coarse.sort_by_key(|block| (block.resolution_ms(), block.meta().range_start));
    let mut log_bytes = 0;
    for name in files.list(&wal_dir).at("list", &wal_dir)? {
        let path = wal_dir.join(name);
        log_bytes += files.map(&path).at("read log", &path)?.len() as u64;
    }
    let chosen = match block {
        Some(name) => {
            blocks.iter().position(|block| block.path().file_stem().is_some_and(|stem| stem == name))
        }
        None => blocks.len().checked_sub(1),
    };
    let series = match chosen.and_then(|at| Some((at, blocks.get(at)?))) {
        Some((at, block)) => {
            let before = at.checked_sub(1).and_then(|at| blocks.get(at));
            Some(analyze_series(block, before, count_max)?)
        }
        None => None,
    };
    Ok(Analysis {
        blocks: blocks.iter().map(analyze_block).collect::<Result<_>>()?,
        downsampled: coarse.iter().map(analyze_block).collect::<Result<_>>()?,
        log_bytes,
        series,
    })
}

fn analyze_block(block: &Block) -> Result<BlockAnalysis> {
    let meta = block.meta();
    let SeriesBytes { labels, descriptions, constants, summaries } = block.series().bytes()?;
    let parts = [
        ("labels", labels),
        ("descriptions", descriptions),
        ("constants", constants),
        ("summaries", summaries),
    ];
    Ok(BlockAnalysis {
        path: block.path().to_owned(),
        min_time: Timestamp::from_millis(meta.min_time),
        max_time: Timestamp::from_millis(meta.max_time),
        series: meta.series_count,
        chunks: meta.chunk_count,
        samples: meta.sample_count,
        exemplars: meta.exemplar_count,
        bytes: block.bytes(),
        sections: block.section_bytes().collect(),
        series_parts: parts.to_vec(),
        series_with_tombstones: block.tombstones().iter().count() as u64,
    })
}

impl BlockAnalysis {
    /// Bytes that find series and samples and are none themselves: postings, label values and names, the numbers of each
    /// series' labels, descriptions of chunks, and where each of those begins.
    #[must_use]
    pub fn index_bytes(&self) -> u64 {
        let sum = |parts: &[(&str, u64)], names: &[&str]| {
            parts.iter().filter(|(name, _)| names.contains(name)).map(|(_, bytes)| bytes).sum::<u64>()
        };
        // Header, contents and footer find sections.
        let framing = self.bytes - self.sections.iter().map(|(_, bytes)| bytes).sum::<u64>();
        framing
            + sum(&self.sections, &["offsets", "postings", "labels", "meta"])
            + sum(&self.series_parts, &["labels", "descriptions"])
    }
}

type Counts = HashMap<String, u64, RandomState>;

/// What churn is counted in: so that parts of a series add up.
const CHURN_PARTS: i64 = 1000;

fn analyze_series(block: &Block, before: Option<&Block>, count_max: usize) -> Result<SeriesAnalysis> {
    let meta = *block.meta();
    let duration = (meta.max_time - meta.min_time).max(1);
    let mut before = before.map(SeriesOf::new);
    let (mut kinds, mut metrics, mut labels_of, mut pairs) =
        (Counts::default(), Counts::default(), Counts::default(), Counts::default());
    let (mut label_churn, mut pair_churn) = (Counts::default(), Counts::default());
    let (mut new, mut series) = (0, block.series());
    for number in 0..u32::try_from(meta.series_count).unwrap_or(u32::MAX) {
        let (labels, chunks) = (series.labels(number)?, series.chunks(number, i64::MIN, i64::MAX)?);
        for chunk in &chunks {
            let kind = match chunk.meta.kind {
                ChunkKind::Floats => "floats",
                ChunkKind::Histograms => "histograms",
                ChunkKind::Summaries => "summaries",
            };
            *kinds.entry(kind.to_owned()).or_default() += u64::from(chunk.meta.count);
        }
        if let Some(before) = &mut before {
            new += u64::from(!before.has(&labels)?);
        }
        let first = chunks.first().map_or(meta.max_time, |chunk| chunk.meta.min_time);
        let last = chunks.last().map_or(meta.min_time, |chunk| chunk.meta.max_time);
        let lived = (last - first).clamp(0, duration);
        let missing =
            ((i128::from(duration - lived) * i128::from(CHURN_PARTS)) / i128::from(duration)) as u64;
        for (name, value) in &labels {
            if name == METRIC_NAME {
                *metrics.entry(value.to_owned()).or_default() += 1;
            }
            let pair = format!("{name}={value}");
            *labels_of.entry(name.to_owned()).or_default() += 1;
            *label_churn.entry(name.to_owned()).or_default() += missing;
            *pair_churn.entry(pair.clone()).or_default() += missing;
            *pairs.entry(pair).or_default() += 1;
        }
    }
    let (mut values, mut value_bytes) = (Counts::default(), Counts::default());
    for pair in pairs.keys() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        *values.entry(name.to_owned()).or_default() += 1;
        *value_bytes.entry(name.to_owned()).or_default() += value.len() as u64;
    }
    let whole = |counts: Counts| -> Counts {
        counts.into_iter().map(|(name, parts)| (name, parts / CHURN_PARTS as u64)).collect()
    };
    let top = |counts: Counts| {
        let mut all: Ranked = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(count_max);
        all
    };
    Ok(SeriesAnalysis {
        path: block.path().to_owned(),
        samples_by_kind: top(kinds),
        series_new: before.map(|_| new),
        series_by_metric: top(metrics),
        values_by_label: top(values),
        value_bytes_by_label: top(value_bytes),
        series_by_pair: top(pairs),
        series_by_label: top(labels_of),
        churn_by_label: top(whole(label_churn)),
        churn_by_pair: top(whole(pair_churn)),
    })
}

/// The series of a block, in order, to look some up that come in order, too.
struct SeriesOf<'a> {
    block: &'a Block,
    series: SeriesReader<'a>,
    number: u32,
    next: Option<Labels>,
}

impl<'a> SeriesOf<'a> {
    const fn new(block: &'a Block) -> Self {
        Self { block, series: block.series(), number: 0, next: None }
    }

    fn has(&mut self, wanted: &Labels) -> Result<bool> {
        loop {
            if let Some(next) = &self.next
                && next >= wanted
            {
                return Ok(next == wanted);
            }
            if u64::from(self.number) >= self.block.meta().series_count {
                return Ok(false);
            }
            self.next = Some(self.series.labels(self.number)?);
            self.number += 1;
        }
    }
}
