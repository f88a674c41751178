//! The write-ahead log: every batch, before anybody can see it.
//!
//! # Format (version 5)
//!
//! A directory of segments `00000001.wal`, `00000002.wal`, ... and at most one live checkpoint
//! `00000002.checkpoint`, which stands for all segments *below* its number. Both have the same layout; integers
//! are little-endian.
//!
//! ```text
//! file     ┌──────────────────────┬─────────────┬────────────────────┐
//! header   │ magic "SGLASSWL"  8  │ version  4  │ CRC32 of those   4 │
//!          ├───────────┬──────────┼─────────────┴────────┬───────────┘
//! frame    │ marker 4  │ length 4 │ CRC32 of length and  │ payload of that length
//!          │ "SGF\xf1" │          │ payload            4 │ = sections, one after the other
//!          ├───────────┴──────────┴──────────────────────┴──...
//! frame    │ ...
//! ```
//!
//! One frame is one batch: it is there as a whole or not at all. The sections are described in [`record`].
//! A series is defined (id and labels) in the same frame as, or in one before, the first frame that uses its id.
//!
//! # What is assumed and what follows
//!
//! A frame is acknowledged after it was written, and synced where [`crate::WalSync::Always`] says so. A segment
//! is synced before the next one is begun. On replay, bytes that are no frame and are followed by no good frame
//! are a *torn tail* when they end the last segment: nothing acknowledged and synced was there, they are cut
//! off. Segments are numbered without a gap: where one is missing, that is named. Anywhere else they are *corruption*: the good frames around them are kept, the head is written to a new
//! checkpoint, and the file is set aside under the name `*.corrupt`.
//!
//! After a failed write or sync the log returns to the last acknowledged byte and goes on in a new segment before it
//! takes another frame. Where the failed sync was of frames that had been acknowledged before, as those of
//! [`crate::WalSync::Interval`] are, these may never reach the disk, whatever a later sync says: they count as lost until
//! a checkpoint, written from memory, stands for their segment. So long there is an empty file `sync-failed`: a process
//! that is killed meanwhile leaves what the system still has of these frames, and the next one, which reads it, makes the
//! checkpoint. A power cut before that takes them.
//!
//! # Checkpoints
//!
//! The head is written to a checkpoint when a block has been cut, when [`crate::Options::checkpoint_bytes`] of log have piled
//! up since the last one, and every [`crate::Options::checkpoint_interval`], as long as the log since is at least an eighth
//! as large as the last one: less hardly makes a start longer, and a large head to which little comes is not written again
//! and again. A start thus reads a checkpoint and the log of some minutes.
//!
//! | version | change |
//! |---|---|
//! | 1 | first |
//! | 2 | chunks of a checkpoint may hold values as decimals |
//! | 3 | deletions |
//! | 4 | late samples |
//! | 5 | starts, of samples and at the end of chunks |

mod reader;
pub(crate) mod readers;
pub(crate) mod record;
pub(crate) mod replay;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::error::{Error, IoContext, Result};
use crate::fs::{File, FileSystem};
use crate::header::{FileKind, HEADER_BYTES};
use crate::options::{Options, WalSync};

pub use reader::{LogFrame, LogItems, LogReader, LogSamples};
pub use readers::LogHold;
use readers::LogReaders;
use replay::Replayed;

/// The version that is written.
pub const FORMAT_VERSION: u32 = 5;
/// The oldest version that is read.
pub const OLDEST_READABLE: u32 = 1;

const KIND: FileKind = FileKind { magic: b"SGLASSWL", version: FORMAT_VERSION, oldest: OLDEST_READABLE };
const FRAME_MARKER: [u8; 4] = *b"SGF\xf1";
const FRAME_HEADER_BYTES: usize = 12;

/// No frame is larger: a length beyond it is corrupt, a batch beyond it is refused. Far above what senders send
/// at once, far below what would hurt to hold in memory.
pub(crate) const FRAME_BYTES_MAX: u64 = 256 << 20;

/// Checkpoints are written in frames of about this size, so that a replay holds little at a time.
const CHECKPOINT_FRAME_BYTES: usize = 1 << 20;

/// A checkpoint is made for the time that has passed only where the log since the last one has at least this part of its
/// size.
const WORTH_PART: u64 = 8;

/// The file that says that a sync has failed, and that no checkpoint has made up for it.
const SYNC_FAILED_NAME: &str = "sync-failed";

const SEGMENT_EXTENSION: &str = "wal";
const CHECKPOINT_EXTENSION: &str = "checkpoint";
const TEMPORARY_EXTENSION: &str = "tmp";

/// Begins a frame whose payload is written behind it; see [`finish_frame`].
pub(crate) fn begin_frame(bytes_expected: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + bytes_expected);
    frame.resize(FRAME_HEADER_BYTES, 0);
    frame
}

/// Fills in what stands before the payload of a frame.
///
/// # Errors
/// [`Error::BatchTooLarge`].
pub(crate) fn finish_frame(mut frame: Vec<u8>) -> Result<Vec<u8>> {
    let payload = frame.get(FRAME_HEADER_BYTES..).unwrap_or_default();
    let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
    put_frame_header(&mut header, &[payload])?;
    frame.splice(..FRAME_HEADER_BYTES, header);
    Ok(frame)
}

fn frame_crc(length: [u8; 4], payload: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    payload.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Appends a frame to `out`; its payload is the parts together, so that they need not be copied first.
///
/// # Errors
/// [`Error::BatchTooLarge`], with nothing appended.
pub(crate) fn put_frame(out: &mut Vec<u8>, payload: &[&[u8]]) -> Result<()> {
    put_frame_header(out, payload)?;
    payload.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

fn put_frame_header(out: &mut Vec<u8>, payload: &[&[u8]]) -> Result<()> {
    let bytes = payload.iter().map(|part| part.len() as u64).sum::<u64>();
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX);
    let Some(length) = length.map(u32::to_le_bytes) else {
        return Err(Error::BatchTooLarge { bytes, bytes_max: FRAME_BYTES_MAX });
    };
    out.extend_from_slice(&FRAME_MARKER);
    out.extend_from_slice(&length);
    out.extend_from_slice(&frame_crc(length, payload).to_le_bytes());
    Ok(())
}

/// A segment of one frame; for fuzzers. Empty where the frame would be too large.
pub(crate) fn segment_of(payload: &[u8]) -> Vec<u8> {
    let mut out = KIND.header();
    put_frame(&mut out, &[payload]).map_or_else(|_| Vec::new(), |()| out)
}

/// What the good frames of a segment or a checkpoint hold; for fuzzers.
pub(crate) fn payloads_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut at = 0;
    while let Some((start, end)) = replay::next_frame(bytes, at) {
        payloads.extend(bytes.get(start + FRAME_HEADER_BYTES..end).map(<[u8]>::to_vec));
        at = end;
    }
    payloads
}

/// A place between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition {
    /// The number of the segment.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
}

/// The log, open for appending. One commit at a time has it.
pub(crate) struct Wal {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    sync: WalSync,
    segment_bytes_max: u64,
    checkpoint_bytes_max: u64,
    checkpoint_interval: Duration,
    segment: Segment,
    readers: Arc<LogReaders>,
    /// Bytes in all live segments and the checkpoint.
    bytes: u64,
    /// Bytes since the checkpoint.
    bytes_since_checkpoint: u64,
    /// When the checkpoint was made, or when this process started.
    checkpointed_at: Timestamp,
    synced_at: Timestamp,
    /// The newest segment with acknowledged frames of which a sync has failed, while no checkpoint stands for it.
    lost_in: Option<u64>,
}

/// The segment that is written to.
struct Segment {
    number: u64,
    path: PathBuf,
    file: Box<dyn File>,
    /// How much of it counts.
    bytes: u64,
    /// How much of that is known to be on the disk.
    synced_bytes: u64,
    /// Whether it ends here, and bytes beyond what counts have to go before the next frame.
    damaged: bool,
}

impl Segment {
    fn create(fs: &dyn FileSystem, dir: &Path, number: u64) -> Result<Self> {
        let path = segment_path(dir, number);
        let create = || -> std::io::Result<Box<dyn File>> {
            let mut file = fs.append(&path)?;
            file.write_all(&KIND.header())?;
            file.sync()?;
            fs.sync_dir(dir)?;
            Ok(file)
        };
        match create() {
            Ok(file) => {
                let bytes = HEADER_BYTES as u64;
                Ok(Self { number, path, file, bytes, synced_bytes: bytes, damaged: false })
            }
            Err(source) => {
                // A leftover has no frames; a replay passes over it where it cannot be removed now.
                let _ = fs.remove(&path);
                Err(Error::Io { action: "create log segment", path, source })
            }
        }
    }

    /// Whether acknowledged frames wait for the disk.
    const fn is_dirty(&self) -> bool {
        self.bytes > self.synced_bytes
    }
}

impl Wal {
    /// Goes on, in a segment of its own, with the log that was replayed.
    pub(crate) fn create(
        readers: Arc<LogReaders>,
        options: &Options,
        replayed: &Replayed,
        now: Timestamp,
    ) -> Result<Self> {
        let (fs, dir) = (Arc::clone(&readers.fs), readers.dir.clone());
        let segment = Segment::create(&*fs, &dir, replayed.next_number)?;
        readers.publish(segment.number, segment.bytes);
        Ok(Self {
            fs,
            dir,
            sync: options.wal_sync,
            segment_bytes_max: options.wal_segment_bytes,
            checkpoint_bytes_max: options.checkpoint_bytes,
            checkpoint_interval: options.checkpoint_interval,
            lost_in: replayed.sync_has_failed.then(|| segment.number - 1),
            segment,
            readers,
            bytes: replayed.bytes,
            bytes_since_checkpoint: replayed.bytes - replayed.checkpoint_bytes,
            checkpointed_at: now,
            synced_at: now,
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn bytes_since_checkpoint(&self) -> u64 {
        self.bytes_since_checkpoint
    }

    /// Whether a start would have so much to replay that a checkpoint is worth its while, or lacks what the disk may lack.
    pub(crate) fn checkpoint_is_due(&self, now: Timestamp) -> bool {
        let since = self.bytes_since_checkpoint;
        let checkpoint_bytes = self.bytes.saturating_sub(since);
        // A clock that went backwards must not put it off for as long.
        let passed = now < self.checkpointed_at || now >= self.checkpointed_at + self.checkpoint_interval;
        let worth = since > 0 && since >= checkpoint_bytes / WORTH_PART;
        since > self.checkpoint_bytes_max || (passed && worth) || self.has_lost()
    }

    /// Writes frames and syncs them where they must be.
    ///
    /// # Errors
    /// The file system's; the log is then as it was before, or will be before it takes another frame.
    pub(crate) fn append(&mut self, frames: &[u8], now: Timestamp) -> Result<()> {
        self.repair()?;
        if self.segment.bytes > self.segment_bytes_max {
            self.rotate()?;
        }
        let segment = &mut self.segment;
        if let Err(source) = segment.file.write_all(frames) {
            segment.damaged = true;
            let error = Error::Io { action: "write log", path: segment.path.clone(), source };
            // Where this fails too, the next frame tries again.
            let _ = self.repair();
            return Err(error);
        }
        let due = match self.sync {
            WalSync::Always => true,
            // A clock that went backwards must not put the sync off for as long.
            WalSync::Interval(interval) => now < self.synced_at || now >= self.synced_at + interval,
        };
        if due && let Err(source) = segment.file.sync() {
            let error = Error::Io { action: "sync log", path: segment.path.clone(), source };
            self.sync_failed();
            let _ = self.repair();
            return Err(error);
        }
        let written = frames.len() as u64;
        self.segment.bytes += written;
        if due {
            (self.segment.synced_bytes, self.synced_at) = (self.segment.bytes, now);
        }
        self.bytes += written;
        self.bytes_since_checkpoint += written;
        self.readers.publish(self.segment.number, self.segment.bytes);
        Ok(())
    }

    /// Makes everything durable that was acknowledged since a sync failed.
    pub(crate) fn sync(&mut self, now: Timestamp) -> Result<()> {
        self.repair()?;
        self.sync_segment(now)
    }

    /// Whether acknowledged frames wait for the disk for longer than they may.
    pub(crate) fn sync_is_due(&self, now: Timestamp) -> bool {
        let interval = match self.sync {
            WalSync::Always => Duration::ZERO,
            WalSync::Interval(interval) => interval,
        };
        self.segment.is_dirty() && (now < self.synced_at || now >= self.synced_at + interval)
    }

    /// The segment that has frames which wait for the disk.
    pub(crate) fn dirty_path(&self) -> Option<PathBuf> {
        (self.segment.is_dirty() && !self.segment.damaged).then(|| self.segment.path.clone())
    }

    /// Whether acknowledged frames may never reach the disk unless a checkpoint is made.
    pub(crate) const fn has_lost(&self) -> bool {
        self.lost_in.is_some()
    }

    /// Notes that a sync of a segment has failed which somebody else made.
    pub(crate) fn sync_failed_of(&mut self, path: &Path) {
        if self.segment.path == path {
            self.sync_failed();
        } else {
            // The log has gone on since; a sync in between may have been told nothing.
            self.has_lost_up_to(self.segment.number - 1);
        }
    }

    /// Notes that the disk may lack acknowledged frames of a segment or of those before it.
    fn has_lost_up_to(&mut self, number: u64) {
        self.lost_in = self.lost_in.max(Some(number));
        // For the next process: it reads what the system has of these frames and cannot know that the disk has not. That
        // this disk takes no file either is no reason to stop.
        let _ = self.fs.append(&self.sync_failed_path());
    }

    fn sync_failed_path(&self) -> PathBuf {
        self.dir.join(SYNC_FAILED_NAME)
    }

    /// Ends the segment, of which the disk may lack what it has not been known to have.
    fn sync_failed(&mut self) {
        self.segment.damaged = true;
        if self.segment.is_dirty() {
            self.has_lost_up_to(self.segment.number);
        }
    }

    fn sync_segment(&mut self, now: Timestamp) -> Result<()> {
        if self.segment.is_dirty() {
            if let Err(source) = self.segment.file.sync() {
                self.sync_failed();
                return Err(Error::Io { action: "sync log", path: self.segment.path.clone(), source });
            }
            self.segment.synced_bytes = self.segment.bytes;
        }
        self.synced_at = now;
        Ok(())
    }

    /// Cuts off what a failed write or sync left behind. What follows goes to a new segment, since after a failed
    /// sync nobody knows what of the old one can still reach the disk.
    fn repair(&mut self) -> Result<()> {
        if self.segment.damaged {
            if let Err(source) = self.fs.truncate(&self.segment.path, self.segment.bytes) {
                // It syncs, too, and may have failed at that.
                self.sync_failed();
                return Err(Error::Io { action: "repair log", path: self.segment.path.clone(), source });
            }
            self.segment = Segment::create(&*self.fs, &self.dir, self.segment.number + 1)?;
        }
        Ok(())
    }

    /// Begins a new segment and returns its number.
    pub(crate) fn rotate(&mut self) -> Result<u64> {
        self.repair()?;
        self.sync_segment(self.synced_at)?;
        self.segment = Segment::create(&*self.fs, &self.dir, self.segment.number + 1)?;
        self.bytes += self.segment.bytes;
        self.readers.publish(self.segment.number, self.segment.bytes);
        Ok(self.segment.number)
    }

    /// Notes that a checkpoint of `bytes` stands for everything before segment `number`, which began when `before` bytes
    /// had been written since the last one.
    pub(crate) fn checkpointed(&mut self, number: u64, checkpoint_bytes: u64, before: u64, now: Timestamp) {
        if self.lost_in.take_if(|lost_in| *lost_in < number).is_some() {
            // Where it stays, the next start makes a checkpoint too many.
            let _ = self.fs.remove(&self.sync_failed_path());
        }
        self.checkpointed_at = now;
        self.bytes_since_checkpoint = self.bytes_since_checkpoint.saturating_sub(before);
        self.bytes = checkpoint_bytes + self.bytes_since_checkpoint;
    }
}

pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.{SEGMENT_EXTENSION}"))
}

fn checkpoint_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.{CHECKPOINT_EXTENSION}"))
}

/// Writes a checkpoint: sections in frames, under a temporary name until it is whole. Dropped before that it leaves
/// nothing: a disk that fails for long must not fill up with attempts.
pub(crate) struct CheckpointWriter<'a> {
    fs: &'a dyn FileSystem,
    dir: &'a Path,
    number: u64,
    temporary: PathBuf,
    file: Box<dyn File>,
    bytes: u64,
    frame: Vec<u8>,
    is_named: bool,
}

impl Drop for CheckpointWriter<'_> {
    fn drop(&mut self) {
        if !self.is_named {
            // What stays goes with the next start.
            let _ = self.fs.remove(&self.temporary);
        }
    }
}

impl<'a> CheckpointWriter<'a> {
    /// Begins the checkpoint that stands for all segments below `number`.
    pub(crate) fn create(fs: &'a dyn FileSystem, dir: &'a Path, number: u64) -> Result<Self> {
        let temporary = checkpoint_path(dir, number).with_extension(TEMPORARY_EXTENSION);
        let file = fs.append(&temporary).at("create checkpoint", &temporary)?;
        let mut writer =
            Self { fs, dir, number, temporary, file, bytes: 0, frame: Vec::new(), is_named: false };
        // An earlier attempt may have left something under this name.
        writer.fs.truncate(&writer.temporary, 0).at("empty checkpoint", &writer.temporary)?;
        writer.write(&KIND.header())?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at("write checkpoint", &self.temporary)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Adds whole sections.
    pub(crate) fn sections(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        put(&mut self.frame);
        if self.frame.len() >= CHECKPOINT_FRAME_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut frame = Vec::with_capacity(self.frame.len() + FRAME_HEADER_BYTES);
        put_frame(&mut frame, &[&self.frame])?;
        self.frame.clear();
        self.write(&frame)
    }

    /// Makes the checkpoint durable and sets aside those of the log files that it stands for which `corrupt` names.
    /// Returns its size. The others go with [`LogReaders::remove_unneeded`].
    pub(crate) fn finish(mut self, corrupt: &[PathBuf]) -> Result<u64> {
        self.flush()?;
        self.file.sync().at("sync checkpoint", &self.temporary)?;
        let path = checkpoint_path(self.dir, self.number);
        self.fs.rename(&self.temporary, &path).at("name checkpoint", &path)?;
        self.is_named = true;
        self.fs.sync_dir(self.dir).at("sync directory", self.dir)?;
        for file in corrupt {
            let mut aside = file.clone().into_os_string();
            aside.push(".corrupt");
            self.fs.rename(file, Path::new(&aside)).at("set aside corrupt", file)?;
        }
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests;
