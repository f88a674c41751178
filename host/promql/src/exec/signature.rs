//! Label sets told apart by a hash, without keeping them.
//!
//! A hash has 128 bits and is seeded anew in every query, so that two label sets with the same one will not be met: of a
//! million series once in 10^26 queries, and not by intention either.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ahash::RandomState;

use super::parallel::{self, Held};
use super::{Context, Series, Size};
use crate::error::QueryError;

/// Hashes label sets, or parts of them, by their encoded spans.
pub(crate) struct Signatures([RandomState; 2]);

/// What is known by such a hash.
pub(crate) type BySignature<T> = HashMap<u128, T, BuildHasherDefault<Folded>>;

/// What a place in such a table takes, half of which is empty at worst, beside the value.
pub(crate) const PLACE_BYTES: usize = 32;

impl Signatures {
    pub(crate) fn new() -> Self {
        Self([RandomState::new(), RandomState::new()])
    }

    pub(crate) fn of(&self, span: &[u8]) -> u128 {
        let [high, low] = self.0.each_ref().map(|hasher| u128::from(hasher.hash_one(span)));
        high << 64 | low
    }
}

/// A hash on its way to who takes it.
struct Signature(u128);

impl Held for Signature {
    fn size(&self) -> Size {
        Size::default()
    }
}

/// Hands over the signatures of series by the labels whose names `keep` says yes to, one list after the other. Several
/// threads compute them.
pub(crate) fn of_all(
    lists: &[&[Series]],
    keep: &(dyn Fn(&[u8]) -> bool + Sync),
    signatures: &Signatures,
    cx: &Context<'_>,
    take: &mut dyn FnMut(u128) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let count = lists.iter().map(|list| list.len()).sum();
    let of_place = |mut place: usize, span: &mut Vec<u8>| {
        let list = lists.iter().find(|list| {
            let within = place < list.len();
            place -= if within { 0 } else { list.len() };
            within
        });
        Ok(list.and_then(|list| list.get(place)).map(|series| {
            span.clear();
            series.labels.project(keep, span);
            Signature(signatures.of(span))
        }))
    };
    parallel::over(count, 1, cx, &of_place, &mut |Signature(signature)| take(signature))
}

/// A hash is hashed by taking half of it.
#[derive(Default)]
pub(crate) struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 ^= hash as u64;
    }
}
