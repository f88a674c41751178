//! Segments: the append-only files that spans are kept in.
//!
//! ```text
//! segment = header record* [ footer trailer ]          NNNNNNNNNN.spans, numbers increasing with time
//! header  = magic "SGSPANS\n"(8)  version(4)  crc(4)
//! record  = length(4)  crc(4)  kind(1)  raw_length(4)  payload(length)
//! footer  = a record of kind 2
//! trailer = footer offset(8)  crc(4)  magic "SEAL"(4)
//! ```
//! Integers are little-endian. A payload is an LZ4 block of `raw_length` bytes: a batch of spans (kind 1, see
//! `batch.rs`) or the segment's index (kind 2, see `index.rs`). Checksums are CRC-32 (IEEE): the header's covers
//! magic and version, a record's its length, kind, raw length and payload, the trailer's the footer's offset.
//!
//! A segment is appended to until it is sealed: footer and trailer are written, and it never changes again.
//! Opening a sealed one reads its footer only; one without is scanned (see `recovery.rs`).
//! We assume of the disk that what was written survives the process, and that what was synced survives power.
//!
//! Version history: 1, the first.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use model::span::Span;
use parking_lot::RwLock;

use crate::batch::decode_batch;
use crate::encoding::{Cursor, Malformed};
use crate::error::TraceError;
use crate::index::{RecordEntry, SegmentIndex};
use crate::limits::RECORD_BYTES_MAX;

/// The version that is written.
pub const FORMAT_VERSION: u32 = 1;
/// The oldest version that is read.
pub const OLDEST_READABLE: u32 = 1;

pub(crate) const MAGIC: &[u8; 8] = b"SGSPANS\n";
const SEAL_MAGIC: &[u8; 4] = b"SEAL";
pub(crate) const HEADER_BYTES: u64 = 16;
pub(crate) const RECORD_HEAD_BYTES: usize = 13;
const TRAILER_BYTES: u64 = 16;
/// A footer of a segment full of traces of one span each stays well below this.
const FOOTER_BYTES_MAX: u32 = 256 << 20;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Batch = 1,
    Footer = 2,
}

/// An open segment; readable while it is appended to, since its index names only what is whole.
pub(crate) struct Segment {
    pub(crate) seq: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) index: RwLock<SegmentIndex>,
    /// The file's length, so that nobody has to ask the operating system for it.
    bytes: AtomicU64,
}

/// A record's payload, checked and still compressed.
pub(crate) struct RecordView<'a> {
    pub(crate) kind: RecordKind,
    raw_length: u32,
    payload: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Reads the record at the front of `bytes`; its length in all is given with it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<(Self, usize), Malformed> {
        let mut c = Cursor::new(bytes);
        let (length, crc, kind, raw_length) = (c.u32()?, c.u32()?, c.byte()?, c.u32()?);
        let (kind, bytes_max) = match kind {
            1 => (RecordKind::Batch, RECORD_BYTES_MAX),
            2 => (RecordKind::Footer, FOOTER_BYTES_MAX),
            _ => return Err(Malformed("unknown kind of record")),
        };
        // LZ4 adds at most one byte in 255 and a few to what it cannot compress.
        if raw_length > bytes_max || length > bytes_max + bytes_max / 255 + 16 {
            return Err(Malformed("record over its size limit"));
        }
        let payload = c.bytes(length as usize)?;
        if record_crc(length, kind as u8, raw_length, payload) != crc {
            return Err(Malformed("record checksum does not match"));
        }
        Ok((Self { kind, raw_length, payload }, RECORD_HEAD_BYTES + payload.len()))
    }

    fn raw(&self) -> Result<Vec<u8>, Malformed> {
        let raw = lz4_flex::block::decompress(self.payload, self.raw_length as usize)
            .map_err(|_| Malformed("record does not decompress"))?;
        if raw.len() == self.raw_length as usize {
            Ok(raw)
        } else {
            Err(Malformed("record has another length"))
        }
    }

    pub(crate) fn spans(&self) -> Result<Vec<Span>, Malformed> {
        decode_batch(&self.raw()?)
    }

    fn index(&self) -> Result<SegmentIndex, Malformed> {
        SegmentIndex::decode(&self.raw()?)
    }
}

/// A record's bytes, ready to be written.
pub(crate) fn record_bytes(kind: RecordKind, raw: &[u8]) -> Vec<u8> {
    let payload = lz4_flex::block::compress(raw);
    let (length, raw_length) = (payload.len() as u32, raw.len() as u32);
    let mut out = Vec::with_capacity(RECORD_HEAD_BYTES + payload.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&record_crc(length, kind as u8, raw_length, &payload).to_le_bytes());
    out.push(kind as u8);
    out.extend_from_slice(&raw_length.to_le_bytes());
    out.extend_from_slice(&payload);
    out
}

fn record_crc(length: u32, kind: u8, raw_length: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(&[kind]);
    crc.update(&raw_length.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

/// The sixteen bytes that a segment starts with.
pub(crate) fn header_bytes() -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES as usize);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// The last sixteen bytes of a sealed segment.
fn trailer_bytes(footer_offset: u64) -> Vec<u8> {
    let offset = footer_offset.to_le_bytes();
    let mut out = Vec::with_capacity(TRAILER_BYTES as usize);
    out.extend_from_slice(&offset);
    out.extend_from_slice(&crc32fast::hash(&offset).to_le_bytes());
    out.extend_from_slice(SEAL_MAGIC);
    out
}

/// The file of segment `seq`.
pub(crate) fn segment_path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:010}.spans"))
}

/// Opens a segment's file for reading and appending.
pub(crate) fn open_file(path: &Path) -> Result<File, TraceError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(TraceError::io(path))
}

impl Segment {
    /// A segment whose file has `bytes` bytes, the records of `index` among them.
    pub(crate) const fn new(seq: u64, path: PathBuf, file: File, index: SegmentIndex, bytes: u64) -> Self {
        Self { seq, path, file, index: RwLock::new(index), bytes: AtomicU64::new(bytes) }
    }

    /// The file's length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes note that the file has grown, or was cut, to `bytes`.
    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Makes an empty segment; its header is written, and its name synced into the directory.
    pub(crate) fn create(dir: &Path, seq: u64) -> Result<Self, TraceError> {
        let path = segment_path(dir, seq);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(TraceError::io(&path))?;
        file.write_all_at(&header_bytes(), 0).map_err(TraceError::io(&path))?;
        sync_dir(dir)?;
        Ok(Self::new(seq, path, file, SegmentIndex::default(), HEADER_BYTES))
    }

    /// The index of a sealed segment; `None` where it is not sealed or its footer is not to be trusted.
    pub(crate) fn read_footer(
        path: &Path,
        file: &File,
        length: u64,
    ) -> Result<Option<SegmentIndex>, TraceError> {
        let Some(trailer_offset) = length.checked_sub(TRAILER_BYTES).filter(|at| *at >= HEADER_BYTES) else {
            return Ok(None);
        };
        let mut trailer = [0; TRAILER_BYTES as usize];
        file.read_exact_at(&mut trailer, trailer_offset).map_err(TraceError::io(path))?;
        let Some((offset, _)) = trailer.split_first_chunk::<8>() else { return Ok(None) };
        let footer_offset = u64::from_le_bytes(*offset);
        if trailer_bytes(footer_offset) != trailer || !(HEADER_BYTES..trailer_offset).contains(&footer_offset)
        {
            return Ok(None);
        }
        let mut footer = vec![0; (trailer_offset - footer_offset) as usize];
        file.read_exact_at(&mut footer, footer_offset).map_err(TraceError::io(path))?;
        let index = RecordView::parse(&footer)
            .and_then(|(record, _)| record.index())
            .ok()
            .filter(|i| i.records.iter().all(|r| r.offset.saturating_add(r.length.into()) <= footer_offset));
        Ok(index)
    }

    /// Reads one record's spans.
    pub(crate) fn read(&self, record: &RecordEntry) -> Result<Vec<Span>, TraceError> {
        let mut bytes = vec![0; record.length as usize];
        self.file.read_exact_at(&mut bytes, record.offset).map_err(TraceError::io(&self.path))?;
        RecordView::parse(&bytes).and_then(|(view, _)| view.spans()).map_err(|Malformed(what)| {
            TraceError::Corrupt { path: self.path.clone(), offset: record.offset, what }
        })
    }

    /// Writes footer and trailer at `end`, and syncs: from here on the file never changes.
    pub(crate) fn seal(&self, end: u64) -> Result<(), TraceError> {
        let mut bytes = record_bytes(RecordKind::Footer, &self.index.read().encode());
        bytes.extend_from_slice(&trailer_bytes(end));
        self.file.write_all_at(&bytes, end).map_err(TraceError::io(&self.path))?;
        self.set_bytes(end + bytes.len() as u64);
        self.sync()
    }

    pub(crate) fn sync(&self) -> Result<(), TraceError> {
        self.file.sync_data().map_err(TraceError::io(&self.path))
    }
}

/// Makes creations, renames and removals in `dir` survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), TraceError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(TraceError::io(dir))
}
