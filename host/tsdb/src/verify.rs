//! Verification: reading everything that a directory holds, to find what is damaged before somebody needs it.
//!
//! Nothing is changed and nothing is set aside. Every checksum is compared, every chunk decoded, and what must hold of
//! blocks, their indexes, tombstones and the log is checked, also where the checksums are right.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use model::{Labels, Matcher};
use roaring::RoaringBitmap;

use crate::block::{Block, BlockChunk};
use crate::chunk::ChunkKind;
use crate::db::{existing_dirs, lock};
use crate::error::{Error, IoContext, Result};
use crate::fs::FileSystem;
use crate::index::Query;
use crate::tombstones::{self, Tombstones};
use crate::wal::record::Section;
use crate::wal::replay;

/// What a verification has read and found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Every [`Error::Corrupt`] that there is, segments missing in the middle of the log among them; where a file is damaged, what follows in it may go unread.
    pub problems: Vec<Error>,
    /// Files that an earlier start has set aside, by path.
    pub set_aside: Vec<String>,
    /// Blocks read.
    pub blocks: u64,
    /// Series read, of all blocks together.
    pub series: u64,
    /// Chunks decoded.
    pub chunks: u64,
    /// Samples in them.
    pub samples: u64,
    /// Exemplars in blocks.
    pub exemplars: u64,
    /// Sections of the log read.
    pub log_sections: u64,
    /// Bytes at the end of the log that an interrupted write has left; a start cuts them off.
    pub torn_bytes: u64,
}

/// Reads all of a database that nobody has open.
///
/// # Errors
/// [`Error::Locked`] where somebody has it open, [`Error::UnsupportedVersion`], [`Error::Io`]. What is damaged is no
/// error, see [`Verification::problems`].
pub fn verify(files: &dyn FileSystem, dir: &Path) -> Result<Verification> {
    let _lock = lock(files, dir)?;
    let mut found = Verification::default();
    for blocks_dir in existing_dirs(files, dir) {
        found.blocks(files, &blocks_dir)?;
    }
    found.log(files, &dir.join("wal"))?;
    Ok(found)
}

impl Verification {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Keeps what is damaged as a problem; any other error ends the verification.
    fn note<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(problem @ Error::Corrupt { .. }) => {
                self.problems.push(problem);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn blocks(&mut self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        let mut names = files.list(dir).at("list", dir)?;
        names.sort();
        let mut blocks = Vec::new();
        for name in &names {
            let path = dir.join(name);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("corrupt") => self.set_aside.push(path.display().to_string()),
                Some("block") => blocks.extend(self.note(Block::open(files, &path))?),
                _ => {}
            }
        }
        for block in &blocks {
            self.blocks += 1;
            let read = self.block(block);
            self.note(read)?;
            let path = block.tombstones_path();
            if names.iter().any(|name| path.file_name().is_some_and(|own| own == name.as_str()))
                && let Some(tombstones) = self.note(Tombstones::read(files, &path))?
            {
                self.tombstones(block, &tombstones);
            }
        }
        self.orphaned_tombstones(dir, &names);
        self.ranges(&mut blocks);
        Ok(())
    }

    fn problem(&mut self, path: &Path, what: String) {
        self.problems.push(Error::corrupt(path, 0, what));
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        let meta = *block.meta();
        let (mut chunks, mut samples, mut exemplars) = (0, 0, 0);
        let (mut before, mut reader): (Option<Labels>, _) = (None, block.series());
        let mut carriers: BTreeMap<(String, String), RoaringBitmap> = BTreeMap::new();
        for number in 0..u32::try_from(meta.series_count).unwrap_or(u32::MAX) {
            let read = reader.labels(number);
            let read = read.and_then(|labels| Ok((labels, reader.chunks(number, i64::MIN, i64::MAX)?)));
            let Some((labels, of_series)) = self.note(read)? else { continue };
            if before.as_ref().is_some_and(|before| *before >= labels) {
                self.problem(block.path(), format!("series {number} {labels} is out of order"));
            }
            for (name, value) in &labels {
                carriers.entry((name.to_owned(), value.to_owned())).or_default().insert(number);
            }
            chunks += of_series.len() as u64;
            samples += self.series(block, &labels, &of_series)?;
            let kept = self.note(block.exemplars(number))?.unwrap_or_default();
            if !kept.is_sorted_by_key(|exemplar| exemplar.timestamp) {
                self.problem(block.path(), format!("exemplars of {labels} are not in order of time"));
            }
            exemplars += kept.len() as u64;
            before = Some(labels);
        }
        for ((name, value), series) in carriers {
            let matchers = [Matcher::equal(&name, &value)];
            if let Some(indexed) = self.note(Query::new(&matchers).resolve(&block.index()))?
                && indexed != series
            {
                let what =
                    format!("index finds {} of {} series with {name}={value:?}", indexed.len(), series.len());
                self.problem(block.path(), what);
            }
        }
        self.note(block.metadata())?;
        for (what, said, counted) in [
            ("chunks", meta.chunk_count, chunks),
            ("samples", meta.sample_count, samples),
            ("exemplars", meta.exemplar_count, exemplars),
        ] {
            if said != counted {
                self.problem(
                    block.path(),
                    format!("{said} {what} are said to be there, {counted} can be read"),
                );
            }
        }
        self.series += meta.series_count;
        self.chunks += chunks;
        self.samples += samples;
        self.exemplars += exemplars;
        Ok(())
    }

    /// Decodes the chunks of a series and says how many samples they have.
    fn series(&mut self, block: &Block, labels: &Labels, chunks: &[BlockChunk]) -> Result<u64> {
        let meta = block.meta();
        let (mut samples, mut last) = (0, None);
        for chunk in chunks {
            let mut times = Vec::new();
            let read = match chunk.meta.kind {
                ChunkKind::Floats => block.decode_floats(chunk, &mut times, &mut Vec::new()),
                ChunkKind::Histograms => block.decode_histograms(chunk, |time, _| times.push(time)),
                ChunkKind::Summaries => {
                    let mut summaries = Vec::new();
                    let read = block.decode_summaries(chunk, &mut summaries);
                    times.extend(summaries.iter().map(|summary| summary.last_time.millis()));
                    read
                }
            };
            let read = read.and_then(|()| block.starts(chunk));
            if self.note(read)?.is_none() {
                continue;
            }
            samples += times.len() as u64;
            let within = |time: &i64| (meta.min_time..=meta.max_time).contains(time);
            if !times.iter().all(within) {
                self.problem(block.path(), format!("{labels} has samples outside of the block's time range"));
            }
            if last.is_some_and(|last| times.first().is_some_and(|first| *first <= last)) {
                self.problem(block.path(), format!("chunks of {labels} overlap"));
            }
            last = times.last().copied().or(last);
        }
        Ok(samples)
    }

    fn tombstones(&mut self, block: &Block, tombstones: &Tombstones) {
        let series = block.meta().series_count;
        let strangers = tombstones.iter().filter(|(number, _)| u64::from(*number) >= series).count();
        if strangers > 0 {
            let what = format!("tombstones of {strangers} series that the block does not have");
            self.problem(&block.tombstones_path(), what);
        }
    }

    fn orphaned_tombstones(&mut self, dir: &Path, names: &[String]) {
        let blocks: HashSet<&str> = names.iter().filter_map(|name| name.strip_suffix(".block")).collect();
        for name in names {
            let stem = name.strip_suffix(tombstones::EXTENSION).and_then(|stem| stem.strip_suffix('.'));
            if stem.is_some_and(|stem| !blocks.contains(stem)) {
                self.set_aside.push(format!("{} (its block is gone)", dir.join(name).display()));
            }
        }
    }

    /// Blocks may stand for the same range only where one covers the other: a start removes the older one then.
    fn ranges(&mut self, blocks: &mut [Block]) {
        blocks.sort_by_key(|block| block.meta().range_start);
        for (at, block) in blocks.iter().enumerate() {
            for next in blocks.get(at + 1..).unwrap_or_default() {
                let (a, b) = (block.meta(), next.meta());
                let apart = a.range_end <= b.range_start;
                if !apart && !a.covers(b) && !b.covers(a) {
                    self.problem(
                        next.path(),
                        format!("time range overlaps that of {}", block.path().display()),
                    );
                }
            }
        }
    }

    fn log(&mut self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        let mut known: HashSet<u32> = HashSet::new();
        let (mut sections, mut orphans) = (0, 0);
        let read = replay::inspect(files, dir, |section| {
            sections += 1;
            let ids: Vec<u32> = match section {
                Section::Series(all) => {
                    known.extend(all.into_iter().map(|(id, _)| id));
                    return;
                }
                Section::Metadata(_) => return,
                Section::Floats(samples) | Section::LateFloats(samples) => samples.ids,
                Section::Histograms(samples) | Section::LateHistograms(samples) => samples.ids,
                Section::Exemplars(all) => all.into_iter().map(|(id, _)| id).collect(),
                Section::Chunks(all) => all.into_iter().map(|(id, _)| id).collect(),
                Section::Deletions(all) => all.iter().map(|(id, _)| id).collect(),
            };
            orphans += ids.iter().filter(|id| !known.contains(id)).count();
        });
        let Some((corruptions, torn_bytes)) = self.note(read)? else { return Ok(()) };
        self.log_sections = sections;
        self.torn_bytes = torn_bytes;
        // Where stretches are damaged, definitions may be among them.
        if orphans > 0 && corruptions.is_empty() {
            self.problem(dir, format!("{orphans} entries of the log are of series that it does not define"));
        }
        self.problems.extend(corruptions);
        for name in files.list(dir).at("list", dir)? {
            if name.ends_with(".corrupt") {
                self.set_aside.push(dir.join(name).display().to_string());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
