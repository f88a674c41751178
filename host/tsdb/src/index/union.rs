//! Collecting the ids of many postings into one set.
//!
//! A matcher that a hundred thousand values pass unites as many postings, most of them a single id, in no order.
//! Setting bits in pages costs a nanosecond or two for each; inserting into a roaring bitmap costs ten times that.

use roaring::RoaringBitmap;

/// Up to this many ids are kept as they come: the pages of a small set would cost more to clear than it does to sort.
const FEW_MAX: usize = 4096;
/// Ids of one page, which is also what one container of a roaring bitmap covers.
const PAGE_IDS: usize = 1 << 16;
const PAGE_BYTES: usize = PAGE_IDS / 8;
const PAGE_WORDS: usize = PAGE_BYTES / 8;

type Page = Box<[u64; PAGE_WORDS]>;

/// A set that only grows.
#[derive(Debug, Default)]
pub(crate) struct Union {
    few: Vec<u32>,
    /// By the high half of the id; empty while there are few.
    pages: Vec<Option<Page>>,
    /// What came as large bitmaps, which unite page by page by themselves.
    whole: RoaringBitmap,
}

impl Union {
    pub(crate) fn add(&mut self, id: u32) {
        if self.pages.is_empty() {
            self.few.push(id);
            if self.few.len() > FEW_MAX {
                for id in std::mem::take(&mut self.few) {
                    self.set(id);
                }
            }
        } else {
            self.set(id);
        }
    }

    fn set(&mut self, id: u32) {
        let low = (id & 0xffff) as usize;
        if let Some(word) = self.page((id >> 16) as u16).get_mut(low / 64) {
            *word |= 1 << (low % 64);
        }
    }

    /// Adds those of 64 neighbouring ids whose bits are set; `first` is a multiple of 64.
    pub(crate) fn add_word(&mut self, first: u32, bits: u64) {
        let low = (first & 0xffff) as usize;
        if bits != 0
            && let Some(word) = self.page((first >> 16) as u16).get_mut(low / 64)
        {
            *word |= bits;
        }
    }

    fn page(&mut self, key: u16) -> &mut [u64; PAGE_WORDS] {
        let key = usize::from(key);
        if self.pages.len() <= key {
            self.pages.resize_with(key + 1, || None);
        }
        self.pages[key].get_or_insert_with(|| Box::new([0; PAGE_WORDS]))
    }

    /// Adds the ids of a page, whose bits lie as in a bitmap container of the portable format.
    pub(crate) fn add_page(&mut self, key: u16, bits: &[u8]) {
        let (words, _) = bits.as_chunks::<8>();
        for (word, bytes) in self.page(key).iter_mut().zip(words) {
            *word |= u64::from_le_bytes(*bytes);
        }
    }

    /// Adds the ids from `first` to `last` of a page.
    pub(crate) fn add_run(&mut self, key: u16, first: u16, last: u16) {
        if self.pages.is_empty() && usize::from(last.saturating_sub(first)) < FEW_MAX - self.few.len() {
            let base = u32::from(key) << 16;
            self.few.extend((first..=last).map(|low| base | u32::from(low)));
            return;
        }
        let page = self.page(key);
        let (first, last) = (usize::from(first), usize::from(last));
        let words = page.iter_mut().enumerate().take(last / 64 + 1).skip(first / 64);
        for (at, word) in words {
            let from = first.saturating_sub(at * 64);
            let to = (last - at * 64).min(63);
            if from <= to {
                *word |= (u64::MAX >> (63 - (to - from))) << from;
            }
        }
    }

    pub(crate) fn add_bitmap(&mut self, ids: &RoaringBitmap) {
        if ids.len() as usize > FEW_MAX {
            self.whole |= ids;
        } else if self.pages.is_empty() && ids.len() as usize + self.few.len() <= FEW_MAX {
            self.few.extend(ids);
        } else {
            ids.iter().for_each(|id| self.set(id));
        }
    }

    /// The set.
    pub(crate) fn into_bitmap(self) -> RoaringBitmap {
        let mut all = self.whole;
        for (key, page) in (0u32..).zip(self.pages) {
            let Some(page) = page else { continue };
            let mut bytes = [0; PAGE_BYTES];
            let (words, _) = bytes.as_chunks_mut::<8>();
            words.iter_mut().zip(page.iter()).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
            all |= RoaringBitmap::from_lsb0_bytes(key << 16, &bytes);
        }
        if !self.few.is_empty() {
            let mut few = self.few;
            few.sort_unstable();
            few.dedup();
            all |= few.into_iter().collect::<RoaringBitmap>();
        }
        all
    }
}
