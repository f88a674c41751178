//! Runs of starts against a plain column.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it is surprised")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_column() -> impl Strategy<Value = Vec<i64>> {
    vec((1usize..5, prop_oneof![2 => Just(0), 2 => Just(7), 3 => any::<i64>()]), 1..12).prop_map(|runs| {
        runs.into_iter().flat_map(|(count, start)| std::iter::repeat_n(start, count)).collect()
    })
}

fn column(starts: &Starts, count: usize) -> Vec<i64> {
    let mut out = Vec::new();
    starts.expand(count, &mut out);
    if out.is_empty() { vec![UNKNOWN_START; count] } else { out }
}

fn encoded(starts: &Starts) -> Vec<u8> {
    let mut out = Vec::new();
    if !starts.is_unknown() {
        starts.encode(&mut out);
    }
    out
}

proptest! {
    #[test]
    fn starts_say_what_the_column_says(all in any_column(), keep in vec(any::<bool>(), 60)) {
        let starts = Starts::of_column(&all);
        prop_assert_eq!(column(&starts, all.len()), &all[..]);
        for (position, start) in all.iter().enumerate() {
            prop_assert_eq!(starts.get(position), *start);
        }
        let bytes = encoded(&starts);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(&Starts::decode_rest(&mut reader, all.len()).unwrap(), &starts);
        prop_assert!(reader.is_empty());
        let keep = &keep[..all.len().min(keep.len())];
        let all = &all[..keep.len()];
        let kept: Vec<i64> = all.iter().zip(keep).filter(|(_, keep)| **keep).map(|(start, _)| *start).collect();
        prop_assert_eq!(Starts::of_column(all).kept(keep), Starts::of_column(&kept));
    }

    #[test]
    fn what_is_appended_follows(parts in vec(any_column(), 1..4)) {
        let (mut joined, mut count) = (Starts::default(), 0);
        for part in &parts {
            joined.append(count, &Starts::of_column(part));
            count += part.len();
        }
        prop_assert_eq!(joined, Starts::of_column(&parts.concat()));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..40), count in 0usize..300) {
        if let Ok(starts) = Starts::decode_rest(&mut Reader::new(&bytes), count) {
            prop_assert!(starts.is_unknown() || column(&starts, count).len() == count);
        }
    }
}

#[test]
fn one_start_of_all_takes_the_same_few_bytes_however_many_there_are() {
    let start = 1_700_000_000_000;
    assert_eq!(encoded(&Starts::of_column(&[start; 3])), encoded(&Starts::of_column(&[start; 3000])));
    assert_eq!(encoded(&Starts::of_column(&[start; 3])).len(), 8);
    assert_eq!(encoded(&Starts::of_column(&[0; 3])).len(), 0);
    assert_eq!(size_of::<Starts>(), 16, "a series of the head has one where its page has any");
}
