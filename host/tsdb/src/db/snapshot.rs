//! Snapshots: a second directory with everything in it, which a backup can copy and a server can open.
//!
//! Blocks never change, so that a snapshot shares their bytes with the database: a *hard link* is a second name of the
//! same file, costs nothing and stays when the first name goes. The head is written as a checkpoint, with the stretch
//! of the log that was written meanwhile: together they have every batch that was acknowledged before the snapshot was
//! asked for, and no batch in part.
//!
//! A snapshot is made under a name of its own and gets its real one when all of it is durable: it is there as a whole
//! or not at all. What an interrupted one leaves ends with `.tmp`, and the next one of that name takes its place.

use std::path::{Path, PathBuf};

use super::Shared;
use super::downsample::{DIRS, RAW_DIR};
use crate::Tsdb;
use crate::block::Block;
use crate::error::{IoContext, Result};
use crate::fs::{self, FileSystem};
use crate::tombstones;
use crate::wal::replay::LogFiles;
use crate::wal::{CheckpointWriter, segment_path};

impl Tsdb {
    /// Makes a snapshot in `dir`, which must not be there yet and must be on the same file system. With `skip_head` it
    /// has only what is in blocks: all but the last hours. Waits for maintenance that is under way; appending and
    /// reading go on.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Closed`].
    pub fn snapshot(&self, dir: impl AsRef<Path>, skip_head: bool) -> Result<()> {
        self.shared.make_snapshot(dir.as_ref(), skip_head)
    }
}

impl Shared {
    fn make_snapshot(&self, dir: &Path, skip_head: bool) -> Result<()> {
        // No block comes or goes meanwhile.
        let _alone = self.maintenance.lock();
        let target = Target::create(&*self.fs, dir)?;
        for block in self.all_blocks() {
            target.link_block(&block)?;
        }
        if !skip_head {
            self.snapshot_head(&target)?;
        }
        target.finish()
    }

    fn snapshot_head(&self, target: &Target<'_>) -> Result<()> {
        let (first, _) = self.begin_segment()?;
        let mut writer = CheckpointWriter::create(&*self.fs, &target.wal_dir, first)?;
        self.write_head(&mut writer)?;
        writer.finish(&[])?;
        // What the checkpoint may have in part, these segments have as a whole.
        let (end, _) = self.begin_segment()?;
        for number in LogFiles::list(&*self.fs, &self.wal_dir)?.segments_in(first..end) {
            let (from, to) = (segment_path(&self.wal_dir, number), segment_path(&target.wal_dir, number));
            self.fs.link(&from, &to).at("link log", &to)?;
        }
        Ok(())
    }
}

/// Makes a snapshot of a database that nobody has open, without changing anything in its directory.
///
/// # Errors
/// [`crate::Error::Locked`] where somebody has it open, [`crate::Error::Io`].
pub fn snapshot_stopped(files: &dyn FileSystem, from: &Path, dir: &Path, skip_head: bool) -> Result<()> {
    let _lock = super::open::lock(files, from)?;
    let wal_dir = from.join("wal");
    let target = Target::create(files, dir)?;
    for blocks_dir in existing_dirs(files, from) {
        for name in files.list(&blocks_dir).at("list", &blocks_dir)? {
            let path = blocks_dir.join(&name);
            let extension = path.extension().and_then(|extension| extension.to_str());
            if extension == Some("block") || extension == Some(tombstones::EXTENSION) {
                target.link(&path)?;
            }
        }
    }
    if !skip_head {
        // A copy: the next start may cut a torn tail off the log.
        for path in LogFiles::list(files, &wal_dir)?.live() {
            let Some(name) = path.file_name() else { continue };
            let bytes = files.map(&path).at("read log", &path)?;
            let to = target.wal_dir.join(name);
            fs::replace(files, &to, &bytes).at("copy log", &to)?;
        }
    }
    target.finish()
}

/// The folders of blocks of a database that are there; it may be older than downsampling.
pub(crate) fn existing_dirs(files: &dyn FileSystem, dir: &Path) -> Vec<PathBuf> {
    let there = |dir: &PathBuf| files.list(dir).is_ok();
    std::iter::once(RAW_DIR).chain(DIRS).map(|name| dir.join(name)).filter(there).collect()
}

/// The directory of a snapshot that is being made.
struct Target<'a> {
    files: &'a dyn FileSystem,
    dir: &'a Path,
    temporary: PathBuf,
    wal_dir: PathBuf,
}

impl<'a> Target<'a> {
    fn create(files: &'a dyn FileSystem, dir: &'a Path) -> Result<Self> {
        let mut name = dir.to_owned().into_os_string();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let target = Self { files, dir, wal_dir: temporary.join("wal"), temporary };
        for needed in target.dirs() {
            files.create_dir_all(&needed).at("create directory", &needed)?;
        }
        // What an interrupted one has left.
        for left in target.dirs().into_iter().skip(1) {
            for name in files.list(&left).at("list", &left)? {
                let path = left.join(name);
                files.remove(&path).at("remove interrupted snapshot", &path)?;
            }
        }
        Ok(target)
    }

    /// Itself and the folders in it.
    fn dirs(&self) -> Vec<PathBuf> {
        let inner = [RAW_DIR].into_iter().chain(DIRS).map(|name| self.temporary.join(name));
        [self.temporary.clone(), self.wal_dir.clone()].into_iter().chain(inner).collect()
    }

    /// Links a file of a folder of blocks.
    fn link(&self, from: &Path) -> Result<()> {
        let (Some(name), Some(folder)) = (from.file_name(), from.parent().and_then(Path::file_name)) else {
            return Ok(());
        };
        self.files.link(from, &self.temporary.join(folder).join(name)).at("link block", from)
    }

    fn link_block(&self, block: &Block) -> Result<()> {
        self.link(block.path())?;
        if block.tombstones().is_empty() { Ok(()) } else { self.link(&block.tombstones_path()) }
    }

    fn finish(self) -> Result<()> {
        for dir in self.dirs().iter().rev() {
            self.files.sync_dir(dir).at("sync directory", dir)?;
        }
        self.files.rename(&self.temporary, self.dir).at("name snapshot", self.dir)?;
        let parent = self.dir.parent().unwrap_or(Path::new("."));
        self.files.sync_dir(parent).at("sync directory", parent)
    }
}
