//! What a detector has learnt, and of which series: the host keeps it, and shows the detector its series in the order in
//! which it has learnt them.
//!
//! ```text
//! count u32 | SHA-256 of each series' labels, the first 8 bytes | the detector's own bytes
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::collections::HashMap;

use model::Labels;
use sha2::{Digest, Sha256};

/// Bytes that name a series.
const KEY_BYTES: usize = 8;

type Key = [u8; KEY_BYTES];

/// What a detector has learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    series: Vec<Key>,
    /// The detector's own.
    pub(crate) bytes: Vec<u8>,
}

fn key(labels: &Labels) -> Key {
    let digest = Sha256::digest(labels.as_encoded());
    digest.first_chunk().copied().unwrap_or_default()
}

impl Model {
    pub(crate) fn new(series: &[Labels], bytes: Vec<u8>) -> Self {
        Self { series: series.iter().map(key).collect(), bytes }
    }

    /// As it is kept.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Series are bounded by what crosses to a guest, far below 2^32.
        let count = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        let mut encoded = count.to_le_bytes().to_vec();
        encoded.extend(self.series.iter().flatten());
        encoded.extend(&self.bytes);
        encoded
    }

    /// As it was kept; none where that is no model.
    pub(crate) fn decode(encoded: &[u8]) -> Option<Self> {
        let (count, rest) = encoded.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (keys, bytes) = rest.split_at_checked(count.checked_mul(KEY_BYTES)?)?;
        let series = keys.chunks_exact(KEY_BYTES).filter_map(|key| key.try_into().ok()).collect();
        Some(Self { series, bytes: bytes.to_vec() })
    }

    /// Which of these series stands in each row of a job: first those that were learnt, in their order, none where one is
    /// gone; then those that are new.
    pub(crate) fn order(&self, series: &[Labels]) -> Vec<Option<usize>> {
        let mut left: HashMap<Key, usize> =
            series.iter().enumerate().map(|(at, labels)| (key(labels), at)).collect();
        let mut order: Vec<Option<usize>> = self.series.iter().map(|key| left.remove(key)).collect();
        let mut new: Vec<usize> = left.into_values().collect();
        new.sort_unstable();
        order.extend(new.into_iter().map(Some));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(names: &[&str]) -> Vec<Labels> {
        names.iter().map(|name| Labels::from_pairs([("__name__", *name)])).collect()
    }

    #[test]
    fn rows_keep_the_order_that_was_learnt() {
        let model = Model::new(&series(&["b", "a", "c"]), vec![1, 2]);
        assert_eq!(model.order(&series(&["a", "b", "d"])), [Some(1), Some(0), None, Some(2)]);
        assert_eq!(Model::decode(&model.encode()), Some(model));
    }

    #[test]
    fn what_is_no_model_is_none() {
        for bytes in [&[][..], &[1, 0, 0], &[1, 0, 0, 0, 5], &[255; 40]] {
            assert_eq!(Model::decode(bytes), None);
        }
        assert_eq!(Model::decode(&[0; 4]), Some(Model { series: vec![], bytes: vec![] }));
    }
}
