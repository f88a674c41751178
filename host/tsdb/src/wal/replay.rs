//! Reading the log back.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::record::{self, Section};
use super::{
    CHECKPOINT_EXTENSION, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_MARKER, KIND, SEGMENT_EXTENSION,
    SYNC_FAILED_NAME, TEMPORARY_EXTENSION, checkpoint_path, frame_crc, segment_path,
};
use crate::codec::Reader;
use crate::error::{Error, IoContext, Result};
use crate::fs::FileSystem;
use crate::header::HEADER_BYTES;

/// The number of the first segment of a directory.
pub(super) const FIRST_SEGMENT: u64 = 1;

/// The files of a log directory, by number.
#[derive(Debug, Default)]
pub(crate) struct LogFiles {
    dir: PathBuf,
    segments: Vec<u64>,
    checkpoints: Vec<u64>,
    temporary: Vec<PathBuf>,
    /// Whether there is the file that says that a sync has failed.
    sync_has_failed: bool,
}

impl LogFiles {
    pub(crate) fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Self> {
        let mut files = Self { dir: dir.to_owned(), ..Self::default() };
        for name in fs.list(dir).at("list", dir)? {
            files.sync_has_failed |= name == SYNC_FAILED_NAME;
            let Some((stem, extension)) = name.split_once('.') else { continue };
            let Ok(number) = stem.parse() else { continue };
            match extension {
                SEGMENT_EXTENSION => files.segments.push(number),
                CHECKPOINT_EXTENSION => files.checkpoints.push(number),
                TEMPORARY_EXTENSION => files.temporary.push(dir.join(name)),
                _ => {}
            }
        }
        files.segments.sort_unstable();
        files.checkpoints.sort_unstable();
        Ok(files)
    }

    /// The numbers of the segments in a range.
    pub(crate) fn segments_in(&self, numbers: Range<u64>) -> impl Iterator<Item = u64> {
        self.segments.iter().copied().filter(move |number| numbers.contains(number))
    }

    /// What a replay reads, in its order: the newest checkpoint and the segments from it on.
    pub(crate) fn live(&self) -> Vec<PathBuf> {
        let checkpoint = self.checkpoints.last().copied();
        let segments = self.segments.iter().filter(|n| **n >= checkpoint.unwrap_or(0));
        let checkpoint = checkpoint.map(|number| checkpoint_path(&self.dir, number));
        checkpoint.into_iter().chain(segments.map(|n| segment_path(&self.dir, *n))).collect()
    }

    /// The error that no segment precedes a live one which one should precede. Only a checkpoint removes segments, and
    /// the one of its number is there before it is.
    fn missing_before(&self, number: u64) -> Option<Error> {
        let checkpoint = self.checkpoints.last().copied();
        let before =
            self.segments.iter().copied().filter(|n| *n < number && checkpoint.is_none_or(|at| *n >= at));
        let expected = before.max().map_or(checkpoint.unwrap_or(FIRST_SEGMENT), |before| before + 1);
        let what = || match number - expected {
            1 => format!("segment is missing, the log goes on with number {number}"),
            count => format!("{count} segments are missing, the log goes on with number {number}"),
        };
        (number > expected).then(|| Error::corrupt(&segment_path(&self.dir, expected), 0, what()))
    }

    /// The numbers of the checkpoints, in order.
    pub(crate) fn checkpoints(&self) -> &[u64] {
        &self.checkpoints
    }
}

/// What a replay found besides records.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The number after the highest one in use.
    pub(crate) next_number: u64,
    /// The size of what was read.
    pub(crate) bytes: u64,
    /// How much of that is the checkpoint.
    pub(crate) checkpoint_bytes: u64,
    /// Whether the process before has seen a sync fail and made no checkpoint since.
    pub(crate) sync_has_failed: bool,
    /// Bytes cut off the end.
    pub(crate) torn_bytes: u64,
    /// One per stretch that could not be read; always [`Error::Corrupt`].
    pub(crate) corruptions: Vec<Error>,
    /// The files that those are in.
    pub(crate) corrupt_files: Vec<PathBuf>,
}

/// Hands over every section of the log in order and cuts a torn tail off. What a checkpoint has made superfluous stays:
/// somebody may still want to read it.
pub(crate) fn replay(fs: &dyn FileSystem, dir: &Path, mut each: impl FnMut(Section)) -> Result<Replayed> {
    let files = LogFiles::list(fs, dir)?;
    let checkpoint = files.checkpoints.last().copied();
    // Leftovers of a checkpoint that was interrupted before it got its name.
    for leftover in &files.temporary {
        fs.remove(leftover).at("remove log", leftover)?;
    }
    let live: Vec<u64> = files.segments.iter().copied().filter(|n| *n >= checkpoint.unwrap_or(0)).collect();
    let highest = checkpoint.into_iter().chain(live.last().copied()).max().unwrap_or(0);
    let mut replayed =
        Replayed { next_number: highest + 1, sync_has_failed: files.sync_has_failed, ..Replayed::default() };
    if let Some(number) = checkpoint {
        replay_file(fs, &checkpoint_path(dir, number), false, &mut replayed, &mut each)?;
        replayed.checkpoint_bytes = replayed.bytes;
    }
    for number in &live {
        replayed.corruptions.extend(files.missing_before(*number));
        let last = live.last() == Some(number);
        if replay_file(fs, &segment_path(dir, *number), last, &mut replayed, &mut each)? {
            replayed.next_number = *number;
        }
    }
    Ok(replayed)
}

/// Hands over every section of the log in order and changes nothing. Gives the errors, and the bytes at the end of the
/// last segment that are no frame.
pub(crate) fn inspect(
    fs: &dyn FileSystem,
    dir: &Path,
    mut each: impl FnMut(Section),
) -> Result<(Vec<Error>, u64)> {
    let listed = LogFiles::list(fs, dir)?;
    let files = listed.live();
    let live = listed.segments_in(listed.checkpoints.last().copied().unwrap_or(0)..u64::MAX);
    let mut corruptions: Vec<Error> = live.filter_map(|number| listed.missing_before(number)).collect();
    let mut torn = 0;
    for path in &files {
        let last = files.last() == Some(path)
            && path.extension().is_some_and(|extension| extension == SEGMENT_EXTENSION);
        let bytes = fs.map(path).at("read log", path)?;
        let good = read_frames(path, &bytes, last, &mut corruptions, &mut each)?;
        torn = if last { bytes.len().saturating_sub(good) as u64 } else { 0 };
    }
    Ok((corruptions, torn))
}

/// Reads a file. Says whether it removed it, since it was the last and nothing had been written to it.
fn replay_file(
    fs: &dyn FileSystem,
    path: &Path,
    last: bool,
    replayed: &mut Replayed,
    each: &mut impl FnMut(Section),
) -> Result<bool> {
    let good = {
        let bytes = fs.map(path).at("read log", path)?;
        let corruptions = replayed.corruptions.len();
        let good = read_frames(path, &bytes, last, &mut replayed.corruptions, each)?;
        if replayed.corruptions.len() > corruptions {
            replayed.corrupt_files.push(path.to_owned());
        }
        replayed.bytes += bytes.len() as u64;
        (good < bytes.len()).then_some((good, bytes.len() - good))
    };
    match good {
        // Only the last segment has a torn tail that is no corruption; a corrupt file is kept as it is.
        Some((good, torn)) if last && !replayed.corrupt_files.iter().any(|file| file == path) => {
            replayed.torn_bytes += torn as u64;
            if good <= HEADER_BYTES {
                fs.remove(path).at("remove empty log", path)?;
                return Ok(true);
            }
            fs.truncate(path, good as u64).at("cut torn log", path)?;
            Ok(false)
        }
        // A process that was killed has left its last frames to the system. What follows builds on them, and a power cut
        // must not take them from below it.
        None if last => {
            fs.append(path).and_then(|mut file| file.sync()).at("sync log", path)?;
            Ok(false)
        }
        _ => Ok(false),
    }
}

/// Reads the frames of a file; returns where the last good one ends.
fn read_frames(
    path: &Path,
    bytes: &[u8],
    last: bool,
    corruptions: &mut Vec<Error>,
    each: &mut impl FnMut(Section),
) -> Result<usize> {
    let mut at = HEADER_BYTES;
    let mut good = 0;
    match KIND.version_of(path, bytes)? {
        Some(_) => good = HEADER_BYTES,
        // Without frames nothing is lost: the file was being created when the process ended. A checkpoint was not: it gets
        // its name when it is whole.
        None if next_frame(bytes, 0).is_none() => {
            let is_checkpoint = path.extension().is_some_and(|extension| extension == CHECKPOINT_EXTENSION);
            if is_checkpoint || !last && bytes.len() > HEADER_BYTES {
                corruptions.push(Error::corrupt(path, 0, "no header and no frame"));
            }
            return Ok(0);
        }
        None => {
            corruptions.push(Error::corrupt(path, 0, "header is damaged"));
            at = at.min(bytes.len());
        }
    }
    while at < bytes.len() {
        let Some((start, end)) = next_frame(bytes, at) else {
            if !last {
                corruptions.push(Error::corrupt(path, at as u64, "no good frame up to the end"));
            }
            break;
        };
        if start > at {
            corruptions.push(Error::corrupt(path, at as u64, format!("no good frame before byte {start}")));
        }
        let payload = bytes.get(start + FRAME_HEADER_BYTES..end).unwrap_or_default();
        match record::decode(payload) {
            Ok(sections) => sections.into_iter().for_each(&mut *each),
            Err(malformed) => {
                let offset = start + FRAME_HEADER_BYTES + malformed.at;
                corruptions.push(Error::corrupt(path, offset as u64, malformed.what));
            }
        }
        at = end;
        good = end;
    }
    Ok(good)
}

/// The first good frame that begins at `from` or later, as the range of its bytes.
pub(super) fn next_frame(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut start = from;
    loop {
        if let Some(end) = frame_at(bytes, start) {
            return Some((start, end));
        }
        let rest = bytes.get(start + 1..)?;
        start += 1 + rest.windows(FRAME_MARKER.len()).position(|window| window == FRAME_MARKER)?;
    }
}

/// Where the frame that begins at `start` ends, if it is a good one.
pub(super) fn frame_at(bytes: &[u8], start: usize) -> Option<usize> {
    let mut reader = Reader::new(bytes.get(start..)?);
    if reader.take(FRAME_MARKER.len()).ok()? != FRAME_MARKER {
        return None;
    }
    let length = reader.u32().ok()?;
    let crc = reader.u32().ok()?;
    if length == 0 || u64::from(length) > FRAME_BYTES_MAX {
        return None;
    }
    let payload = reader.take(length as usize).ok()?;
    (frame_crc(length.to_le_bytes(), &[payload]) == crc).then_some(start + FRAME_HEADER_BYTES + payload.len())
}
