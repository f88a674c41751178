//! Log records round-trip, and no bytes make the reader panic.

use std::path::Path;

use model::{Exemplar, Labels, Metadata, MetricKind, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::record::{self, SampleColumns, Section};
use super::replay::replay;
use super::{KIND, put_frame, segment_path};
use crate::codec::histogram::bits_equal;
use crate::codec::tests::{any_float, any_histogram};
use crate::fs::sim::SimFileSystem;

fn labels(text: &str) -> Labels {
    Labels::from_pairs([("name", text)])
}

proptest! {
    #[test]
    fn sections_round_trip(
        items in vec((any::<u32>(), any::<i64>(), any_float(), any_histogram(), "[a-z]{0,9}", 0i64..3), 1..20)
    ) {
        let ids: Vec<u32> = items.iter().map(|item| item.0).collect();
        let times: Vec<i64> = items.iter().map(|item| item.1).collect();
        let floats: Vec<f64> = items.iter().map(|item| item.2).collect();
        let histograms: Vec<_> = items.iter().map(|item| item.3.clone()).collect();
        let sets: Vec<Labels> = items.iter().map(|item| labels(&item.4)).collect();
        let exemplars: Vec<Exemplar> = items
            .iter()
            .map(|item| Exemplar { labels: labels(&item.4), value: item.2, timestamp: Timestamp::from_millis(item.1) })
            .collect();
        let families: Vec<(String, Metadata)> = items
            .iter()
            .map(|item| (item.4.clone(), Metadata {
                kind: MetricKind::StateSet, help: item.4.repeat(2), unit: item.4.clone()
            }))
            .collect();
        let mut bytes = Vec::new();
        record::put_series(&mut bytes, ids.iter().copied().zip(&sets).collect::<Vec<_>>().into_iter());
        let starts: Vec<i64> = items.iter().map(|item| item.5).collect();
        let floats_of = SampleColumns { ids: &ids, times: &times, values: &floats, starts: &starts };
        record::put_floats(&mut bytes, &floats_of);
        let histograms_of = SampleColumns { ids: &ids, times: &times, values: &histograms, starts: &[] };
        record::put_histograms(&mut bytes, &histograms_of);
        record::put_exemplars(&mut bytes, &ids, &exemplars.iter().collect::<Vec<_>>());
        record::put_metadata(&mut bytes, families.iter().map(|(family, metadata)| (family.as_str(), metadata)));

        let read = record::decode(&bytes).unwrap();
        let [
            Section::Series(read_series),
            Section::Floats(read_floats),
            Section::Histograms(read_histograms),
            Section::Exemplars(read_exemplars),
            Section::Metadata(read_families),
        ] = &read[..] else { panic!("{read:?}") };
        prop_assert_eq!(read_series, &ids.iter().copied().zip(sets).collect::<Vec<_>>());
        prop_assert_eq!((&read_floats.ids, &read_floats.times), (&ids, &times));
        prop_assert_eq!((&read_histograms.ids, &read_histograms.times), (&ids, &times));
        let any_start = starts.iter().any(|start| *start != 0);
        prop_assert_eq!(&read_floats.starts, if any_start { &starts } else { &read_histograms.starts });
        prop_assert!(read_histograms.starts.is_empty());
        let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&read_floats.values), bits(&floats));
        prop_assert!(read_histograms.values.iter().zip(&histograms).all(|(a, b)| bits_equal(a, b)));
        for ((id, read), (expected_id, expected)) in read_exemplars.iter().zip(ids.iter().zip(&exemplars)) {
            prop_assert_eq!((id, &read.labels, read.timestamp), (expected_id, &expected.labels, expected.timestamp));
            prop_assert_eq!(read.value.to_bits(), expected.value.to_bits());
        }
        prop_assert_eq!(read_families, &families);
    }

    #[test]
    fn arbitrary_records_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(sections) = record::decode(&bytes) {
            prop_assert!(sections.len() <= bytes.len());
        }
    }

    #[test]
    fn a_log_of_arbitrary_bytes_between_good_frames_gives_the_good_frames(
        noise in vec(vec(any::<u8>(), 0..40), 1..5), last in any::<bool>()
    ) {
        let fs = SimFileSystem::default();
        let mut bytes = KIND.header();
        let good = noise.len();
        for (number, noise) in noise.iter().enumerate() {
            let mut payload = Vec::new();
            let ids = [number as u32];
            record::put_floats(&mut payload, &SampleColumns { ids: &ids, times: &[1], values: &[1.0], starts: &[] });
            put_frame(&mut bytes, &[&payload]).unwrap();
            bytes.extend_from_slice(noise);
        }
        let dir = Path::new("/wal");
        fs.set_bytes(&segment_path(dir, 1), &bytes);
        if !last {
            fs.set_bytes(&segment_path(dir, 2), &KIND.header());
        }
        let mut ids = Vec::new();
        let replayed = replay(&fs, dir, |section| {
            if let Section::Floats(read) = section {
                ids.extend(read.ids);
            }
        }).unwrap();
        prop_assert_eq!(ids, (0..good as u32).collect::<Vec<_>>());
        let corrupt = noise.iter().take(if last { good - 1 } else { good }).filter(|noise| !noise.is_empty()).count();
        prop_assert_eq!(replayed.corruptions.len(), corrupt);
        let torn = if last && corrupt == 0 { noise[good - 1].len() } else { 0 };
        prop_assert_eq!(replayed.torn_bytes, torn as u64);
    }
}
