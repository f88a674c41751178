//! What every file of storage begins with: what it is, and in which version of its format.
//!
//! ```text
//! ┌─────────┬───────────┬────────────────┐
//! │ magic 8 │ version 4 │ CRC32 of those │  little-endian
//! └─────────┴───────────┴────────────────┘
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;

use crate::codec::Reader;
use crate::error::{Error, Result};

/// How long the header is.
pub(crate) const HEADER_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

/// A kind of file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileKind {
    pub(crate) magic: &'static [u8; 8],
    /// The version that is written.
    pub(crate) version: u32,
    /// The oldest version that is read.
    pub(crate) oldest: u32,
}

impl FileKind {
    /// The header as it is written.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(self.magic);
        header.extend_from_slice(&self.version.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        header
    }

    /// The version of the file `path`; `None` where its bytes do not begin with such a header.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`].
    pub(crate) fn version_of(&self, path: &Path, bytes: &[u8]) -> Result<Option<u32>> {
        match self.read(bytes) {
            Some(version) if !(self.oldest..=self.version).contains(&version) => {
                Err(Error::UnsupportedVersion {
                    path: path.to_owned(),
                    version,
                    oldest: self.oldest,
                    newest: self.version,
                })
            }
            version => Ok(version),
        }
    }

    fn read(&self, bytes: &[u8]) -> Option<u32> {
        let header = bytes.get(..HEADER_BYTES)?;
        let mut reader = Reader::new(header);
        let magic = reader.take(self.magic.len()).ok()?;
        let (version, crc) = (reader.u32().ok()?, reader.u32().ok()?);
        let covered = header.get(..HEADER_BYTES - CRC_BYTES)?;
        (magic == self.magic && crc32fast::hash(covered) == crc).then_some(version)
    }
}
