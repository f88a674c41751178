//! Opening a segment that may have been cut short or damaged.
//!
//! A process that was killed in the middle of a write leaves a torn tail: bytes after the last whole record that
//! hold no whole record themselves. They were never acknowledged and are cut off. Anything else that does not
//! check out is damage: the file is set aside under `.corrupt`, and every record that is still whole goes on in a
//! new file of the old name.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ahash::AHashMap;

use crate::encoding::Malformed;
use crate::error::TraceError;
use crate::index::SegmentIndex;
use crate::limits::weigh;
use crate::segment::{
    FORMAT_VERSION, HEADER_BYTES, MAGIC, OLDEST_READABLE, RecordKind, RecordView, Segment, header_bytes,
    open_file, segment_path, sync_dir,
};

/// A segment as it was found.
pub(crate) enum Found {
    /// Nothing in it is of use; the file is gone or set aside.
    Nothing,
    /// Sealed: never written to again.
    Sealed(Segment),
    /// Not sealed; the next record goes to `end`.
    Open { segment: Segment, end: u64 },
}

/// A file that was set aside, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// The first byte that is wrong.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// What opening a store has mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of writes that were cut short, and never acknowledged.
    pub torn_bytes: u64,
    /// Damaged files, in order of their names.
    pub set_aside: Vec<SetAside>,
}

/// What scanning a segment's bytes has found.
#[derive(Default)]
struct Scan {
    index: SegmentIndex,
    /// Where the last whole record ends.
    end: u64,
    /// The first damage, with whole records behind it or in a record that checks out but does not decode.
    damage: Option<(u64, &'static str)>,
    /// The stretches of whole records, as they stand.
    whole: Vec<(u64, u64)>,
}

/// Opens segment `seq` of `dir`.
pub(crate) fn open_segment(dir: &Path, seq: u64, recovery: &mut Recovery) -> Result<Found, TraceError> {
    let path = segment_path(dir, seq);
    let file = open_file(&path)?;
    let length = file.metadata().map_err(TraceError::io(&path))?.len();
    if length < HEADER_BYTES {
        recovery.torn_bytes += length;
        fs::remove_file(&path).map_err(TraceError::io(&path))?;
        return Ok(Found::Nothing);
    }
    if let Some(index) =
        checked_version(&path)?.then(|| Segment::read_footer(&path, &file, length)).transpose()?.flatten()
    {
        return Ok(Found::Sealed(Segment::new(seq, path, file, index, length)));
    }
    let bytes = fs::read(&path).map_err(TraceError::io(&path))?;
    let scan = scan(&bytes);
    if let Some((offset, what)) = scan.damage {
        let aside = set_aside(dir, &path, &bytes, &scan)?;
        tracing::warn!(path = %aside.display(), offset, what, "set a damaged span segment aside");
        recovery.set_aside.push(SetAside { path: aside, offset, what });
        if scan.whole.is_empty() {
            return Ok(Found::Nothing);
        }
        // The file of that name is now the one with the whole records only: nothing further can be wrong.
        return open_segment(dir, seq, recovery);
    }
    let torn = length - scan.end;
    if torn > 0 {
        recovery.torn_bytes += torn;
        tracing::info!(path = %path.display(), bytes = torn, "cut off a span record that was never acknowledged");
        file.set_len(scan.end).and_then(|()| file.sync_all()).map_err(TraceError::io(&path))?;
    }
    Ok(Found::Open { segment: Segment::new(seq, path, file, scan.index, scan.end), end: scan.end })
}

/// Whether the file starts with a header of ours.
///
/// # Errors
/// A whole header of a version that this program does not know; such a file is left alone.
fn checked_version(path: &Path) -> Result<bool, TraceError> {
    use std::io::Read as _;
    let mut header = [0; HEADER_BYTES as usize];
    fs::File::open(path).and_then(|mut f| f.read_exact(&mut header)).map_err(TraceError::io(path))?;
    let Some(([magic @ .., v0, v1, v2, v3], crc)) = header.split_first_chunk::<12>() else {
        return Ok(false);
    };
    let version = u32::from_le_bytes([*v0, *v1, *v2, *v3]);
    let mut covered = magic.to_vec();
    covered.extend_from_slice(&version.to_le_bytes());
    if magic != MAGIC || crc32fast::hash(&covered).to_le_bytes() != crc {
        return Ok(false);
    }
    if (OLDEST_READABLE..=FORMAT_VERSION).contains(&version) {
        Ok(true)
    } else {
        Err(TraceError::UnknownVersion { path: path.to_owned(), version })
    }
}

fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan { end: HEADER_BYTES, ..Scan::default() };
    if bytes.get(..HEADER_BYTES as usize) != Some(header_bytes().as_slice()) {
        scan.damage = Some((0, "not the header of a span segment"));
    }
    let mut at = HEADER_BYTES as usize;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match RecordView::parse(rest) {
            // The footer can be written again; what follows it is the trailer.
            Ok((RecordView { kind: RecordKind::Footer, .. }, _)) => break,
            Ok((record, length)) => {
                match record.spans() {
                    Ok(spans) => {
                        let weighed = spans.iter().map(|s| (s, weigh(s).unwrap_or(0)));
                        scan.index.add(at as u64, length as u32, weighed, &AHashMap::new());
                        scan.whole.push((at as u64, (at + length) as u64));
                    }
                    Err(Malformed(what)) => scan.note(at, what),
                }
                at += length;
                scan.end = at as u64;
            }
            Err(Malformed(what)) => match next_whole_record(rest) {
                Some(skipped) => {
                    scan.note(at, what);
                    at += skipped;
                }
                None => break,
            },
        }
    }
    scan
}

impl Scan {
    fn note(&mut self, at: usize, what: &'static str) {
        self.damage.get_or_insert((at as u64, what));
    }
}

/// How far into `bytes` the next record that checks out begins, the front itself excluded. Lengths and kind rule
/// out nearly every place before a checksum has to be computed.
fn next_whole_record(bytes: &[u8]) -> Option<usize> {
    (1..bytes.len()).find(|at| bytes.get(*at..).is_some_and(|rest| RecordView::parse(rest).is_ok()))
}

/// Keeps the damaged file under another name, and writes its whole records under the old one; a crash in between
/// leaves either the damaged file or the new one in place.
fn set_aside(dir: &Path, path: &Path, bytes: &[u8], scan: &Scan) -> Result<PathBuf, TraceError> {
    let aside = (0u32..)
        .map(|n| path.with_extension(if n == 0 { "corrupt".to_owned() } else { format!("corrupt.{n}") }))
        .find(|candidate| !candidate.exists())
        .unwrap_or_else(|| path.with_extension("corrupt"));
    fs::hard_link(path, &aside).map_err(TraceError::io(&aside))?;
    if scan.whole.is_empty() {
        fs::remove_file(path).map_err(TraceError::io(path))?;
    } else {
        let fresh = path.with_extension("tmp");
        let mut file = fs::File::create(&fresh).map_err(TraceError::io(&fresh))?;
        let write = |file: &mut fs::File| {
            file.write_all(&header_bytes())?;
            for (from, to) in &scan.whole {
                file.write_all(bytes.get(*from as usize..*to as usize).unwrap_or_default())?;
            }
            file.sync_all()
        };
        write(&mut file).map_err(TraceError::io(&fresh))?;
        fs::rename(&fresh, path).map_err(TraceError::io(path))?;
    }
    sync_dir(dir)?;
    Ok(aside)
}

/// The segments of `dir`, oldest first; what an interrupted recovery left behind is removed.
pub(crate) fn list_segments(dir: &Path) -> Result<Vec<u64>, TraceError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(TraceError::io(dir))? {
        let path = entry.map_err(TraceError::io(dir))?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("spans") => {
                found.extend(path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u64>().ok()));
            }
            Some("tmp") => fs::remove_file(&path).map_err(TraceError::io(&path))?,
            _ => {}
        }
    }
    found.sort_unstable();
    Ok(found)
}
