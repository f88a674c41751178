//! Who reads the log while it is written, where it ends for them, and what of it is kept for their sake.
//!
//! A checkpoint makes all segments below its number superfluous, except for a reader that has not come so far. For it they stay,
//! with the newest checkpoint that is not past it, which has the labels of the series that they use: as long as
//! [`LogReaders::set_kept`] says, counted from the checkpoint that made them superfluous. Then the oldest go, and the
//! reader goes on with what is left. A reader can begin only where there is a checkpoint, which may be as large as the
//! head: of those between only a few are kept, so that log goes in stretches of [`STRETCHES`]th parts of that time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Timestamp;
use parking_lot::{Condvar, Mutex};

use super::replay::LogFiles;
use super::{LogPosition, checkpoint_path, segment_path};
use crate::error::{IoContext, Result};
use crate::fs::FileSystem;
use crate::header::HEADER_BYTES;

/// In how many stretches the log goes that readers have not come to in time. Each costs the room of a checkpoint, and keeps
/// what is in it for longer than it was promised.
const STRETCHES: i64 = 4;

/// Keeps the log for readers that are still to come, until it is dropped.
pub struct LogHold {
    log: Arc<LogReaders>,
    number: u64,
}

impl Drop for LogHold {
    fn drop(&mut self) {
        self.log.leave(self.number);
    }
}

/// See the module.
pub(crate) struct LogReaders {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) dir: PathBuf,
    end: Mutex<End>,
    changed: Condvar,
    needs: Mutex<Needs>,
    /// Bytes of the files that only readers need.
    kept_bytes: AtomicU64,
}

/// Up to where the log holds what has been acknowledged.
struct End {
    position: LogPosition,
    /// Nothing will follow.
    closed: bool,
}

struct Needs {
    /// The first segment that each reader needs, by the reader's number.
    first: BTreeMap<u64, u64>,
    next: u64,
    kept: Duration,
    /// When each checkpoint was first seen, as far as a reader needs log below it.
    seen: BTreeMap<u64, Timestamp>,
}

impl LogReaders {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: PathBuf) -> Self {
        let position = LogPosition { segment: 0, offset: HEADER_BYTES as u64 };
        Self {
            fs,
            dir,
            end: Mutex::new(End { position, closed: false }),
            changed: Condvar::new(),
            needs: Mutex::new(Needs {
                first: BTreeMap::new(),
                next: 0,
                kept: Duration::ZERO,
                seen: BTreeMap::new(),
            }),
            kept_bytes: AtomicU64::new(0),
        }
    }

    /// Says where the log ends now, and wakes those who wait for more.
    pub(super) fn publish(&self, segment: u64, offset: u64) {
        self.end.lock().position = LogPosition { segment, offset };
        self.changed.notify_all();
    }

    /// Wakes all who wait, for the last time.
    pub(crate) fn close(&self) {
        self.end.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn end(&self) -> LogPosition {
        self.end.lock().position
    }

    /// Waits until there is something behind `position`. Says whether there is.
    pub(super) fn wait(&self, position: LogPosition, timeout: Duration) -> bool {
        let mut end = self.end.lock();
        if end.position <= position && !end.closed {
            self.changed.wait_for(&mut end, timeout);
        }
        end.position > position
    }

    /// The size of the files that are kept for readers alone, as of the last maintenance.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_kept(&self, kept: Duration) {
        self.needs.lock().kept = kept;
    }

    /// Notes a reader that needs segments from `segment` on, and gives its number. `look` sees the files there are, of
    /// which none goes meanwhile, and says where the reader really begins.
    pub(super) fn enter<T>(&self, look: impl FnOnce(&LogFiles) -> (u64, T)) -> Result<(u64, T)> {
        let mut needs = self.needs.lock();
        let files = LogFiles::list(&*self.fs, &self.dir)?;
        let (segment, answer) = look(&files);
        let number = needs.next;
        needs.next += 1;
        needs.first.insert(number, segment);
        Ok((number, answer))
    }

    /// Sees to it that nothing goes as long as the answer lives, but for what has been kept for long enough.
    pub(crate) fn hold(self: &Arc<Self>) -> LogHold {
        let mut needs = self.needs.lock();
        let number = needs.next;
        needs.next += 1;
        needs.first.insert(number, 0);
        LogHold { log: Arc::clone(self), number }
    }

    /// Notes that a reader needs nothing any more below `segment`.
    pub(super) fn advance(&self, reader: u64, segment: u64) {
        self.needs.lock().first.insert(reader, segment);
    }

    pub(super) fn leave(&self, reader: u64) {
        self.needs.lock().first.remove(&reader);
    }

    /// Removes the files below the newest checkpoint that no reader needs, or that were kept for long enough. Gives how many
    /// segments of the latter there were.
    pub(crate) fn remove_unneeded(&self, now: Timestamp) -> Result<usize> {
        let mut needs = self.needs.lock();
        let files = LogFiles::list(&*self.fs, &self.dir)?;
        let Some(newest) = files.checkpoints().last().copied() else { return Ok(0) };
        let first = needs.first.values().copied().min().unwrap_or(newest).min(newest);
        needs.seen.retain(|number, _| *number > first && files.checkpoints().contains(number));
        files.checkpoints().iter().filter(|number| **number > first).for_each(|number| {
            needs.seen.entry(*number).or_insert(now);
        });
        let kept_ms = i64::try_from(needs.kept.as_millis()).unwrap_or(i64::MAX);
        // A clock that went backwards does not keep anything for longer.
        let is_over = |since: Timestamp| now < since || now >= since + needs.kept;
        let over = needs.seen.iter().rev().find(|(_, since)| is_over(**since)).map(|(number, _)| *number);
        let needed = files.checkpoints().iter().copied().filter(|number| *number <= first).max();
        let kept_from = over.max(needed).unwrap_or(0);
        let remove = |path: &Path| self.fs.remove(path).at("remove log", path);
        let mut unread = 0;
        for number in files.segments_in(0..kept_from) {
            remove(&segment_path(&self.dir, number))?;
            unread += usize::from(number >= first);
        }
        let mut kept = Vec::new();
        let mut latest: Option<Timestamp> = None;
        for number in files.checkpoints().iter().copied().filter(|number| *number < newest) {
            let since = needs.seen.get(&number).copied();
            let apart = match (latest, since) {
                (Some(latest), Some(since)) => since.since(latest).saturating_mul(STRETCHES) >= kept_ms,
                _ => true,
            };
            if number == kept_from || (number > kept_from && apart) {
                latest = since;
                kept.push(number);
            } else {
                remove(&checkpoint_path(&self.dir, number))?;
            }
        }
        let segments = files.segments_in(kept_from..newest).map(|number| segment_path(&self.dir, number));
        let checkpoints = kept.into_iter().map(|number| checkpoint_path(&self.dir, number));
        let bytes = segments
            .chain(checkpoints)
            .map(|path| Ok(self.fs.map(&path).at("read log", &path)?.len() as u64));
        self.kept_bytes.store(bytes.sum::<Result<u64>>()?, Ordering::Relaxed);
        Ok(unread)
    }
}
