//! What an operator can choose about storage.

use std::time::Duration;

use model::Matcher;

/// When the log reaches the disk. Every commit reaches the operating system in either case, so that a killed
/// process loses nothing that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalSync {
    /// Before each commit returns; commits that wait together share one sync. A power cut loses nothing.
    Always,
    /// With the first commit after this time, or by [`crate::Tsdb::sync`]. A power cut loses at most what was
    /// committed since; where a sync fails, the next call of either [`crate::Tsdb::sync`] or [`crate::Tsdb::maintain`]
    /// writes the log anew.
    Interval(Duration),
}

/// How long and how much is kept. What is first reached counts.
#[derive(Debug, Clone)]
pub struct Retention {
    /// How long samples are kept that no rule matches; `None` keeps them for ever.
    pub time: Option<Duration>,
    /// How large blocks and log may be together: the oldest blocks go beyond it. `None` for any size.
    pub bytes_max: Option<u64>,
    /// The same as a part of the file system that they are on, between 0 and 1; the smaller of both counts.
    pub disk_part_max: Option<f64>,
    /// Series that are kept for longer, or for less long. The first rule that matches counts.
    pub rules: Vec<RetentionRule>,
}

/// What samples are downsampled to; see the crate's `db/downsample.rs` for what is kept of them.
#[derive(Debug, Clone)]
pub struct Downsampling {
    /// Summaries of five minutes, made of samples.
    pub five_minutes: DownsamplingLevel,
    /// Summaries of an hour, made of those.
    pub one_hour: DownsamplingLevel,
}

/// When summaries are made, and how long they are kept.
#[derive(Debug, Clone)]
pub struct DownsamplingLevel {
    /// How old samples are when they are downsampled. Has to be less than what they are made of is kept for.
    pub after: Duration,
    /// How long summaries are kept; `None` for ever.
    pub retention: Option<Duration>,
}

/// How long some series are kept.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// All must pass.
    pub matchers: Vec<Matcher>,
    /// How long their samples are kept.
    pub time: Duration,
}

impl Retention {
    /// Keeps everything for ever.
    pub const ALL: Self = Self { time: None, bytes_max: None, disk_part_max: None, rules: Vec::new() };

    /// Keeps everything for that long.
    pub fn of_time(time: Duration) -> Self {
        Self { time: Some(time), ..Self::ALL }
    }
}

/// How storage behaves. There is no default on purpose: [`Options::prometheus`] names whose numbers it takes.
#[derive(Debug, Clone)]
pub struct Options {
    /// When the log is synced.
    pub wal_sync: WalSync,
    /// Whether there is a log alone, for readers of it ([`crate::Tsdb::log_reader`]): what would be cut off the head to a
    /// block goes instead, and samples may be of any time, as long as they are newer than the latest of their series.
    pub log_only: bool,
    /// The log starts a new segment beyond this size, so that old ones can be removed.
    pub wal_segment_bytes: u64,
    /// The head is written to a checkpoint once this much log has piled up, which bounds the replay.
    pub checkpoint_bytes: u64,
    /// It is as well after this long, where what has piled up since is more than a small part of it: a start has little
    /// to replay then, however slowly samples come.
    pub checkpoint_interval: Duration,
    /// How much time one block covers. Blocks begin at multiples of it.
    pub block_range: Duration,
    /// A block range is cut off the head when nobody has sent a sample of it for this long, though no later than its
    /// own length after it was due. With zero it is cut as soon as it is due, as Prometheus does: senders that are
    /// further behind the newest sample of all than half a range are refused then.
    pub cut_after_quiet: Duration,
    /// How long and how much is kept. [`crate::Tsdb::set_retention`] changes it.
    pub retention: Retention,
    /// Samples that are not the newest of their series are taken if they are younger than the newest sample of all by
    /// less than this; with zero none of them is. [`crate::Tsdb::set_out_of_order_window`] changes it.
    pub out_of_order_window: Duration,
    /// What becomes of old samples beside being kept as they are; `None` for nothing.
    pub downsampling: Option<Downsampling>,
    /// How many series the head holds at most; `None` for any number. A new series beyond it is refused with
    /// [`model::AppendError::SeriesLimit`], those that are there go on. It bounds the memory of the head: a few
    /// hundred bytes for each series, and more as samples come.
    pub head_series_max: Option<u64>,
    /// The same for the series of one metric name.
    pub metric_series_max: Option<u64>,
    /// The same for the series of one value of the label `job`.
    pub job_series_max: Option<u64>,
}

/// The name under which [`Options::head_series_max`] refuses.
pub(crate) const HEAD_SERIES_MAX: &str = "head_series_max";
/// The name under which [`Options::metric_series_max`] refuses.
pub(crate) const METRIC_SERIES_MAX: &str = "metric_series_max";
/// The name under which [`Options::job_series_max`] refuses.
pub(crate) const JOB_SERIES_MAX: &str = "job_series_max";
/// The name under which [`crate::Tsdb::shed_new_series`] refuses.
pub(crate) const MEMORY_BUDGET: &str = "memory_budget";

impl Options {
    /// Blocks of two hours kept for 15 days, as Prometheus has it; the log is synced once per second, and the head written
    /// to a checkpoint every five minutes at most.
    pub fn prometheus() -> Self {
        Self {
            wal_sync: WalSync::Interval(Duration::from_secs(1)),
            log_only: false,
            wal_segment_bytes: 128 << 20,
            checkpoint_bytes: 256 << 20,
            checkpoint_interval: Duration::from_secs(5 * 60),
            block_range: Duration::from_secs(2 * 3600),
            cut_after_quiet: Duration::ZERO,
            retention: Retention {
                time: Some(Duration::from_secs(15 * 24 * 3600)),
                bytes_max: None,
                disk_part_max: None,
                rules: Vec::new(),
            },
            out_of_order_window: Duration::ZERO,
            downsampling: None,
            head_series_max: None,
            metric_series_max: None,
            job_series_max: None,
        }
    }

    /// A log alone, as Prometheus' agent has it, which follows the head by half an hour and is replayed in a moment.
    pub fn prometheus_agent() -> Self {
        Self {
            log_only: true,
            wal_segment_bytes: 16 << 20,
            checkpoint_bytes: 64 << 20,
            block_range: Duration::from_secs(1800),
            ..Self::prometheus()
        }
    }

    /// The block range in milliseconds, at least one.
    pub(crate) fn block_range_ms(&self) -> i64 {
        i64::try_from(self.block_range.as_millis()).unwrap_or(i64::MAX).max(1)
    }
}
