//! The database: one directory, its log, its head and its blocks.

mod append;
mod arrivals;
mod commit;
mod compact;
mod cursor;
mod delete;
pub(crate) mod downsample;
mod gate;
mod growth;
mod late;
mod latest;
mod maintain;
mod open;
mod order;
mod read;
mod retention;
mod rewrite;
mod select;
mod snapshot;
mod stats;
mod visible;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::Duration;

use model::{Labels, Metadata, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::block::Block;
use crate::clock::Clock;
use crate::error::{Error, IoContext as _, Result};
use crate::fs::FileSystem;
use crate::head::Head;
use crate::options::{Options, Retention};
use crate::tombstones::Tombstones;
use crate::wal::readers::LogReaders;
use crate::wal::{LogHold, LogPosition, LogReader, Wal};

pub use growth::Growth;
pub use latest::{GroupKey, Latest, LatestBy};
pub use maintain::MaintenanceReport;
pub use open::Recovery;
pub(crate) use open::lock;
pub use read::{SelectedSeries, Sink, SummarySink};
pub use select::SeriesExemplars;
pub(crate) use snapshot::existing_dirs;
pub use snapshot::snapshot_stopped;
pub use stats::{BlockStats, Cardinality, Stats};

/// A time series database in one directory. Cheap to share behind an [`Arc`]; every method takes `&self`.
///
/// Dropping it leaves everything that was acknowledged with the operating system; [`Tsdb::close`] also syncs it.
pub struct Tsdb {
    shared: Shared,
}

/// What appenders, readers and maintenance share.
///
/// Locks are taken in this order: `maintenance`, `flight`, `wal`, `gate`, `view`, then those of the head.
struct Shared {
    fs: Arc<dyn FileSystem>,
    clock: Arc<dyn Clock>,
    options: Options,
    wal_dir: PathBuf,
    blocks_dir: PathBuf,
    head: Head,
    /// Held shared by batches from when they keep their places until they are visible, and alone by whoever needs that
    /// none is on its way.
    flight: RwLock<()>,
    /// Frames that wait for the log.
    queue: Mutex<Vec<Arc<commit::Pending>>>,
    /// Batches that wait to be in flight alone.
    waiting: Mutex<Vec<Arc<commit::Waiting>>>,
    /// Who reads the log besides the replay.
    log_readers: Arc<LogReaders>,
    /// `None` once closed.
    wal: Mutex<Option<Wal>>,
    /// Passed by batches that become visible on one side, by readers on the other, so that a reader sees all of a
    /// batch or nothing.
    gate: gate::Gate,
    /// Held for writing at the moment at which a block stands for samples of the head, so that a reader sees either.
    view: RwLock<View>,
    /// How much older than the newest sample late ones may be; zero takes none.
    late_window_ms: AtomicI64,
    /// Whether the log has late samples that a block has taken: a replay would bring them back.
    late_in_log: AtomicBool,
    /// How far back samples still come.
    arrivals: arrivals::Arrivals,
    maintenance: Mutex<()>,
    retention: RwLock<Arc<Retention>>,
    growth: growth::GrowthLog,
    recovery: Recovery,
    /// Held until the database is dropped.
    _lock: Box<dyn Send + Sync>,
}

/// What a reader looks at.
struct View {
    /// The blocks, by time; their time ranges do not overlap.
    blocks: Arc<Vec<Arc<Block>>>,
    /// Everything before this time is in the blocks: what the head still has of it is on its way out.
    head_from: i64,
    /// Downsampled data: blocks of five minutes, and of one hour, each by time.
    coarse: [Arc<Vec<Arc<Block>>>; 2],
    /// What has been deleted of the head, by id.
    head_deleted: Arc<Tombstones>,
    /// What is past retention, as of the latest maintenance.
    expiry: Arc<retention::Expiry>,
}

impl View {
    /// The blocks of a resolution; zero is that of samples.
    fn list_mut(&mut self, resolution_ms: i64) -> &mut Arc<Vec<Arc<Block>>> {
        let [minutes, hours] = &mut self.coarse;
        match downsample::RESOLUTIONS_MS.iter().position(|known| *known == resolution_ms) {
            Some(0) => minutes,
            Some(_) => hours,
            None => &mut self.blocks,
        }
    }
}

impl Tsdb {
    /// Opens the database in `dir`, which is made where it is missing, and replays its log.
    ///
    /// Damaged files do not keep it from opening: they are set aside under the name `*.corrupt` and named by
    /// [`Tsdb::recovery`].
    ///
    /// # Errors
    /// [`Error::Locked`] where another process has the directory, [`Error::UnsupportedVersion`] where another
    /// version has written it, [`Error::Io`].
    pub fn open(
        dir: impl AsRef<Path>,
        options: Options,
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Ok(Self { shared: Shared::open(dir.as_ref(), options, fs, clock)? })
    }

    /// What the last start found on disk.
    pub fn recovery(&self) -> &Recovery {
        &self.shared.recovery
    }

    /// What is known of each metric family, by name.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        self.shared.head.metadata()
    }

    /// Syncs the log where [`crate::WalSync::Interval`] makes it due. Meant to be called once per interval, so
    /// that the bound on what a power cut takes holds for a server that is idle, too.
    ///
    /// Where a sync has failed, now or before, the log is written anew from memory at once, since nobody knows what of it
    /// the disk has; while maintenance is under way that is left to the next call.
    ///
    /// # Errors
    /// [`Error::Io`], also of a sync that has been made up for; [`Error::Closed`].
    pub fn sync(&self) -> Result<()> {
        let shared = &self.shared;
        let alone = shared.maintenance.try_lock();
        let ahead = if alone.is_some() && shared.sync_is_due()? { shared.sync_ahead() } else { Ok(()) };
        let synced = ahead.and_then(|()| shared.sync_if_due());
        if alone.is_some() {
            shared.rewrite_lost()?;
        }
        synced
    }

    /// Syncs the log and takes nothing more. Reading goes on. Closing twice is fine.
    ///
    /// # Errors
    /// [`Error::Io`]; the database is closed all the same.
    pub fn close(&self) -> Result<()> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let synced = match shared.wal.lock().as_mut() {
            Some(wal) => wal.sync(now),
            None => return Ok(()),
        };
        let rewritten = if shared.has_lost() {
            let _alone = shared.maintenance.lock();
            shared.rewrite_lost()
        } else {
            synced
        };
        shared.log_readers.close();
        let last = shared.wal.lock().take().map_or(Ok(()), |mut wal| wal.sync(now));
        rewritten.and(last)
    }

    /// Reads the log from a place that another reader has given, in this process or in an earlier one; where there is none,
    /// what comes from now on. Where part of the log is gone, it begins behind that and counts a gap.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn log_reader(&self, from: Option<LogPosition>) -> Result<LogReader> {
        LogReader::open(Arc::clone(&self.shared.log_readers), from)
    }

    /// Keeps the log until the answer is dropped, for readers that begin meanwhile.
    pub fn hold_log(&self) -> LogHold {
        self.shared.log_readers.hold()
    }

    /// Up to where the log holds what has been acknowledged.
    pub fn log_end(&self) -> LogPosition {
        self.shared.log_readers.end()
    }

    /// How long log stays for readers that a start has no use for any more, and up to a quarter of that longer; the oldest
    /// goes first. Nothing stays unless this is said.
    pub fn keep_log_for(&self, time: Duration) {
        self.shared.log_readers.set_kept(time);
    }

    /// The labels that the head has for a series of the log, where it has them: the same ones, so that whoever keeps
    /// labels by id need not keep a copy.
    pub fn head_labels(&self, id: u32) -> Option<Labels> {
        let mut labels = None;
        self.shared.head.visit([id], |series| labels = Some(series.labels.clone()));
        labels
    }

    /// The newest sample's time, of the head or of any block.
    pub fn max_time(&self) -> Option<Timestamp> {
        self.shared.max_time().map(Timestamp::from_millis)
    }
}

impl Shared {
    fn sync_is_due(&self) -> Result<bool> {
        Ok(self.wal.lock().as_ref().ok_or(Error::Closed)?.sync_is_due(self.clock.now()))
    }

    fn sync_if_due(&self) -> Result<()> {
        let now = self.clock.now();
        let mut wal = self.wal.lock();
        let wal = wal.as_mut().ok_or(Error::Closed)?;
        if wal.sync_is_due(now) { wal.sync(now) } else { Ok(()) }
    }

    /// Has the disk take what the log has by now, while appending goes on: the sync that others wait for is short then.
    /// Only under the lock of maintenance, which alone removes segments.
    fn sync_ahead(&self) -> Result<()> {
        let Some(path) = self.wal.lock().as_ref().and_then(Wal::dirty_path) else { return Ok(()) };
        let mut file = self.fs.append(&path).at("open log", &path)?;
        let synced = file.sync().at("sync log", &path);
        if synced.is_err()
            && let Some(wal) = self.wal.lock().as_mut()
        {
            wal.sync_failed_of(&path);
        }
        synced
    }

    fn has_lost(&self) -> bool {
        self.wal.lock().as_ref().is_some_and(Wal::has_lost)
    }

    /// Writes anew what was acknowledged and may never reach the disk, if there is any. Only under the lock of
    /// maintenance.
    fn rewrite_lost(&self) -> Result<()> {
        if self.has_lost() { self.checkpoint(&[]) } else { Ok(()) }
    }

    fn max_time(&self) -> Option<i64> {
        let blocks = self.view.read().blocks.last().map(|block| block.meta().max_time);
        let head = Some(self.head.max_time()).filter(|time| *time != i64::MIN);
        blocks.max(head)
    }
}

#[cfg(test)]
mod tests;
