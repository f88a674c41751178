//! The file seam: everything that storage asks of a file system, and nothing else.
//!
//! What is assumed of the disk: bytes reach it when [`File::sync`] has returned, names (created, renamed,
//! removed) when [`FileSystem::sync_dir`] has; anything before may be lost, in any part. A rename replaces the
//! target in one step. Synced bytes do not change by themselves, and where they do a checksum notices.

mod real;
#[cfg(test)]
pub(crate) mod sim;

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

pub use real::RealFileSystem;

/// A file system as storage needs it.
pub trait FileSystem: Send + Sync {
    /// Makes a directory and its parents; one that is there already is fine.
    ///
    /// # Errors
    /// The system's.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file for writing at its end and makes it where it is missing.
    ///
    /// # Errors
    /// The system's.
    fn append(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Cuts a file to `len` bytes and syncs it.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Gives the whole content of a file, mapped or copied. The file must not be written to any more while the
    /// answer lives; removing it is fine.
    ///
    /// # Errors
    /// The system's.
    fn map(&self, path: &Path) -> io::Result<FileBytes>;

    /// Reads up to `bytes_max` bytes of a file from `offset` on, fewer where it ends before. It may be written to.
    ///
    /// # Errors
    /// The system's.
    fn read(&self, path: &Path, offset: u64, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name in a directory of the same file system: both stand for the same bytes, whichever is
    /// removed.
    ///
    /// # Errors
    /// The system's.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The size of the file system that a directory is on.
    ///
    /// # Errors
    /// The system's.
    fn disk_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock that `path` stands for, until the answer is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where another has it, else the system's.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// A file open for writing at its end.
pub trait File: Send + Sync {
    /// Writes all of `bytes`. After an error any part of them may have been written.
    ///
    /// # Errors
    /// The system's.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// The system's. What was written since the last success may then be lost even if a later call succeeds.
    fn sync(&mut self) -> io::Result<()>;
}

/// Makes `bytes` the content of a file, durably and in one step.
///
/// # Errors
/// The system's; the file is then as before, or as after.
pub(crate) fn replace(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = fs.append(&temporary)?;
    // An earlier attempt may have left something under this name.
    fs.truncate(&temporary, 0)?;
    file.write_all(bytes)?;
    file.sync()?;
    fs.rename(&temporary, path)?;
    fs.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// The bytes of a file, cheap to clone.
#[derive(Clone)]
pub struct FileBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl FileBytes {
    /// Wraps whatever holds the bytes.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}
