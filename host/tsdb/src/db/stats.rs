//! What storage says of itself.

use std::sync::atomic::Ordering;

use model::{METRIC_NAME, Timestamp};

use super::Shared;
use crate::Tsdb;
use crate::block::Block;
use crate::db::downsample::{DIRS, RESOLUTIONS_MS};
use crate::head::RefusedSeries;
use crate::index::Name;

/// Storage in numbers. Counters count from the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Series in the head.
    pub head_series: u64,
    /// Chunks in the head, open ones included.
    pub head_chunks: u64,
    /// The head's oldest sample.
    pub head_min_time: Option<Timestamp>,
    /// The head's newest sample.
    pub head_max_time: Option<Timestamp>,
    /// Samples appended.
    pub samples_appended: u64,
    /// Those of them that are histograms.
    pub histograms_appended: u64,
    /// Samples that a checkpoint holds in chunks that cannot be read.
    pub samples_dropped: u64,
    /// Exemplars appended.
    pub exemplars_appended: u64,
    /// Series that came.
    pub series_created: u64,
    /// Series that left.
    pub series_removed: u64,
    /// New samples and histograms that were refused with their series by any limit; see [`Tsdb::refused_series`].
    pub series_refused: u64,
    /// Blocks.
    pub blocks: u64,
    /// Their size on disk.
    pub block_bytes: u64,
    /// Samples in them.
    pub block_samples: u64,
    /// Blocks of downsampled data: of five minutes, and of one hour.
    pub downsampled_blocks: [u64; 2],
    /// Their size on disk.
    pub downsampled_bytes: [u64; 2],
    /// Series of which something is deleted that a block still has, counted for each block.
    pub tombstoned_series: u64,
    /// The log's size on disk.
    pub wal_bytes: u64,
    /// The oldest sample or exemplar of all.
    pub min_time: Option<Timestamp>,
    /// The newest sample or exemplar of all.
    pub max_time: Option<Timestamp>,
}

/// A block in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStats {
    /// Its file's name, without the ending; of downsampled data after the folder's.
    pub name: String,
    /// The version of its format.
    pub version: u32,
    /// The range that it stands for, in milliseconds.
    pub range_ms: i64,
    /// How far its summaries are apart, in milliseconds; zero where it has samples.
    pub resolution_ms: i64,
    /// Its oldest sample or exemplar.
    pub min_time: Timestamp,
    /// Its newest sample or exemplar.
    pub max_time: Timestamp,
    /// Its series.
    pub series: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Its samples.
    pub samples: u64,
    /// Its size on disk.
    pub bytes: u64,
}

/// Where the head's series come from; each list has the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cardinality {
    /// Label names in the head.
    pub label_names: u64,
    /// Pairs of label name and value in the head.
    pub label_pairs: u64,
    /// Series by metric name.
    pub series_by_metric: Vec<(String, u64)>,
    /// Values by label name.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes of values by label name.
    pub value_bytes_by_label: Vec<(String, u64)>,
    /// Series by label pair, as `name=value`.
    pub series_by_pair: Vec<(String, u64)>,
}

impl Tsdb {
    /// Storage in numbers.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The blocks on disk, those of downsampled data among them, the oldest first.
    pub fn blocks(&self) -> Vec<BlockStats> {
        let (blocks, coarse) = {
            let view = self.shared.view.read();
            (view.blocks.clone(), view.coarse.clone())
        };
        let all = coarse.iter().flat_map(|blocks| blocks.iter()).chain(blocks.iter());
        let mut stats: Vec<BlockStats> = all.map(|block| BlockStats::of(block)).collect();
        stats.sort_by(|a, b| (a.min_time, &a.name).cmp(&(b.min_time, &b.name)));
        stats
    }

    /// Bytes that the label index of the head takes in memory, roughly.
    pub fn index_bytes(&self) -> u64 {
        self.shared.head.index().names().map(|(_, known)| known.memory_bytes()).sum()
    }

    /// What each limit of series has refused, by its name.
    pub fn refused_series(&self) -> Vec<RefusedSeries> {
        self.shared.head.limits.refused()
    }

    /// Refuses every new series from now on, by the name `memory_budget`, or no longer. For an operator's budget of
    /// memory that is nearly spent: what is there goes on.
    pub fn shed_new_series(&self, shedding: bool) {
        self.shared.head.limits.shed(shedding);
    }

    /// The metrics, labels and pairs with the most series of the head, `count_max` of each.
    pub fn cardinality(&self, count_max: usize) -> Cardinality {
        self.shared.cardinality(count_max)
    }
}

impl BlockStats {
    fn of(block: &Block) -> Self {
        let meta = block.meta();
        let stem = block.path().file_stem().unwrap_or_default().to_string_lossy();
        let level = RESOLUTIONS_MS.iter().position(|resolution| *resolution == block.resolution_ms());
        Self {
            name: match level.and_then(|level| DIRS.get(level)) {
                Some(dir) => format!("{dir}/{stem}"),
                None => stem.into_owned(),
            },
            version: block.version(),
            range_ms: meta.range_end.saturating_sub(meta.range_start),
            resolution_ms: block.resolution_ms(),
            min_time: Timestamp::from_millis(meta.min_time),
            max_time: Timestamp::from_millis(meta.max_time),
            series: meta.series_count,
            chunks: meta.chunk_count,
            samples: meta.sample_count,
            bytes: block.bytes(),
        }
    }
}

impl Shared {
    /// The size of the log, what is kept for readers among it.
    pub(super) fn log_bytes(&self) -> u64 {
        self.wal.lock().as_ref().map_or(0, |wal| wal.bytes()) + self.log_readers.kept_bytes()
    }

    fn stats(&self) -> Stats {
        let head_min = self.head.min_time();
        let head_max = head_min.map(|_| self.head.max_time());
        let (blocks, coarse) = {
            let view = self.view.read();
            (view.blocks.clone(), view.coarse.clone())
        };
        let all = coarse.iter().flat_map(|blocks| blocks.iter()).chain(blocks.iter());
        let tombstoned_series = all.map(|block| block.tombstones().iter().count() as u64).sum();
        let min = blocks.iter().map(|block| block.meta().min_time).chain(head_min).min();
        let max = blocks.iter().map(|block| block.meta().max_time).chain(head_max).max();
        let counters = &self.head.counters;
        Stats {
            head_series: self.head.series_count(),
            head_chunks: self.head.chunk_count(),
            head_min_time: head_min.map(Timestamp::from_millis),
            head_max_time: head_max.map(Timestamp::from_millis),
            samples_appended: counters.samples_appended.load(Ordering::Relaxed),
            histograms_appended: counters.histograms_appended.load(Ordering::Relaxed),
            samples_dropped: counters.samples_dropped.load(Ordering::Relaxed),
            exemplars_appended: counters.exemplars_appended.load(Ordering::Relaxed),
            series_created: counters.series_created.load(Ordering::Relaxed),
            series_removed: counters.series_removed.load(Ordering::Relaxed),
            series_refused: self.head.limits.refused().iter().map(|refused| refused.count).sum(),
            blocks: blocks.len() as u64,
            block_bytes: blocks.iter().map(|block| block.bytes()).sum(),
            block_samples: blocks.iter().map(|block| block.meta().sample_count).sum(),
            downsampled_blocks: coarse.each_ref().map(|blocks| blocks.len() as u64),
            downsampled_bytes: coarse.each_ref().map(|blocks| blocks.iter().map(|block| block.bytes()).sum()),
            tombstoned_series,
            wal_bytes: self.log_bytes(),
            min_time: min.map(Timestamp::from_millis),
            max_time: max.map(Timestamp::from_millis),
        }
    }

    fn cardinality(&self, count_max: usize) -> Cardinality {
        let index = self.head.index();
        let top = |all: &mut dyn Iterator<Item = (String, u64)>| {
            let mut all: Vec<_> = all.collect();
            all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            all.truncate(count_max);
            all
        };
        let metrics = || index.values(METRIC_NAME).into_iter();
        // Texts are made only for what can be among the largest.
        let least = |counts: &mut Vec<u64>| {
            let at = count_max.checked_sub(1).filter(|at| *at < counts.len());
            at.map_or(0, |at| *counts.select_nth_unstable_by(at, |a, b| b.cmp(a)).1)
        };
        let mut counts: Vec<u64> = index.names().flat_map(|(_, known)| known.counts()).collect();
        let label_pairs = counts.len() as u64;
        let least_of_pairs = least(&mut counts);
        let mut counts: Vec<u64> = metrics().flat_map(Name::counts).collect();
        let least_of_metrics = least(&mut counts);
        Cardinality {
            label_names: index.names().count() as u64,
            label_pairs,
            series_by_metric: top(&mut metrics()
                .flat_map(|known| known.carried_by(least_of_metrics, count_max))
                .map(|(metric, count)| (metric.to_owned(), count))),
            values_by_label: top(&mut index
                .names()
                .map(|(name, known)| (name.to_owned(), known.carried_count()))),
            value_bytes_by_label: top(&mut index
                .names()
                .map(|(name, known)| (name.to_owned(), known.carried_bytes()))),
            series_by_pair: top(&mut index.names().flat_map(|(name, known)| {
                known
                    .carried_by(least_of_pairs, count_max)
                    .map(move |(value, count)| (format!("{name}={value}"), count))
            })),
        }
    }
}
