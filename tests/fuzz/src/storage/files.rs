//! A file system in memory that never fails.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Histogram;
use tsdb::{File, FileBytes, FileSystem, Sink};

/// The files by their paths, shared by all clones.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>);

impl Files {
    fn all(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.all().keys().cloned().collect()
    }

    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        self.all().get(path).cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, path: &Path, bytes: &[u8]) {
        self.all().insert(path.to_owned(), bytes.to_vec());
    }
}

impl FileSystem for Files {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.all().entry(path.to_owned()).or_default();
        Ok(Box::new(Open { files: self.clone(), path: path.to_owned() }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut all = self.all();
        let bytes = all.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn map(&self, path: &Path) -> io::Result<FileBytes> {
        let bytes = self.all().get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(FileBytes::new(bytes))
    }

    fn read(&self, path: &Path, offset: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        let bytes = self.map(path)?;
        let count = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Ok(bytes.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(count).copied().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut all = self.all();
        let bytes = all.remove(from).ok_or(io::ErrorKind::NotFound)?;
        all.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut all = self.all();
        let bytes = all.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        all.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn disk_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.all().remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let all = self.all();
        let here = all.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

struct Open {
    files: Files,
    path: PathBuf,
}

impl File for Open {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.all().entry(self.path.clone()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes samples and keeps none.
pub(super) struct Ignore;

impl Sink for Ignore {
    fn floats(&mut self, _times: &[i64], _values: &[f64], _starts: &[i64]) {}

    fn histograms(&mut self, _times: &[i64], _values: &[Arc<Histogram>], _starts: &[i64]) {}
}
