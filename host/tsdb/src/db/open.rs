//! Opening: the lock, the blocks, the log.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ahash::RandomState;
use parking_lot::{Mutex, RwLock};

use super::arrivals::Arrivals;
use super::downsample::DIRS;
use super::gate::Gate;
use super::late::window_ms;
use super::retention::Expiry;
use super::{Shared, View};
use crate::block::Block;
use crate::chunk::{Chunk, ChunkKind};
use crate::clock::Clock;
use crate::codec::Malformed;
use crate::error::{Error, IoContext, Result};
use crate::fs::FileSystem;
use crate::head::page::{PAGE_SERIES, Page, PageData};
use crate::head::{Counters, Head, SampleValue, TimedSample};
use crate::options::Options;
use crate::tombstones::{self, Tombstones};
use crate::wal::Wal;
use crate::wal::readers::LogReaders;
use crate::wal::record::Section;
use crate::wal::replay::replay;

/// What a start found on disk.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// One [`Error::Corrupt`] per damaged stretch; the files have been set aside.
    pub corruptions: Vec<Error>,
    /// Bytes of an interrupted write that were cut off the log.
    pub torn_bytes: u64,
    /// Samples read from the log.
    pub samples: u64,
    /// Log entries whose series nobody defined any more, which only damage elsewhere explains.
    pub orphans: u64,
    /// Blocks opened.
    pub blocks: usize,
}

impl Shared {
    pub(super) fn open(
        dir: &Path,
        options: Options,
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (wal_dir, blocks_dir) = (dir.join("wal"), dir.join("blocks"));
        let [minutes_dir, hours_dir] = DIRS.map(|name| dir.join(name));
        for needed in [dir, &wal_dir, &blocks_dir, &minutes_dir, &hours_dir] {
            fs.create_dir_all(needed).at("create directory", needed)?;
        }
        fs.sync_dir(dir).at("sync directory", dir)?;
        let lock = lock(&*fs, dir)?;

        let mut recovery = Recovery::default();
        let blocks = open_blocks(&*fs, &blocks_dir, &mut recovery)?;
        let coarse = [
            Arc::new(open_blocks(&*fs, &minutes_dir, &mut recovery)?),
            Arc::new(open_blocks(&*fs, &hours_dir, &mut recovery)?),
        ];
        recovery.blocks = blocks.len();
        let min_valid = blocks.iter().map(|block| block.meta().range_end).max().unwrap_or(i64::MIN);
        let head = Head::new(&options, min_valid);
        if let Some(newest) = blocks.last() {
            newest.metadata()?.iter().for_each(|(family, metadata)| head.set_metadata(family, metadata));
        }

        let mut restore = Restore {
            head: &head,
            others: HashMap::default(),
            page: None,
            deleted: Tombstones::default(),
            orphans: 0,
        };
        let replayed = replay(&*fs, &wal_dir, |section| restore.section(section))?;
        recovery.orphans = restore.orphans;
        let mut head_deleted = restore.deleted;
        head_deleted.drop_before(min_valid);
        recovery.samples = head.counters.samples_appended.swap(0, Ordering::Relaxed);
        // What the log repeats after a checkpoint was not dropped; what was has been counted then.
        head.counters.samples_dropped.store(0, Ordering::Relaxed);
        let named = replayed.corruptions.len();
        recovery.torn_bytes = replayed.torn_bytes;
        let log_readers = Arc::new(LogReaders::new(fs.clone(), wal_dir.clone()));
        let wal = Wal::create(log_readers.clone(), &options, &replayed, clock.now())?;
        recovery.corruptions.extend(replayed.corruptions);

        // The first query need not wait for it.
        head.index_fresh();
        let arrivals = Arrivals::new(window_ms(options.cut_after_quiet), clock.now().millis());
        let shared = Self {
            fs,
            clock,
            retention: RwLock::new(Arc::new(options.retention.clone())),
            wal_dir,
            blocks_dir,
            head,
            flight: RwLock::default(),
            queue: Mutex::default(),
            waiting: Mutex::default(),
            log_readers,
            wal: Mutex::new(Some(wal)),
            gate: Gate::default(),
            view: RwLock::new(View {
                blocks: Arc::new(blocks),
                head_from: i64::MIN,
                coarse,
                head_deleted: Arc::new(head_deleted),
                expiry: Arc::new(Expiry::NEVER),
            }),
            late_window_ms: AtomicI64::new(window_ms(options.out_of_order_window)),
            late_in_log: AtomicBool::new(false),
            arrivals,
            maintenance: Mutex::new(()),
            options,
            growth: super::growth::GrowthLog::default(),
            recovery,
            _lock: lock,
        };
        let expiry = Arc::new(shared.expiry());
        shared.view.write().expiry = expiry;
        if named > 0 {
            // What could be read becomes durable again before the damaged files go out of the way.
            shared.checkpoint(&replayed.corrupt_files)?;
        }
        Ok(shared)
    }
}

/// Takes the lock on a database's directory.
pub(crate) fn lock(fs: &dyn FileSystem, dir: &Path) -> Result<Box<dyn Send + Sync>> {
    let path = dir.join("lock");
    match fs.lock(&path) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::Locked { path }),
        other => other.at("lock", &path),
    }
}

/// Opens every block; damaged ones are set aside, interrupted ones removed.
fn open_blocks(fs: &dyn FileSystem, dir: &Path, recovery: &mut Recovery) -> Result<Vec<Arc<Block>>> {
    let mut blocks = Vec::new();
    for name in fs.list(dir).at("list", dir)? {
        let path = dir.join(&name);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("tmp") => fs.remove(&path).at("remove interrupted block", &path)?,
            Some("block") => match Block::open(fs, &path) {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(error @ Error::Corrupt { .. }) => {
                    set_aside(fs, &path)?;
                    recovery.corruptions.push(error);
                }
                Err(error) => return Err(error),
            },
            _ => {}
        }
    }
    remove_superseded(fs, &mut blocks)?;
    open_tombstones(fs, dir, &blocks, recovery)?;
    blocks.sort_by_key(|block| block.meta().range_start);
    Ok(blocks)
}

/// Opens the tombstones of every block; damaged ones are set aside, those without a block removed.
fn open_tombstones(
    fs: &dyn FileSystem,
    dir: &Path,
    blocks: &[Arc<Block>],
    recovery: &mut Recovery,
) -> Result<()> {
    for name in fs.list(dir).at("list", dir)? {
        let path = dir.join(&name);
        if path.extension().is_none_or(|extension| extension != tombstones::EXTENSION) {
            continue;
        }
        let Some(block) = blocks.iter().find(|block| block.tombstones_path() == path) else {
            // The block may be set aside: whoever mends it will want to know what was deleted.
            if !fs.list(dir).at("list", dir)?.contains(&format!("{}.block.corrupt", stem(&path))) {
                fs.remove(&path).at("remove tombstones", &path)?;
            }
            continue;
        };
        match Tombstones::read(fs, &path) {
            Ok(tombstones) => block.set_tombstones(Arc::new(tombstones)),
            Err(error @ Error::Corrupt { .. }) => {
                set_aside(fs, &path)?;
                recovery.corruptions.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// Removes each block whose range a later one covers. A cut that failed after its block got its name leaves one
/// behind, and has been repeated with the same samples.
fn remove_superseded(fs: &dyn FileSystem, blocks: &mut Vec<Arc<Block>>) -> Result<()> {
    // Numbers are padded: later blocks have greater names.
    blocks.sort_by(|a, b| b.path().cmp(a.path()));
    let mut kept: Vec<Arc<Block>> = Vec::with_capacity(blocks.len());
    for block in blocks.drain(..) {
        if kept.iter().any(|later| later.meta().covers(block.meta())) {
            fs.remove(block.path()).at("remove superseded block", block.path())?;
        } else {
            kept.push(block);
        }
    }
    *blocks = kept;
    Ok(())
}

fn set_aside(fs: &dyn FileSystem, path: &Path) -> Result<()> {
    let mut aside = path.to_owned().into_os_string();
    aside.push(".corrupt");
    fs.rename(path, &PathBuf::from(aside)).at("set aside corrupt", path)
}

/// Rebuilds the head from the log.
///
/// A sample that is there already changes nothing, so that what a checkpoint and the log both have comes once.
struct Restore<'a> {
    head: &'a Head,
    /// Ids that the log uses for labels which are there under another id.
    others: HashMap<u32, u32, RandomState>,
    /// Where the last item went: its neighbours mostly follow.
    page: Option<Arc<Page>>,
    deleted: Tombstones,
    orphans: u64,
}

impl Restore<'_> {
    fn section(&mut self, section: Section) {
        let range = self.head.block_range_ms;
        match section {
            Section::Series(all) => {
                for (id, labels) in all {
                    let known = self.head.restore(id, labels);
                    if known != id {
                        self.others.insert(id, known);
                    }
                }
            }
            Section::Floats(samples) => {
                for (id, time, start, float) in samples.into_items() {
                    self.sample(id, time, |data, slot| data.add_float(slot, (time, start), float, range));
                }
            }
            Section::Histograms(samples) => {
                for (id, time, start, histogram) in samples.into_items() {
                    let sample = TimedSample { time, start, value: SampleValue::Histogram(histogram) };
                    self.sample(id, time, |data, slot| data.add(slot, sample, range));
                }
            }
            Section::LateFloats(samples) => {
                for (id, time, start, float) in samples.into_items() {
                    self.late(id, TimedSample { time, start, value: SampleValue::Float(float) });
                }
            }
            Section::LateHistograms(samples) => {
                for (id, time, start, histogram) in samples.into_items() {
                    self.late(id, TimedSample { time, start, value: SampleValue::Histogram(histogram) });
                }
            }
            Section::Exemplars(all) => {
                for (id, exemplar) in all {
                    let in_time = exemplar.timestamp.millis() >= self.head.min_valid();
                    self.with(id, |_, data, slot| {
                        if in_time {
                            data.add_exemplar(slot, &exemplar);
                        }
                    });
                }
            }
            Section::Metadata(all) => {
                all.iter().for_each(|(family, metadata)| self.head.set_metadata(family, metadata));
            }
            Section::Chunks(all) => {
                for (id, chunk) in all {
                    self.with(id, |head, data, slot| apply_chunk(head, data, slot, chunk));
                }
            }
            Section::Deletions(deletions) => {
                for (id, intervals) in deletions.iter() {
                    if let Some(known) = self.known(id) {
                        self.deleted.add_to(known, intervals);
                    }
                }
            }
        }
    }

    fn sample(&mut self, id: u32, time: i64, add: impl FnOnce(&mut PageData, usize) -> bool) {
        self.with(id, |head, data, slot| {
            // What is older is in a block.
            if time >= head.min_valid() {
                head.saw_times(time, time);
                Counters::add(&head.counters.samples_appended, u64::from(add(data, slot)));
            }
        });
    }

    /// A late sample is kept even where a block has its range: the block may not have it.
    fn late(&mut self, id: u32, sample: TimedSample) {
        self.with(id, |head, data, slot| {
            head.saw_times(sample.time.max(head.min_valid()), sample.time);
            Counters::add(&head.counters.samples_appended, u64::from(data.add_late(slot, sample)));
        });
    }

    /// The id of the series that the log means.
    fn known(&mut self, id: u32) -> Option<u32> {
        let mut known = None;
        self.with(id, |_, data, slot| known = data.series(slot).map(|series| series.id));
        known
    }

    fn with(&mut self, id: u32, apply: impl FnOnce(&Head, &mut PageData, usize)) {
        let id = self.others.get(&id).copied().unwrap_or(id);
        let (number, slot) = (id / PAGE_SERIES as u32, id as usize % PAGE_SERIES);
        if self.page.as_ref().is_none_or(|page| page.number != number) {
            self.page = self.head.page(number);
        }
        match self.page.as_ref().map(|page| page.lock()) {
            Some(mut data) if data.has(slot) => apply(self.head, &mut data, slot),
            _ => self.orphans += 1,
        }
    }
}

/// Puts a chunk of a checkpoint back. One that crosses a border of block ranges, since the range was configured
/// differently when it was sealed, or that is not newer than all, is taken sample by sample.
fn apply_chunk(head: &Head, data: &mut PageData, slot: usize, chunk: Chunk) {
    let mut samples = Vec::with_capacity(chunk.meta.count as usize);
    let decoded = match chunk.meta.kind {
        ChunkKind::Floats => {
            let (mut times, mut floats) = (Vec::new(), Vec::new());
            chunk.meta.decode_floats(&chunk.data, &mut times, &mut floats).inspect(|_| {
                samples.extend(times.into_iter().zip(floats.into_iter().map(SampleValue::Float)));
            })
        }
        ChunkKind::Histograms => chunk.meta.decode_histograms(&chunk.data, |time, histogram| {
            samples.push((time, SampleValue::Histogram(histogram)));
        }),
        // Nobody has written them there.
        ChunkKind::Summaries => Err(Malformed { at: 0, what: "summaries in the log" }),
    };
    let Ok(starts) = decoded else {
        Counters::add(&head.counters.samples_dropped, u64::from(chunk.meta.count));
        return;
    };
    let (min, max, count) = (chunk.meta.min_time, chunk.meta.max_time, chunk.meta.count);
    let range = |time: i64| time.div_euclid(head.block_range_ms);
    head.saw_times(min.max(head.min_valid()), max);
    if min >= head.min_valid() && range(min) == range(max) && data.restore_chunk(slot, chunk) {
        Counters::add(&head.counters.samples_appended, u64::from(count));
        return;
    }
    let samples = samples.into_iter().enumerate().map(|(position, (time, value))| TimedSample {
        time,
        start: starts.get(position),
        value,
    });
    let valid = samples.filter(|sample| sample.time >= head.min_valid());
    let added = valid.filter_map(|sample| data.add(slot, sample, head.block_range_ms).then_some(()));
    Counters::add(&head.counters.samples_appended, added.count() as u64);
}
