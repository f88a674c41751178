//! Which chunks of a mapping have been found to have the checksum that they should.
//!
//! A chunk is checked when it is read first, not every time: from then on its pages are what the kernel read from
//! disk once, and a scan of blocks that are in memory anyway need not pass over every byte twice. Pages that were
//! given up and are read again are trusted to be what they were: who doubts the disk runs `stormglass tsdb verify`,
//! which maps the block anew.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// One bit for so many bytes: no chunk is shorter than its checksum, so that no two share a bit.
const BYTES_PER_BIT: usize = 4;

/// Bits are made in pages as chunks are read: 64 KiB of chunks, 2 KiB of bits.
const WORDS_PER_PAGE: usize = 256;

type Page = Box<[AtomicU64; WORDS_PER_PAGE]>;

/// A bit for each place where a chunk may begin; none is set at first.
#[derive(Debug)]
pub(super) struct Verified {
    pages: Box<[OnceLock<Page>]>,
}

impl Verified {
    /// For a section of that length.
    pub(super) fn new(section_bytes: usize) -> Self {
        let pages = section_bytes.div_ceil(BYTES_PER_BIT * 64 * WORDS_PER_PAGE);
        Self { pages: (0..pages).map(|_| OnceLock::new()).collect() }
    }

    fn bit(&self, offset: usize) -> Option<(&AtomicU64, u64)> {
        let (word, bit) = (offset / BYTES_PER_BIT / 64, offset / BYTES_PER_BIT % 64);
        let page = self.pages.get(word / WORDS_PER_PAGE)?;
        let page = page.get_or_init(|| Box::new([const { AtomicU64::new(0) }; WORDS_PER_PAGE]));
        Some((page.get(word % WORDS_PER_PAGE)?, 1 << bit))
    }

    /// Whether the chunk at that offset has been checked.
    pub(super) fn contains(&self, offset: usize) -> bool {
        self.bit(offset).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Notes that it has been, and found to be whole.
    pub(super) fn insert(&self, offset: usize) {
        if let Some((word, bit)) = self.bit(offset) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}
