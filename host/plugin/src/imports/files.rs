//! `stormglass:host/files`: files and file systems of the host, where granted.
//!
//! Everything happens on the blocking pool: a file system may hang, and then only the guest's call is lost.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

use crate::bindings::stormglass::host::files::{Entry, EntryKind, Error, Host, Volume};
use crate::fake;
use crate::grants::{FileMode, Grants, PathRefused};
use crate::limits::DIRECTORY_ENTRIES_MAX;
use crate::state::State;

impl Host for State {
    async fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let limit = self.tenant.limits.file.0;
        if let Some(fake) = self.tenant.fake.clone() {
            return self.faked(fake.read(&path));
        }
        self.blocking(path, move |grants, path| {
            let real = checked(grants.check_path(path, FileMode::Read), path)?;
            read_file(&real, limit).map_err(|refused| match refused {
                ReadRefused::Io(error) => io_error(path, &error),
                ReadRefused::TooLarge => Error::TooLarge(limit),
                ReadRefused::NotAFile => Error::Other(format!("{}: not a regular file", path.display())),
            })
        })
        .await
    }

    async fn read_dir(&mut self, path: String) -> wasmtime::Result<Result<Vec<Entry>, Error>> {
        if let Some(fake) = self.tenant.fake.clone() {
            return self.faked(fake.read_dir(&path));
        }
        self.blocking(path, |grants, path| {
            let real = checked(grants.check_path(path, FileMode::Read), path)?;
            let mut entries = Vec::new();
            for entry in real.read_dir().map_err(|error| io_error(path, &error))? {
                let entry = entry.map_err(|error| io_error(path, &error))?;
                if entries.len() == DIRECTORY_ENTRIES_MAX {
                    return Err(Error::Other(format!(
                        "{}: more than {DIRECTORY_ENTRIES_MAX} entries",
                        path.display()
                    )));
                }
                let kind = entry.file_type().map_or(EntryKind::Other, entry_kind);
                entries.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), kind });
            }
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        })
        .await
    }

    async fn read_link(&mut self, path: String) -> wasmtime::Result<Result<String, Error>> {
        if self.tenant.fake.is_some() {
            return self.faked(Err(fake::denied(&path)));
        }
        self.blocking(path, |grants, path| {
            let real = checked(grants.check_link(path, FileMode::Read), path)?;
            let target = real.read_link().map_err(|error| io_error(path, &error))?;
            Ok(target.to_string_lossy().into_owned())
        })
        .await
    }

    async fn space(&mut self, path: String) -> wasmtime::Result<Result<Volume, Error>> {
        if self.tenant.fake.is_some() {
            return self.faked(Err(fake::denied(&path)));
        }
        self.blocking(path, |grants, path| {
            let real = checked(grants.check_path(path, FileMode::Stat), path)?;
            let stat = rustix::fs::statvfs(&real).map_err(|error| io_error(path, &error.into()))?;
            Ok(Volume {
                size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                free_bytes: stat.f_bfree.saturating_mul(stat.f_frsize),
                available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
                inodes: stat.f_files,
                inodes_free: stat.f_ffree,
                read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
            })
        })
        .await
    }
}

impl State {
    /// Runs a file operation on the blocking pool, and remembers a denial.
    async fn blocking<T: Send + 'static>(
        &mut self,
        path: String,
        operation: impl FnOnce(&Grants, &Path) -> Result<T, Error> + Send + 'static,
    ) -> wasmtime::Result<Result<T, Error>> {
        self.count_host_call()?;
        let Ok(permit) = Arc::clone(&self.file_operations).try_acquire_owned() else {
            return Ok(Err(Error::Other(format!("{path}: earlier file operations still hang"))));
        };
        let grants = Arc::clone(&self.tenant.grants);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            operation(&grants, &PathBuf::from(path))
        })
        .await?;
        Ok(self.remembered(done))
    }

    /// An answer of a test's own surroundings.
    fn faked<T>(&mut self, answer: Result<T, Error>) -> wasmtime::Result<Result<T, Error>> {
        self.count_host_call()?;
        Ok(self.remembered(answer))
    }

    /// Remembers a denial for the error that the call may end in.
    fn remembered<T>(&mut self, answer: Result<T, Error>) -> Result<T, Error> {
        answer.map_err(|error| match error {
            Error::Denied(text) => Error::Denied(self.deny(crate::grants::Denied(text))),
            other => other,
        })
    }
}

fn checked(checked: Result<PathBuf, PathRefused>, path: &Path) -> Result<PathBuf, Error> {
    checked.map_err(|refused| match refused {
        PathRefused::Denied(denied) => Error::Denied(denied.to_string()),
        PathRefused::Io(error) => io_error(path, &error),
    })
}

fn io_error(path: &Path, error: &io::Error) -> Error {
    let text = format!("{}: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound { Error::NotFound(text) } else { Error::Other(text) }
}

fn entry_kind(kind: std::fs::FileType) -> EntryKind {
    if kind.is_symlink() {
        EntryKind::Link
    } else if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_file() {
        EntryKind::File
    } else {
        EntryKind::Other
    }
}

enum ReadRefused {
    Io(io::Error),
    TooLarge,
    NotAFile,
}

impl From<io::Error> for ReadRefused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a file whose path has no links. Files of `/proc` have no size before they are read, hence the limit counts
/// what is read.
fn read_file(real: &Path, limit: u64) -> Result<Vec<u8>, ReadRefused> {
    let file = open(real)?;
    if !file.metadata()?.is_file() {
        return Err(ReadRefused::NotAFile);
    }
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(ReadRefused::TooLarge);
    }
    Ok(content)
}

/// Opens without following links, which would have to have appeared since the path was checked, and without waiting
/// for a writer at the other end of a pipe.
fn open(real: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, ResolveFlags, openat2};
        match openat2(CWD, real, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            Ok(file) => return Ok(file.into()),
            // Kernels before 5.6 and some sandboxes do not have it.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rustix::fs::open(real, flags | OFlags::NOFOLLOW, Mode::empty())?.into())
}
