//! A block: everything of one time range, in one immutable file that is mapped into memory.
//!
//! # Format (version 6)
//!
//! Integers are little-endian, offsets count from the start of the file unless said otherwise. A *span* is a
//! varint length and that many bytes. Series are numbered from 0 in the order of their labels; postings hold
//! these numbers.
//!
//! ```text
//! ┌───────────────────┬───────────┬────────────────┐
//! │ magic "SGLASSBK" 8│ version 4 │ CRC32 of those │  header, 16 bytes
//! ├───────────────────┴───────────┴────────────────┤
//! │ chunks      per chunk: CRC32 4, data           │  read chunk by chunk, checked when read
//! ├────────────────────────────────────────────────┤
//! │ series      groups of 16, see below            │
//! │ offsets     u32 per group, within "series"     │
//! │ postings    portable roaring bitmaps           │
//! │ labels      see below                          │
//! │ exemplars   see below                          │
//! │ metadata    a metadata section of the log      │
//! │ times       see below                          │
//! │ starts      see below                          │
//! │ meta        range start, range end, min time,  │  i64 each; range is [start, end), min and max are those
//! │             max time, series, chunks, samples, │  of samples and exemplars together; counts are u64
//! │             exemplars                          │
//! ├────────────────────────────────────────────────┤
//! │ contents    per section: kind u32, CRC32 u32,  │  the CRC of "chunks" is 0: see there
//! │             offset u64, length u64             │
//! ├──────────────────┬──────────┬─────────┬────────┤
//! │ offset of        │ sections │ CRC32 of│ magic  │  footer, 24 bytes; the CRC covers the contents and the
//! │ contents 8       │        4 │       4 │      8 │  12 bytes before it
//! └──────────────────┴──────────┴─────────┴────────┘
//!
//! series      see series.rs in this folder
//! labels      see index.rs in this folder
//! chunk       see chunks.rs in this folder; its data are the values alone, see crate::codec
//! times       column count u32, offset of each column u32 (within the section)
//!   column    count varint, last minus first varint, crate::codec::timestamps; no two are the same
//! starts      count u32, offset of each u32 (within the section); each as crate::starts says, no two are the same
//! exemplars   series count u32, per series: number u32, offset u32 (within the section), numbers increasing;
//!   series    count varint, times, values and labels as in the log's exemplar section
//! ```
//!
//! A block is written under a temporary name, synced, and only then given its own: a file with the extension
//! `block` is whole. Of two blocks for the same range the one with the higher number counts. Damage is found by the
//! checksums: those of the chunks are compared when a chunk is read first since the block was opened (see verified.rs),
//! all others when it is opened.
//!
//! | version | change |
//! |---|---|
//! | 1 | first; labels are a span, a chunk is a description (crate::chunk), offset and length, and has its times before its values, no section "times" |
//! | 2 | times shared between series, values as decimals, labels by number, lone ids without a bitmap |
//! | 3 | the values of a label name are one text, up to eight ids stand with their value; constant chunks are only described, chunks have summaries, offsets of series are half as long; long blocks are packed more densely |
//! | 4 | chunks of summaries (crate::codec::summaries), in the folders of downsampled data |
//! | 5 | starts, shared between chunks, and their section |
//! | 6 | series in groups: labels as differences from the series before, an offset and a place per group, columns as differences; constants that end are only described; values as steps (crate::codec::steps) |

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod chunks;
mod index;
mod latest;
mod series;
pub(crate) mod summary;
mod verified;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Exemplar, Metadata};
use parking_lot::RwLock;
use roaring::RoaringBitmap;

use crate::codec::{Malformed, Reader};
use crate::db::downsample::{DIRS, RESOLUTIONS_MS};
use crate::error::{Error, IoContext, Result};
use crate::fs::{FileBytes, FileSystem};
use crate::header::{FileKind, HEADER_BYTES};
use crate::index::PassingCache;
use crate::tombstones::{self, Tombstones};
use crate::wal::record::{self, Section};

pub(crate) use chunks::BlockChunk;
pub(crate) use index::BlockIndex;
pub(crate) use latest::{LatestOf, LatestReader};
pub(crate) use series::{SeriesBytes, SeriesReader};
pub(crate) use writer::{BlockSeries, BlockWriter};

use verified::Verified;

/// The version that is written.
pub const FORMAT_VERSION: u32 = 6;
/// The oldest version that is read.
pub const OLDEST_READABLE: u32 = 1;

const MAGIC: &[u8; 8] = b"SGLASSBK";
const KIND: FileKind = FileKind { magic: MAGIC, version: FORMAT_VERSION, oldest: OLDEST_READABLE };
const FOOTER_BYTES: usize = 24;
const CONTENTS_ENTRY_BYTES: usize = 24;

/// Sections, by the number that stands for them in the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SectionKind {
    Chunks = 1,
    Series = 2,
    Offsets = 3,
    Postings = 4,
    Labels = 5,
    Exemplars = 6,
    Metadata = 7,
    Meta = 8,
    Times = 9,
    Starts = 10,
}

/// Their names, in the same order.
const SECTION_NAMES: [&str; SECTION_COUNT] =
    ["chunks", "series", "offsets", "postings", "labels", "exemplars", "metadata", "meta", "times", "starts"];

/// How many sections a block has.
const SECTION_COUNT: usize = 10;

/// How many a version has: the first knew no shared times, those up to the fourth no starts.
const fn section_count(version: u32) -> usize {
    match version {
        1 => 8,
        2..=4 => 9,
        _ => SECTION_COUNT,
    }
}

/// What a block says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockMeta {
    /// The range that it stands for: nothing older than the end is taken by the head any more.
    pub(crate) range_start: i64,
    pub(crate) range_end: i64,
    /// Of all samples and exemplars.
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) series_count: u64,
    pub(crate) chunk_count: u64,
    pub(crate) sample_count: u64,
    pub(crate) exemplar_count: u64,
}

/// How long the section "offsets" is.
const fn offsets_bytes(version: u32, series_count: u64) -> u64 {
    match version {
        1 | 2 => series_count.saturating_mul(8),
        3..series::GROUPED_FROM => series_count.saturating_mul(4),
        _ => series_count.div_ceil(series::GROUP as u64) * 4,
    }
}

/// Where a section is.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    offset: usize,
    len: usize,
}

/// A block, open for reading. Removing its file leaves it readable.
pub(crate) struct Block {
    path: PathBuf,
    bytes: FileBytes,
    version: u32,
    meta: BlockMeta,
    places: [Place; SECTION_COUNT],
    /// Whether a compaction could not read it.
    unreadable: AtomicBool,
    /// Which values of its index regular expressions have passed.
    passing: PassingCache,
    /// What of it has been deleted.
    tombstones: RwLock<Arc<Tombstones>>,
    /// Chunks whose checksum has been compared.
    verified: Verified,
}

impl BlockMeta {
    fn encode(&self) -> Vec<u8> {
        let times = [self.range_start, self.range_end, self.min_time, self.max_time].map(i64::cast_unsigned);
        let counts = [self.series_count, self.chunk_count, self.sample_count, self.exemplar_count];
        times.iter().chain(&counts).flat_map(|word| word.to_le_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut time = || reader.u64().map(u64::cast_signed);
        let (range_start, range_end, min_time, max_time) = (time()?, time()?, time()?, time()?);
        Ok(Self {
            range_start,
            range_end,
            min_time,
            max_time,
            series_count: reader.u64()?,
            chunk_count: reader.u64()?,
            sample_count: reader.u64()?,
            exemplar_count: reader.u64()?,
        })
    }

    /// Whether all of it lies in `[start, end)`.
    pub(crate) const fn lies_in(&self, start: i64, end: i64) -> bool {
        self.range_start >= start && self.range_end <= end
    }

    /// Whether the range of `other` lies within the range of this one.
    pub(crate) const fn covers(&self, other: &Self) -> bool {
        self.range_start <= other.range_start && self.range_end >= other.range_end
    }

    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        self.min_time <= end && self.max_time >= start
    }
}

impl Block {
    /// Opens a block and checks everything but its chunks.
    pub(crate) fn open(fs: &dyn FileSystem, path: &Path) -> Result<Self> {
        let bytes = fs.map(path).at("map block", path)?;
        let (version, places) = read_contents(path, &bytes)?;
        let chunks_bytes = places.first().map_or(0, |chunks| chunks.len);
        let mut block = Self {
            path: path.to_owned(),
            bytes,
            version,
            meta: BlockMeta {
                range_start: 0,
                range_end: 0,
                min_time: 0,
                max_time: 0,
                series_count: 0,
                chunk_count: 0,
                sample_count: 0,
                exemplar_count: 0,
            },
            places,
            unreadable: AtomicBool::new(false),
            passing: PassingCache::default(),
            tombstones: RwLock::default(),
            verified: Verified::new(chunks_bytes),
        };
        let meta = BlockMeta::decode(block.section(SectionKind::Meta));
        block.meta = meta.map_err(|malformed| block.corrupt(SectionKind::Meta, malformed))?;
        let offsets_bytes = offsets_bytes(version, block.meta.series_count);
        if block.section(SectionKind::Offsets).len() as u64 != offsets_bytes {
            let malformed = Malformed { at: 0, what: "as many offsets as series expected" };
            return Err(block.corrupt(SectionKind::Offsets, malformed));
        }
        Ok(block)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether [`Block::set_unreadable`] has been called.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Notes that not all of it can be read, so that it is left as it is from now on.
    pub(crate) fn set_unreadable(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// How far apart its summaries are, by the folder that it is in; zero where it holds samples.
    pub(crate) fn resolution_ms(&self) -> i64 {
        let folder = self.path.parent().and_then(Path::file_name);
        let level = DIRS.iter().position(|dir| folder.is_some_and(|folder| folder == *dir));
        level.and_then(|level| RESOLUTIONS_MS.get(level)).copied().unwrap_or(0)
    }

    /// What has been deleted of it, by number of the series; readers pass over that.
    pub(crate) fn tombstones(&self) -> Arc<Tombstones> {
        self.tombstones.read().clone()
    }

    pub(crate) fn set_tombstones(&self, tombstones: Arc<Tombstones>) {
        *self.tombstones.write() = tombstones;
    }

    /// The file that they are in where there are any.
    pub(crate) fn tombstones_path(&self) -> PathBuf {
        self.path.with_extension(tombstones::EXTENSION)
    }

    pub(crate) const fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// The version of its format.
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    /// The size of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The label index; its ids are the numbers of the series.
    pub(crate) fn index(&self) -> BlockIndex<'_> {
        BlockIndex::new(self)
    }

    /// The size of each section, in the order of the file.
    pub(crate) fn section_bytes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SECTION_NAMES.iter().zip(&self.places).map(|(name, place)| (*name, place.len as u64))
    }

    fn place(&self, kind: SectionKind) -> Place {
        self.places.get(kind as usize - 1).copied().unwrap_or_default()
    }

    fn section(&self, kind: SectionKind) -> &[u8] {
        let place = self.place(kind);
        self.bytes.get(place.offset..place.offset + place.len).unwrap_or_default()
    }

    /// An error at a position within a section.
    fn corrupt(&self, kind: SectionKind, malformed: Malformed) -> Error {
        let offset = self.place(kind).offset + malformed.at;
        Error::corrupt(&self.path, offset as u64, format!("{kind:?}: {}", malformed.what))
    }

    /// Its series.
    pub(crate) const fn series(&self) -> SeriesReader<'_> {
        SeriesReader::new(self)
    }

    /// The latest samples in `[start, end]` of its series.
    pub(crate) fn latest(&self, start: i64, end: i64) -> LatestReader<'_> {
        LatestReader::new(self, start, end)
    }

    /// The exemplars of every series that has any, by number of the series.
    pub(crate) fn exemplars(&self, number: u32) -> Result<Vec<Exemplar>> {
        let bytes = self.section(SectionKind::Exemplars);
        let read = || -> std::result::Result<Vec<Exemplar>, Malformed> {
            let count = Reader::new(bytes).u32()? as usize;
            let entry = |at: usize| {
                let mut reader = Reader::new(bytes);
                reader.take(4 + at * 8)?;
                Ok((reader.u32()?, reader.u32()?))
            };
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = low.midpoint(high);
                let (found, offset) = entry(middle)?;
                match found.cmp(&number) {
                    std::cmp::Ordering::Less => low = middle + 1,
                    std::cmp::Ordering::Greater => high = middle,
                    std::cmp::Ordering::Equal => {
                        let mut reader = Reader::new(bytes);
                        reader.take(offset as usize)?;
                        let count = reader.count(10)?;
                        return record::exemplar_columns(&mut reader, count);
                    }
                }
            }
            Ok(Vec::new())
        };
        read().map_err(|malformed| self.corrupt(SectionKind::Exemplars, malformed))
    }

    /// The numbers of the series that have exemplars.
    pub(crate) fn with_exemplars(&self) -> Result<RoaringBitmap> {
        let mut reader = Reader::new(self.section(SectionKind::Exemplars));
        let mut read = || -> std::result::Result<RoaringBitmap, Malformed> {
            let mut numbers = RoaringBitmap::new();
            for _ in 0..reader.u32()? {
                numbers.insert(reader.u32()?);
                reader.u32()?;
            }
            Ok(numbers)
        };
        read().map_err(|malformed| self.corrupt(SectionKind::Exemplars, malformed))
    }

    /// What was known of metric families when the block was written.
    pub(crate) fn metadata(&self) -> Result<Vec<(String, Metadata)>> {
        let sections = record::decode(self.section(SectionKind::Metadata))
            .map_err(|malformed| self.corrupt(SectionKind::Metadata, malformed))?;
        Ok(sections
            .into_iter()
            .flat_map(|section| if let Section::Metadata(all) = section { all } else { Vec::new() })
            .collect())
    }
}

/// Checks header, footer, contents and every section but the chunks.
fn read_contents(path: &Path, bytes: &[u8]) -> Result<(u32, [Place; SECTION_COUNT])> {
    let corrupt = |offset: usize, what: &str| Error::corrupt(path, offset as u64, what);
    let early = |malformed: Malformed| corrupt(malformed.at, malformed.what);
    let Some(version) = KIND.version_of(path, bytes)? else {
        return Err(corrupt(0, "not the header of a block"));
    };
    let footer_at = bytes.len().saturating_sub(FOOTER_BYTES);
    let mut footer = Reader::new(bytes.get(footer_at..).unwrap_or_default());
    let contents_at = usize::try_from(footer.u64().map_err(early)?).unwrap_or(usize::MAX);
    let count = footer.u32().map_err(early)? as usize;
    let crc = footer.u32().map_err(early)?;
    let magic = footer.take(MAGIC.len()).map_err(early)?;
    let covered = bytes.get(contents_at..footer_at + 12).unwrap_or_default();
    if magic != MAGIC || crc32fast::hash(covered) != crc {
        return Err(corrupt(footer_at, "not the footer of a block"));
    }
    if count != section_count(version) || covered.len() != count * CONTENTS_ENTRY_BYTES + 12 {
        return Err(corrupt(contents_at, "contents do not list the sections of this version"));
    }
    let mut places = [Place::default(); SECTION_COUNT];
    let mut contents = Reader::new(covered);
    for (number, place) in (1u32..).zip(places.iter_mut().take(count)) {
        let kind = contents.u32().map_err(early)?;
        let crc = contents.u32().map_err(early)?;
        let offset = usize::try_from(contents.u64().map_err(early)?).unwrap_or(usize::MAX);
        let len = usize::try_from(contents.u64().map_err(early)?).unwrap_or(usize::MAX);
        let section = offset.checked_add(len).and_then(|end| bytes.get(offset..end));
        let Some(section) = section.filter(|_| kind == number) else {
            return Err(corrupt(contents_at, "a section is out of place"));
        };
        if kind != SectionKind::Chunks as u32 && crc32fast::hash(section) != crc {
            return Err(corrupt(offset, "checksum of a section differs"));
        }
        *place = Place { offset, len };
    }
    Ok((version, places))
}

/// The sections of a block as they lie in it; for fuzzers.
pub(crate) fn sections(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Ok((version, places)) = read_contents(Path::new(""), bytes) else { return Vec::new() };
    let section =
        |place: &Place| bytes.get(place.offset..place.offset + place.len).unwrap_or_default().to_vec();
    places.iter().take(section_count(version)).map(section).collect()
}

/// A block with another section of that number, and checksums to match; for fuzzers.
pub(crate) fn with_section(bytes: &[u8], number: u8, section: &[u8]) -> Option<Vec<u8>> {
    let mut sections = sections(bytes);
    *sections.get_mut(usize::from(number).checked_sub(1)?)? = section.to_vec();
    let mut out = bytes.get(..HEADER_BYTES)?.to_vec();
    let mut tail = Vec::new();
    for (kind, section) in (1u32..).zip(&sections) {
        let crc = if kind == SectionKind::Chunks as u32 { 0 } else { crc32fast::hash(section) };
        tail.extend_from_slice(&kind.to_le_bytes());
        tail.extend_from_slice(&crc.to_le_bytes());
        tail.extend_from_slice(&(out.len() as u64).to_le_bytes());
        tail.extend_from_slice(&(section.len() as u64).to_le_bytes());
        out.extend_from_slice(section);
    }
    tail.extend_from_slice(&(out.len() as u64).to_le_bytes());
    tail.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    tail.extend_from_slice(&crc32fast::hash(&tail).to_le_bytes());
    tail.extend_from_slice(MAGIC);
    out.extend_from_slice(&tail);
    Some(out)
}

#[cfg(test)]
mod tests;
