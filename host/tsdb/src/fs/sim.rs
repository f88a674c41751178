//! A file system in memory that can fail, and that forgets what a power cut would take.
//!
//! It is as unkind as the contract of [`super::FileSystem`] allows: names last only from [`FileSystem::sync_dir`]
//! on, bytes only from [`File::sync`] on, an unsynced tail survives in part, or as zeros, and what a failing sync was to
//! write never gets there, even where a later one succeeds.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{File, FileBytes, FileSystem};

/// How large the disk is.
pub(crate) const DISK_BYTES: u64 = 100_000;

/// What happens to the call that a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails; a write gets half of its bytes out. The calls after it work.
    Error,
    /// It and every call after it fail, until [`SimFileSystem::restart`].
    Crash,
}

/// What a restart finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The process was killed: all that reached the file system.
    Nothing,
    /// The power failed: only what was synced.
    Unsynced,
    /// The power failed: what was synced and half of the rest.
    HalfOfUnsynced,
    /// The power failed: the rest has its length but reads as zeros.
    UnsyncedIsZeros,
}

#[derive(Debug, Clone, Default)]
struct Node {
    data: Vec<u8>,
    synced: Vec<u8>,
    /// What a sync that failed has lost: it never reaches the disk, whatever later syncs say, since the system takes it
    /// for written.
    lost: Range<usize>,
}

impl Node {
    fn sync(&mut self) {
        self.synced.clone_from(&self.data);
        let lost = self.lost.start.min(self.data.len())..self.lost.end.min(self.data.len());
        self.synced[lost].fill(0);
    }

    fn fail_to_sync(&mut self) {
        if self.synced.len() < self.data.len() {
            let start = if self.lost.is_empty() { self.synced.len() } else { self.lost.start };
            self.lost = start..self.data.len();
        }
    }

    fn truncate(&mut self, len: usize) {
        self.data.truncate(len);
        self.lost = self.lost.start.min(len)..self.lost.end.min(len);
        self.sync();
    }
}

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Directories that were renamed, from and to, since their parent was synced.
    renamed_dirs: Vec<(PathBuf, PathBuf)>,
    fault: Option<(u64, Fault)>,
    crashed: bool,
    calls: u64,
    locked: bool,
    /// How many bytes more there is room for.
    room: Option<u64>,
    /// The file that cannot be read.
    unreadable: Option<PathBuf>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimFileSystem(Arc<Mutex<State>>);

impl SimFileSystem {
    /// The `after`th changing call from now on (0 is the next one) meets `fault`.
    pub(crate) fn fail(&self, after: u64, fault: Fault) {
        self.0.lock().fault = Some((after, fault));
    }

    /// Takes back a fault that has not been met. Says whether there was one.
    pub(crate) fn clear_fault(&self) -> bool {
        self.0.lock().fault.take().is_some()
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Comes back after the process, or the machine, has gone.
    pub(crate) fn restart(&self, loss: Loss) {
        let mut state = self.0.lock();
        (state.fault, state.crashed, state.locked) = (None, false, false);
        state.renamed_dirs.clear();
        if loss == Loss::Nothing {
            return;
        }
        state.live = state.durable.clone();
        for node in &mut state.nodes {
            // Cut files were synced as they were cut, so that the synced bytes are a prefix of the others.
            let rest = node.data.len().saturating_sub(node.synced.len());
            let kept = match loss {
                Loss::HalfOfUnsynced => rest / 2,
                Loss::UnsyncedIsZeros => rest,
                Loss::Nothing | Loss::Unsynced => 0,
            };
            let mut data = node.synced.clone();
            let tail = node.data.get(node.synced.len()..node.synced.len() + kept).unwrap_or_default();
            match loss {
                Loss::UnsyncedIsZeros => data.resize(data.len() + tail.len(), 0),
                _ => data.extend_from_slice(tail),
            }
            node.synced.clone_from(&data);
            node.data = data;
        }
    }

    /// Leaves so many bytes of room on the disk, or as many as one likes.
    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        self.0.lock().room = bytes;
    }

    /// Reading this file fails from now on; none does with `None`.
    pub(crate) fn fail_reads_of(&self, path: Option<&Path>) {
        self.0.lock().unreadable = path.map(Path::to_owned);
    }

    /// A disk of its own with the same files.
    pub(crate) fn copy(&self) -> Self {
        let state = self.0.lock();
        let copy = State {
            nodes: state.nodes.clone(),
            live: state.live.clone(),
            durable: state.durable.clone(),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// How many calls have changed something, or tried to.
    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// The content of a file.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.0.lock();
        state.nodes[state.live[path]].data.clone()
    }

    /// Replaces the content of a file, durably.
    pub(crate) fn set_bytes(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.0.lock();
        let at = state.nodes.len();
        state.nodes.push(Node { data: bytes.to_vec(), synced: bytes.to_vec(), lost: 0..0 });
        state.live.insert(path.to_owned(), at);
        state.durable.insert(path.to_owned(), at);
    }
}

/// Gives everything below a directory the names of another one.
fn move_dir(names: &mut BTreeMap<PathBuf, usize>, from: &Path, to: &Path) {
    let moved: Vec<(PathBuf, usize)> = names.extract_if(.., |path, _| path.starts_with(from)).collect();
    names.extend(
        moved.into_iter().filter_map(|(path, node)| Some((to.join(path.strip_prefix(from).ok()?), node))),
    );
}

impl State {
    /// Counts a changing call and says what becomes of it.
    fn meet(&mut self) -> Option<Fault> {
        self.calls += 1;
        if self.crashed {
            return Some(Fault::Crash);
        }
        let (after, fault) = self.fault?;
        if after > 0 {
            self.fault = Some((after - 1, fault));
            return None;
        }
        self.fault = None;
        self.crashed = fault == Fault::Crash;
        Some(fault)
    }

    fn change(&mut self) -> io::Result<()> {
        match self.meet() {
            Some(_) => Err(io::Error::other("injected fault")),
            None => Ok(()),
        }
    }

    fn node(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl FileSystem for SimFileSystem {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.0.lock();
        state.change()?;
        let node = match state.node(path) {
            Ok(node) => node,
            Err(_) => {
                state.nodes.push(Node::default());
                let node = state.nodes.len() - 1;
                state.live.insert(path.to_owned(), node);
                node
            }
        };
        Ok(Box::new(SimFile { fs: self.clone(), node }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let node = state.node(path)?;
        state.nodes[node].truncate(len as usize);
        Ok(())
    }

    fn map(&self, path: &Path) -> io::Result<FileBytes> {
        let state = self.0.lock();
        if state.crashed || state.unreadable.as_deref() == Some(path) {
            return Err(io::Error::other("injected fault"));
        }
        Ok(FileBytes::new(state.nodes[state.node(path)?].data.clone()))
    }

    fn read(&self, path: &Path, offset: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        let bytes = self.map(path)?;
        let count = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Ok(bytes.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(count).copied().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        if state.live.keys().any(|path| path != from && path.starts_with(from)) {
            move_dir(&mut state.live, from, to);
            state.renamed_dirs.push((from.to_owned(), to.to_owned()));
            return Ok(());
        }
        let node = state.node(from)?;
        state.live.remove(from);
        state.live.insert(to.to_owned(), node);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let node = state.node(from)?;
        if state.live.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.live.insert(to.to_owned(), node);
        Ok(())
    }

    fn disk_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(DISK_BYTES)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let node = state.node(path)?;
        state.live.remove(path);
        if !state.live.values().any(|other| *other == node) {
            let freed = state.nodes[node].data.len() as u64;
            state.room = state.room.map(|room| room + freed);
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let here = state.live.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let live: Vec<(PathBuf, usize)> = state
            .live
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .map(|(path, node)| (path.clone(), *node))
            .collect();
        state.durable.retain(|path, _| path.parent() != Some(dir));
        state.durable.extend(live);
        let here = state.renamed_dirs.extract_if(.., |(_, to)| to.parent() == Some(dir)).collect::<Vec<_>>();
        here.iter().for_each(|(from, to)| move_dir(&mut state.durable, from, to));
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Unlock(self.clone())))
    }
}

struct Unlock(SimFileSystem);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.0.lock().locked = false;
    }
}

struct SimFile {
    fs: SimFileSystem,
    node: usize,
}

impl File for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.0.lock();
        let before = state.crashed;
        let met = state.meet();
        let part = match met {
            None => bytes,
            // A call after the crash writes nothing: the process is gone.
            Some(_) if before => &[],
            Some(_) => &bytes[..bytes.len() / 2],
        };
        let room = state.room.map_or(usize::MAX, |room| room as usize);
        let written = &part[..part.len().min(room)];
        state.room = state.room.map(|room| room - written.len() as u64);
        state.nodes[self.node].data.extend_from_slice(written);
        match met {
            None if written.len() < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
            Some(_) => Err(io::Error::other("injected fault")),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.fs.0.lock();
        let met = state.change();
        let node = &mut state.nodes[self.node];
        match met {
            Ok(()) => node.sync(),
            Err(_) => node.fail_to_sync(),
        }
        met
    }
}
