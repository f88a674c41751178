//! A view answers as the bitmap would whose bytes it reads, and survives any others.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it is surprised")]

use proptest::collection::vec;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::RoaringView;

/// Arrays, bitmaps and runs, in few and in many containers.
pub(crate) fn any_bitmap() -> impl Strategy<Value = RoaringBitmap> {
    let part = (0u32..8, 0u32..0xffff, 1u32..20_000, 1u32..5).prop_map(|(page, first, count, step)| {
        let from = page << 16 | first;
        (from..from.saturating_add(count)).step_by(step as usize)
    });
    let sparse = vec(0u32..9 << 16, 0..200);
    (vec(part, 0..6), sparse, any::<bool>()).prop_map(|(parts, sparse, optimize)| {
        let mut ids: RoaringBitmap = parts.into_iter().flatten().chain(sparse).collect();
        if optimize {
            ids.optimize();
        }
        ids
    })
}

fn bytes_of(ids: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::new();
    ids.serialize_into(&mut bytes).unwrap();
    bytes
}

/// Everything that can be asked of a view. What comes of it does not matter where the bytes are not a bitmap's.
fn ask_everything(bytes: &[u8], ids: &RoaringBitmap) -> Result<(), crate::codec::Malformed> {
    let view = RoaringView::open(bytes)?;
    ids.iter().take(100).try_for_each(|id| view.contains(id).map(|_| ()))?;
    view.meets(ids)?;
    view.intersection(ids)?;
    view.to_bitmap().map(|_| ())
}

proptest! {
    #[test]
    fn a_view_answers_as_its_bitmap_would(own in any_bitmap(), other in any_bitmap(), few in vec(0u32..9 << 16, 0..20)) {
        let bytes = bytes_of(&own);
        let view = RoaringView::open(&bytes).unwrap();
        prop_assert_eq!(&view.to_bitmap().unwrap(), &own);
        let few: RoaringBitmap = few.into_iter().chain(own.iter().step_by(997)).collect();
        for ids in [&other, &few, &own] {
            prop_assert_eq!(view.intersection(ids).unwrap(), &own & ids);
            prop_assert_eq!(view.meets(ids).unwrap(), !own.is_disjoint(ids));
        }
        for id in few.iter().chain(other.iter().step_by(501)) {
            prop_assert_eq!(view.contains(id).unwrap(), own.contains(id));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..64), ids in any_bitmap()) {
        let _ = ask_everything(&bytes, &ids);
        let mut cookie = vec![0x3b, 0x30];
        cookie.extend_from_slice(&bytes);
        let _ = ask_everything(&cookie, &ids);
    }

    #[test]
    fn damaged_bitmaps_are_survived(own in any_bitmap(), at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>()) {
        let mut bytes = bytes_of(&own);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = ask_everything(&bytes, &own);
        bytes.truncate(cut.index(bytes.len()));
        let _ = ask_everything(&bytes, &own);
    }
}
