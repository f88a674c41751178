//! What a server's files are for.

use std::path::Path;
use std::{fs, io};

use crate::Product;

/// Bytes of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    /// Samples that are in their last form; for Stormglass with the index that is in the same files.
    pub data_bytes: u64,
    /// What finds them, where it is in files of its own.
    pub index_bytes: u64,
    /// What was written first and is still to be turned into data.
    pub log_bytes: u64,
    /// Anything else.
    pub other_bytes: u64,
}

impl Disk {
    /// Counts the files in a product's data folder.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn of(product: Product, data: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        let mut pending = vec![data.to_owned()];
        while let Some(path) = pending.pop() {
            // A file may go while this looks: it is not there any more, then.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                for entry in fs::read_dir(&path)? {
                    pending.push(entry?.path());
                }
            } else {
                *disk.part(product, path.strip_prefix(data).unwrap_or(&path)) += metadata.len();
            }
        }
        Ok(disk)
    }

    /// What a file counts as.
    fn part(&mut self, product: Product, path: &Path) -> &mut u64 {
        let within = |part: &str| path.components().any(|component| component.as_os_str() == part);
        match product {
            Product::Stormglass if within("wal") => &mut self.log_bytes,
            Product::Stormglass if within("traces") || within("plugin-cache") => &mut self.other_bytes,
            Product::Prometheus if within("wal") || within("chunks_head") => &mut self.log_bytes,
            Product::Prometheus if within("index") => &mut self.index_bytes,
            Product::VictoriaMetrics if within("indexdb") => &mut self.index_bytes,
            Product::VictoriaMetrics if within("cache") => &mut self.other_bytes,
            _ => &mut self.data_bytes,
        }
    }

    /// All of it.
    pub const fn total_bytes(&self) -> u64 {
        self.data_bytes + self.index_bytes + self.log_bytes + self.other_bytes
    }
}
