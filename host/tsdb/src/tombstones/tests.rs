//! Intervals against a plain set of times, and files that do not hold what was written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics fails, as it should")]

use std::collections::BTreeSet;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::fs::sim::SimFileSystem;

const PATH: &str = "/00000001.tombstones";

fn intervals(all: &[(i64, i64)]) -> Intervals {
    let mut intervals = Intervals::default();
    all.iter().for_each(|(first, last)| intervals.add(*first, *last));
    intervals
}

fn tombstones(all: &[(u32, i64, i64)]) -> Tombstones {
    let mut tombstones = Tombstones::default();
    all.iter().for_each(|(series, first, last)| tombstones.add(*series, *first, *last));
    tombstones
}

#[test]
fn intervals_that_overlap_or_touch_become_one() {
    let check = |added: &[(i64, i64)], expected: &[(i64, i64)]| {
        assert_eq!(intervals(added).0, expected, "{added:?}");
    };
    check(&[], &[]);
    check(&[(5, 3)], &[]);
    check(&[(1, 2), (3, 4)], &[(1, 4)]);
    check(&[(3, 4), (1, 2)], &[(1, 4)]);
    check(&[(1, 2), (4, 5)], &[(1, 2), (4, 5)]);
    check(&[(1, 2), (4, 5), (3, 3)], &[(1, 5)]);
    check(&[(1, 9), (4, 5)], &[(1, 9)]);
    check(&[(4, 5), (7, 8), (1, 9)], &[(1, 9)]);
    check(&[(i64::MIN, 0), (0, i64::MAX)], &[(i64::MIN, i64::MAX)]);
}

proptest! {
    #[test]
    fn intervals_hold_what_was_added(
        added in vec((0i64..60, 0i64..60), 0..8),
        times in proptest::collection::btree_set(0i64..60, 0..30),
    ) {
        let deleted: BTreeSet<i64> = added.iter().flat_map(|(first, last)| *first..=*last).collect();
        let intervals = intervals(&added);
        for time in 0..60 {
            prop_assert_eq!(intervals.contains(time), deleted.contains(&time));
            for last in time..60 {
                prop_assert_eq!(intervals.covers(time, last), (time..=last).all(|t| deleted.contains(&t)));
                prop_assert_eq!(intervals.overlaps(time, last), (time..=last).any(|t| deleted.contains(&t)));
            }
        }
        let times: Vec<i64> = times.into_iter().collect();
        let kept: Vec<i64> = intervals.kept(&times).into_iter().flat_map(|range| times[range].to_vec()).collect();
        let expected: Vec<i64> = times.iter().copied().filter(|time| !deleted.contains(time)).collect();
        prop_assert_eq!(kept, expected);
    }

    #[test]
    fn tombstones_round_trip(all in vec((any::<u32>(), any::<i64>(), any::<i64>()), 0..40)) {
        let fs = SimFileSystem::default();
        let written = tombstones(&all);
        written.write(&fs, Path::new(PATH)).unwrap();
        prop_assert_eq!(Tombstones::read(&fs, Path::new(PATH)).unwrap(), written);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        let fs = SimFileSystem::default();
        fs.set_bytes(Path::new(PATH), &bytes);
        let _ = Tombstones::read(&fs, Path::new(PATH));
        if let Ok(tombstones) = Tombstones::decode(&mut Reader::new(&bytes)) {
            let mut again = Vec::new();
            tombstones.encode(&mut again);
            prop_assert_eq!(Tombstones::decode(&mut Reader::new(&again)).unwrap(), tombstones);
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let fs = SimFileSystem::default();
    tombstones(&[(1, 5, 9), (7, -3, 4), (7, 100, 200)]).write(&fs, Path::new(PATH)).unwrap();
    let whole = fs.bytes(Path::new(PATH));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs.set_bytes(Path::new(PATH), &damaged);
        assert!(Tombstones::read(&fs, Path::new(PATH)).is_err(), "damage at byte {at} went unnoticed");
    }
}

#[test]
fn the_fixture_of_version_1_is_read() {
    let fs = SimFileSystem::default();
    fs.set_bytes(Path::new(PATH), include_bytes!("../../fixtures/v1.tombstones"));
    let expected = tombstones(&[(0, 1_000, 2_000), (3, -5, 5), (3, 1_700_000_000_000, i64::MAX)]);
    assert_eq!(Tombstones::read(&fs, Path::new(PATH)).unwrap(), expected);
}
