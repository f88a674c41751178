//! Writing a block: chunks as they come, the rest at the end.
#![allow(
    clippy::indexing_slicing,
    reason = "a writer indexes only what it has just made, never bytes from outside"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ahash::RandomState;
use model::{Exemplar, Labels, Metadata};

use super::chunks::{self, DescribedChunk};
use super::index::{self, LabelNumbers};
use super::series::{GROUP, GroupsWriter};
use super::summary::{self, Constant};
use super::{BlockMeta, KIND, MAGIC, SectionKind};
use crate::chunk::{ChunkMeta, Run, RunValues};
use crate::codec::bytes::put_varint;
use crate::codec::timestamps;
use crate::codec::values::Density;
use crate::error::{Error, IoContext, Result};
use crate::fs::{File, FileSystem};
use crate::index::{MemoryIndex, Runs};
use crate::wal::record;

/// Chunks are handed to the file system in writes of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// Blocks of this range and longer are packed densely, for size: dashboards look at the last hours, which are in
/// shorter ones.
pub(super) const DENSE_RANGE_MS: i64 = 6 * 3_600_000;

/// Writes a block under a temporary name. Dropped before [`BlockWriter::finish`] has named it, it leaves nothing
/// behind, so that a full disk does not become fuller with every attempt.
pub(crate) struct BlockWriter<'a> {
    fs: &'a dyn FileSystem,
    path: PathBuf,
    temporary: PathBuf,
    file: Box<dyn File>,
    /// Bytes of the file so far, those in `buffer` among them.
    at: u64,
    buffer: Vec<u8>,
    meta: BlockMeta,
    density: Density,
    contents: Vec<u8>,
    chunks_at: u64,
    /// What is written of each series once all labels are known and have numbers.
    series: Vec<PendingSeries>,
    index: MemoryIndex,
    runs: Runs,
    times: SharedColumns,
    /// The column that was named last in the group.
    column: u32,
    starts: SharedColumns,
    exemplar_numbers: Vec<(u32, u32)>,
    exemplars: Vec<u8>,
    named: bool,
}

impl Drop for BlockWriter<'_> {
    fn drop(&mut self) {
        if !self.named {
            // Where this fails, the next start removes it.
            let _ = self.fs.remove(&self.temporary);
        }
    }
}

struct PendingSeries {
    labels: Labels,
    /// Descriptions of its chunks, in the first of a group after the place of the group.
    chunks: Box<[u8]>,
}

/// One series for a block.
pub(crate) struct BlockSeries<'a> {
    pub(crate) labels: &'a Labels,
    /// In time order.
    pub(crate) runs: &'a [Run],
    /// In time order.
    pub(crate) exemplars: &'a [&'a Exemplar],
}

impl<'a> BlockWriter<'a> {
    /// Begins the block `path`, which stands for `[range_start, range_end)`.
    pub(crate) fn create(
        fs: &'a dyn FileSystem,
        path: &Path,
        range_start: i64,
        range_end: i64,
    ) -> Result<Self> {
        let temporary = path.with_extension("tmp");
        let file = fs.append(&temporary).at("create block", &temporary)?;
        // An earlier attempt may have left something under this name.
        fs.truncate(&temporary, 0).at("empty block", &temporary)?;
        let mut writer = Self {
            fs,
            path: path.to_owned(),
            temporary,
            file,
            at: 0,
            buffer: Vec::new(),
            meta: BlockMeta {
                range_start,
                range_end,
                min_time: i64::MAX,
                max_time: i64::MIN,
                series_count: 0,
                chunk_count: 0,
                sample_count: 0,
                exemplar_count: 0,
            },
            density: if range_end.saturating_sub(range_start) < DENSE_RANGE_MS {
                Density::Light
            } else {
                Density::Dense
            },
            contents: Vec::new(),
            chunks_at: 0,
            series: Vec::new(),
            index: MemoryIndex::default(),
            runs: Runs::default(),
            times: SharedColumns::new("times"),
            column: 0,
            starts: SharedColumns::new("starts"),
            exemplar_numbers: Vec::new(),
            exemplars: Vec::new(),
            named: false,
        };
        writer.write(&KIND.header())?;
        writer.chunks_at = writer.at;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.at += bytes.len() as u64;
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).at("write block", &self.temporary)?;
        self.buffer.clear();
        Ok(())
    }

    /// Adds a series. Series come in the order of their labels.
    pub(crate) fn add(&mut self, series: &BlockSeries<'_>) -> Result<()> {
        let number = u32::try_from(self.meta.series_count)
            .map_err(|_| Error::SectionTooLarge { section: "series" })?;
        self.meta.series_count += 1;
        self.runs.add(&mut self.index, number, series.labels);
        let (mut described, mut data, mut summed) = (Vec::new(), Vec::new(), Vec::new());
        if number.is_multiple_of(GROUP) {
            self.column = 0;
            put_varint(&mut described, self.at - self.chunks_at);
        }
        let mut runs = series.runs.iter().filter_map(|run| Some((run, run.meta()?))).peekable();
        if runs.peek().is_none() {
            described.push(chunks::NO_CHUNKS);
        }
        while let Some((run, meta)) = runs.next() {
            let (constant, summary) = match &run.values {
                RunValues::Floats(floats) => match Constant::of(&run.times, floats) {
                    None => (None, summary::of_chunk(&meta, &run.times, floats)),
                    constant => (constant, None),
                },
                RunValues::Histograms(_) | RunValues::Summaries(_) => (None, None),
            };
            data.clear();
            if constant.is_none() {
                run.encode_values(self.density, &mut data);
                self.write(&crc32fast::hash(&data).to_le_bytes())?;
                self.write(&data)?;
            }
            let summary = summary.map(|summary| {
                summed.clear();
                summary::encode(&summary, &meta, &mut summed);
                &*summed
            });
            let starts = if run.starts.is_unknown() {
                None
            } else {
                let mut starts = Vec::new();
                run.starts.encode(&mut starts);
                Some(self.starts.number(starts)?)
            };
            let chunk = DescribedChunk {
                kind: meta.kind,
                column: self.times.number(column_of(&meta, &run.times))?,
                constant,
                data_bytes: data.len(),
                summary,
                starts,
                is_followed: runs.peek().is_some(),
            };
            chunk.put(&mut described, &mut self.column);
            self.meta.chunk_count += 1;
            self.meta.sample_count += u64::from(meta.count);
            self.saw(meta.min_time, meta.max_time);
        }
        self.series.push(PendingSeries { labels: series.labels.clone(), chunks: described.into() });
        if let (Some(first), Some(last)) = (series.exemplars.first(), series.exemplars.last()) {
            self.saw(first.timestamp.millis(), last.timestamp.millis());
            self.exemplar_numbers.push((number, offset_u32(self.exemplars.len(), "exemplars")?));
            self.meta.exemplar_count += series.exemplars.len() as u64;
            put_varint(&mut self.exemplars, series.exemplars.len() as u64);
            record::put_exemplar_columns(&mut self.exemplars, series.exemplars);
        }
        Ok(())
    }

    /// The sections "series" and "offsets".
    fn encode_series(&self, numbers: &LabelNumbers<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
        let (mut groups, mut pairs) = (GroupsWriter::default(), Vec::new());
        for PendingSeries { labels, chunks } in &self.series {
            pairs.clear();
            pairs.extend(labels.iter().map(|(name, value)| {
                // The index was made of the same labels: every pair has its numbers.
                let (name_number, values) = &numbers[name];
                (*name_number, values[value])
            }));
            groups.add(&pairs, chunks);
        }
        groups.finish_group();
        let mut offsets = Vec::with_capacity(groups.starts.len() * 4);
        for start in &groups.starts {
            offsets.extend_from_slice(&offset_u32(*start, "series")?.to_le_bytes());
        }
        Ok((groups.series, offsets))
    }

    fn saw(&mut self, first: i64, last: i64) {
        self.meta.min_time = self.meta.min_time.min(first);
        self.meta.max_time = self.meta.max_time.max(last);
    }

    /// Says that what was added is all that there is, even where that is nothing: the block then has the times of its
    /// range.
    pub(crate) fn allow_empty(&mut self) {
        if self.is_empty() {
            self.saw(self.meta.range_start, self.meta.range_end - 1);
        }
    }

    /// Whether nothing has been added.
    pub(crate) const fn is_empty(&self) -> bool {
        self.meta.series_count == 0
    }

    fn section(&mut self, kind: SectionKind, bytes: &[u8]) -> Result<()> {
        let offset = self.at;
        self.write(bytes)?;
        self.list(kind, crc32fast::hash(bytes), offset);
        Ok(())
    }

    fn list(&mut self, kind: SectionKind, crc: u32, offset: u64) {
        self.contents.extend_from_slice(&(kind as u32).to_le_bytes());
        self.contents.extend_from_slice(&crc.to_le_bytes());
        self.contents.extend_from_slice(&offset.to_le_bytes());
        self.contents.extend_from_slice(&(self.at - offset).to_le_bytes());
    }

    /// Writes the rest, makes the block durable and gives it its name.
    pub(crate) fn finish(mut self, metadata: &[(String, Metadata)]) -> Result<PathBuf> {
        self.list(SectionKind::Chunks, 0, self.chunks_at);
        self.runs.finish(&mut self.index);
        let (postings, labels, numbers) = index::encode(&self.index)?;
        let (series, offsets) = self.encode_series(&numbers)?;
        self.section(SectionKind::Series, &series)?;
        self.section(SectionKind::Offsets, &offsets)?;
        self.section(SectionKind::Postings, &postings)?;
        self.section(SectionKind::Labels, &labels)?;
        let exemplars = self.encode_exemplars()?;
        self.section(SectionKind::Exemplars, &exemplars)?;
        let mut families = Vec::new();
        if !metadata.is_empty() {
            record::put_metadata(&mut families, metadata.iter().map(|(family, m)| (family.as_str(), m)));
        }
        self.section(SectionKind::Metadata, &families)?;
        let meta = self.meta.encode();
        self.section(SectionKind::Meta, &meta)?;
        let times = self.times.encode()?;
        self.section(SectionKind::Times, &times)?;
        let starts = self.starts.encode()?;
        self.section(SectionKind::Starts, &starts)?;

        let mut tail = std::mem::take(&mut self.contents);
        let sections = (tail.len() / super::CONTENTS_ENTRY_BYTES) as u32;
        tail.extend_from_slice(&self.at.to_le_bytes());
        tail.extend_from_slice(&sections.to_le_bytes());
        tail.extend_from_slice(&crc32fast::hash(&tail).to_le_bytes());
        tail.extend_from_slice(MAGIC);
        self.write(&tail)?;
        self.flush()?;
        self.file.sync().at("sync block", &self.temporary)?;
        self.fs.rename(&self.temporary, &self.path).at("name block", &self.path)?;
        self.named = true;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        if let Err(error) = self.fs.sync_dir(dir).at("sync directory", dir) {
            // Nobody takes it into use, and what it was made of changes from now on without it: a start that found it would
            // believe it.
            let _ = self.fs.remove(&self.path);
            return Err(error);
        }
        Ok(std::mem::take(&mut self.path))
    }

    fn encode_exemplars(&self) -> Result<Vec<u8>> {
        let table_bytes = offset_u32(4 + self.exemplar_numbers.len() * 8, "exemplars")?;
        let mut out = Vec::with_capacity(table_bytes as usize + self.exemplars.len());
        out.extend_from_slice(&(self.exemplar_numbers.len() as u32).to_le_bytes());
        for (number, offset) in &self.exemplar_numbers {
            let offset =
                offset.checked_add(table_bytes).ok_or(Error::SectionTooLarge { section: "exemplars" })?;
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }
        out.extend_from_slice(&self.exemplars);
        Ok(out)
    }
}

/// What is written of a column of times.
fn column_of(meta: &ChunkMeta, times: &[i64]) -> Vec<u8> {
    let mut column = Vec::new();
    put_varint(&mut column, u64::from(meta.count));
    put_varint(&mut column, meta.max_time.wrapping_sub(meta.min_time).cast_unsigned());
    timestamps::encode(times, &mut column);
    column
}

/// Columns that chunks name by number, each of which is written once.
struct SharedColumns {
    section: &'static str,
    /// Numbers by what is written.
    numbers: HashMap<Vec<u8>, u32, RandomState>,
    /// The columns, and where each begins.
    bytes: Vec<u8>,
    offsets: Vec<u32>,
}

impl SharedColumns {
    fn new(section: &'static str) -> Self {
        Self { section, numbers: HashMap::default(), bytes: Vec::new(), offsets: Vec::new() }
    }

    /// The number of a column, which is written where no chunk before had the same.
    fn number(&mut self, column: Vec<u8>) -> Result<u32> {
        if let Some(number) = self.numbers.get(&column) {
            return Ok(*number);
        }
        let number = offset_u32(self.offsets.len(), self.section)?;
        self.offsets.push(offset_u32(self.bytes.len(), self.section)?);
        self.bytes.extend_from_slice(&column);
        self.numbers.insert(column, number);
        Ok(number)
    }

    /// The section.
    fn encode(&self) -> Result<Vec<u8>> {
        let table_bytes = offset_u32(4 + self.offsets.len() * 4, self.section)?;
        let mut out = Vec::with_capacity(table_bytes as usize + self.bytes.len());
        out.extend_from_slice(&(self.offsets.len() as u32).to_le_bytes());
        for offset in &self.offsets {
            let offset =
                offset.checked_add(table_bytes).ok_or(Error::SectionTooLarge { section: self.section })?;
            out.extend_from_slice(&offset.to_le_bytes());
        }
        out.extend_from_slice(&self.bytes);
        Ok(out)
    }
}

fn offset_u32(offset: usize, section: &'static str) -> Result<u32> {
    u32::try_from(offset).map_err(|_| Error::SectionTooLarge { section })
}
