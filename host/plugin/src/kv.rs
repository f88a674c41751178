//! State of plugins that outlives them: one small file for each entry of the configuration.
//!
//! ```text
//! header   "SGKV" | version u32
//! record   length u32 | CRC-32 of what follows u32 | expires i64 | key length u16 | key | value
//! ```
//!
//! Little-endian throughout. `length` counts from `expires` to the end of the value. A record replaces earlier ones of
//! its key; one whose length ends with the key removes it (`expires` is then -1; a stored value has 0 for never, or
//! milliseconds since the epoch). The file only grows, each record synced before the caller is answered, and is
//! written anew under another name and renamed once more than half of it is out of date. A record that is cut off or
//! fails its checksum ends the file: it was being written when the machine stopped, and nobody was told that it was
//! stored. We assume that a rename is atomic and that a synced file is what was written.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::PluginError;

/// The version that is written.
const FORMAT_VERSION: u32 = 1;
/// The oldest version that is read.
const OLDEST_READABLE: u32 = 1;
const MAGIC: [u8; 4] = *b"SGKV";
const HEADER_BYTES: usize = 8;
/// Length and checksum before each record.
const FRAME_BYTES: usize = 8;
/// Expiry and key length in each record.
const FIXED_BYTES: usize = 10;
/// What the interface promises.
pub(crate) const KEY_BYTES_MAX: usize = 512;
/// Below this a file is never written anew: it is a page or two.
const REWRITE_BYTES_MIN: u64 = 64 << 10;
/// The `expires` of a record that removes its key.
const REMOVED: i64 = -1;

/// Why a value was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KvError {
    #[error("a key must have 1 to {KEY_BYTES_MAX} bytes")]
    InvalidKey,
    #[error("the store would hold more than {0} bytes")]
    Full(u64),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The stores of all plugins.
pub(crate) struct Stores {
    /// None keeps everything in memory alone.
    folder: Option<PathBuf>,
    /// Two instances of one entry, as during a reload, share its store.
    open: Mutex<HashMap<String, Weak<Store>>>,
}

impl Stores {
    /// The stores in this folder, which is made where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn new(folder: Option<PathBuf>) -> Result<Self, PluginError> {
        if let Some(folder) = &folder {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|source| PluginError::Io { path: folder.clone(), source })?;
        }
        Ok(Self { folder, open: Mutex::default() })
    }

    /// The store of this name. Reads its file.
    ///
    /// # Errors
    /// Where the file cannot be read, or is no store.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Store>, PluginError> {
        let mut open = self.open.lock();
        if let Some(store) = open.get(name).and_then(Weak::upgrade) {
            return Ok(store);
        }
        let path = self.folder.as_ref().map(|folder| folder.join(file_name(name)));
        let store = Store::open(path.clone())
            .map_err(|source| PluginError::Io { path: path.unwrap_or_default(), source })?;
        let store = Arc::new(store);
        open.retain(|_, store| store.strong_count() > 0);
        open.insert(name.to_owned(), Arc::downgrade(&store));
        Ok(store)
    }
}

/// A file's name for any name of an entry: what is not plain is written as hexadecimal, so that no name leaves the folder
/// and no two share a file.
fn file_name(name: &str) -> String {
    let mut file = String::with_capacity(name.len() + 3);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            file.push(char::from(byte));
        } else {
            file.push_str(&format!("%{byte:02x}"));
        }
    }
    // A file system takes 255 bytes; a longer name is told apart by its digest.
    if file.len() > 200 {
        file = crate::component::digest(name.as_bytes());
    }
    file + ".kv"
}

/// One store.
pub(crate) struct Store {
    path: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<String, Entry>,
    /// Bytes of all keys and values.
    held: u64,
    /// None before the first write, and in memory alone.
    file: Option<File>,
    file_bytes: u64,
}

struct Entry {
    value: Vec<u8>,
    /// Milliseconds since the epoch; 0 for never.
    expires_ms: i64,
}

impl Entry {
    fn is_there(&self, now_ms: i64) -> bool {
        self.expires_ms == 0 || self.expires_ms > now_ms
    }
}

impl Store {
    /// One that nothing outlives.
    pub(crate) fn in_memory() -> Self {
        Self { path: None, inner: Mutex::default() }
    }

    fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let mut inner = Inner::default();
        if let Some(path) = &path {
            match std::fs::read(path) {
                Ok(bytes) => {
                    let whole = inner.replay(&bytes)? as u64;
                    let file = OpenOptions::new().append(true).open(path)?;
                    // What was cut off is no record; new ones must not follow it.
                    file.set_len(whole)?;
                    // Without a whole header the file is begun again by the first write.
                    if whole > 0 {
                        (inner.file, inner.file_bytes) = (Some(file), whole);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { path, inner: Mutex::new(inner) })
    }

    /// The value, if it is there and has not run out.
    pub(crate) fn get(&self, key: &str, now_ms: i64) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        inner.entries.get(key).filter(|entry| entry.is_there(now_ms)).map(|entry| entry.value.clone())
    }

    /// The keys that begin so, sorted.
    pub(crate) fn keys(&self, prefix: &str, now_ms: i64) -> Vec<String> {
        let inner = self.inner.lock();
        let range = inner.entries.range(prefix.to_owned()..);
        range
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, entry)| entry.is_there(now_ms))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Stores a value; when this answers it is on disk. Blocks.
    ///
    /// # Errors
    /// [`KvError`], with nothing stored as far as this process sees.
    pub(crate) fn set(
        &self,
        key: &str,
        value: Vec<u8>,
        expires_ms: i64,
        limit: u64,
        now_ms: i64,
    ) -> Result<(), KvError> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(KvError::InvalidKey);
        }
        let inner = &mut *self.inner.lock();
        let new = size(key, &value);
        if inner.held_without(key) + new > limit {
            // What has run out makes room.
            inner.entries.retain(|_, entry| entry.is_there(now_ms));
            inner.held = inner.entries.iter().map(|(key, entry)| size(key, &entry.value)).sum();
        }
        if inner.held_without(key) + new > limit {
            return Err(KvError::Full(limit));
        }
        self.write(inner, &record(key, &value, expires_ms))?;
        inner.insert(key, Entry { value, expires_ms });
        self.tidy(inner)
    }

    /// Removes a value. Blocks.
    ///
    /// # Errors
    /// [`KvError::Io`].
    pub(crate) fn delete(&self, key: &str) -> Result<(), KvError> {
        let inner = &mut *self.inner.lock();
        if inner.entries.contains_key(key) {
            self.write(inner, &record(key, &[], REMOVED))?;
            inner.remove(key);
        }
        self.tidy(inner)
    }

    fn write(&self, inner: &mut Inner, record: &[u8]) -> Result<(), KvError> {
        let Some(path) = &self.path else { return Ok(()) };
        let io = |source| KvError::Io { path: path.clone(), source };
        if inner.file.is_none() {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(io)?;
            file.write_all(&header()).map_err(io)?;
            sync_folder(path).map_err(io)?;
            (inner.file, inner.file_bytes) = (Some(file), HEADER_BYTES as u64);
        }
        let Some(file) = &mut inner.file else { return Ok(()) };
        if let Err(error) = file.write_all(record).and_then(|()| file.sync_data()) {
            // Half a record would end the file for all that come after it.
            let _ = file.set_len(inner.file_bytes);
            return Err(io(error));
        }
        inner.file_bytes += record.len() as u64;
        Ok(())
    }

    /// Writes the file anew where most of it is out of date.
    fn tidy(&self, inner: &mut Inner) -> Result<(), KvError> {
        let Some(path) = &self.path else { return Ok(()) };
        let frames = (inner.entries.len() * (FRAME_BYTES + FIXED_BYTES)) as u64;
        if inner.file_bytes < REWRITE_BYTES_MIN || inner.file_bytes < 2 * (inner.held + frames) {
            return Ok(());
        }
        let io = |source| KvError::Io { path: path.clone(), source };
        let mut bytes = header().to_vec();
        for (key, entry) in &inner.entries {
            bytes.extend(record(key, &entry.value, entry.expires_ms));
        }
        let unfinished = path.with_extension("unfinished");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(io)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&unfinished, path).and_then(|()| sync_folder(path)).map_err(io)?;
        inner.file = Some(OpenOptions::new().append(true).open(path).map_err(io)?);
        inner.file_bytes = bytes.len() as u64;
        Ok(())
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let (magic, version) = header.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    version.copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header
}

fn record(key: &str, value: &[u8], expires_ms: i64) -> Vec<u8> {
    let mut body = Vec::with_capacity(FRAME_BYTES + FIXED_BYTES + key.len() + value.len());
    body.extend([0; FRAME_BYTES]);
    body.extend(expires_ms.to_le_bytes());
    // Keys are at most `KEY_BYTES_MAX` long.
    body.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend(key.as_bytes());
    body.extend(value);
    let (frame, rest) = body.split_at_mut(FRAME_BYTES);
    let (length, checksum) = frame.split_at_mut(4);
    // Values are bounded by what crosses the boundary at once, well below 4 GiB.
    length.copy_from_slice(&u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes());
    checksum.copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
    body
}

impl Inner {
    /// Takes over the records of a file; says how many of its bytes are whole.
    fn replay(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let Some((head, mut rest)) = bytes.split_at_checked(HEADER_BYTES) else {
            // The machine stopped before the first record: there is nothing to lose.
            return if header().starts_with(bytes) { Ok(0) } else { Err(invalid("not a plugin's store")) };
        };
        let (magic, version) = head.split_at(MAGIC.len());
        let version = version.try_into().map(u32::from_le_bytes).unwrap_or(0);
        if magic != MAGIC {
            return Err(invalid("not a plugin's store"));
        }
        if !(OLDEST_READABLE..=FORMAT_VERSION).contains(&version) {
            return Err(invalid("a plugin's store of a version that this server does not read"));
        }
        while let Some((key, value, expires_ms, after)) = read_record(rest) {
            match expires_ms {
                REMOVED => self.remove(key),
                _ => self.insert(key, Entry { value: value.to_vec(), expires_ms }),
            }
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    fn insert(&mut self, key: &str, entry: Entry) {
        self.held = self.held_without(key) + size(key, &entry.value);
        self.entries.insert(key.to_owned(), entry);
    }

    fn remove(&mut self, key: &str) {
        self.held = self.held_without(key);
        self.entries.remove(key);
    }

    fn held_without(&self, key: &str) -> u64 {
        self.held - self.entries.get(key).map_or(0, |entry| size(key, &entry.value))
    }
}

/// The record at the beginning, and what follows it; none where it is not whole.
fn read_record(bytes: &[u8]) -> Option<(&str, &[u8], i64, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, after) = rest.split_at_checked(length)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (expires_ms, body) = body.split_first_chunk::<8>()?;
    let (key_length, body) = body.split_first_chunk::<2>()?;
    let (key, value) = body.split_at_checked(usize::from(u16::from_le_bytes(*key_length)))?;
    Some((std::str::from_utf8(key).ok()?, value, i64::from_le_bytes(*expires_ms), after))
}

#[cfg(test)]
mod tests;
