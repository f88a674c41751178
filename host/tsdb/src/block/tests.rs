//! A block answers as a scan of its series would, and refuses what is no block.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use std::path::Path;

use model::Labels;
use model::staleness::STALE_NAN;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::writer::DENSE_RANGE_MS;
use super::{Block, BlockSeries, BlockWriter};
use crate::chunk::{Chunk, Run, RunValues};
use crate::error::Error;
use crate::fs::sim::SimFileSystem;
use crate::index::tests::{any_labels, any_matcher, check_index};
use crate::starts::Starts;

const PATH: &str = "/blocks/00000001.block";

fn write(fs: &SimFileSystem, series: &[Labels]) -> Block {
    let chunk = Chunk::from_floats(&[1, 2, 3], &[1.0, 2.0, 3.0]).unwrap();
    let runs = Run::join(std::iter::once((chunk.meta, &*chunk.data)), 1024).unwrap();
    let mut writer = BlockWriter::create(fs, Path::new(PATH), 0, 1000).unwrap();
    for labels in series {
        writer.add(&BlockSeries { labels, runs: &runs, exemplars: &[] }).unwrap();
    }
    let path = writer.finish(&[]).unwrap();
    Block::open(fs, &path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_index_on_disk_answers_as_a_scan_would(
        series in btree_set(any_labels(), 1..40), matchers in vec(any_matcher(), 0..4)
    ) {
        let series: Vec<Labels> = series.into_iter().collect();
        let block = write(&SimFileSystem::default(), &series);
        let all: Vec<_> = series.iter().cloned().map(Some).collect();
        check_index(&block.index(), &matchers, &all)?;
        let mut one_after_the_other = block.series();
        for (number, labels) in (0u32..).zip(&series) {
            for reader in [&mut one_after_the_other, &mut block.series()] {
                prop_assert_eq!(&reader.labels(number).unwrap(), labels);
                prop_assert_eq!(reader.chunks(number, 0, 10).unwrap().len(), 1);
            }
        }
        for (number, labels) in (0..series.len() as u32).zip(&series).rev() {
            prop_assert_eq!(&one_after_the_other.labels(number).unwrap(), labels);
            prop_assert_eq!(one_after_the_other.chunks(number, 4, 10).unwrap().len(), 0);
        }
    }

    /// Chunks come back whatever stands beside them in their group, and whatever order they are asked for in.
    #[test]
    fn chunks_come_back_in_any_order(
        series in vec(vec((0..4i64, 1..5i64, 0..4u8), 0..4), 1..40), asked in vec(any::<u32>(), 0..80)
    ) {
        let fs = SimFileSystem::default();
        let mut writer = BlockWriter::create(&fs, Path::new(PATH), 0, 1 << 20).unwrap();
        let all: Vec<Vec<Run>> = series.iter().map(|chunks| {
            (0i64..).zip(chunks).map(|(at, (first, count, form))| Run {
                times: (0..*count).map(|step| at * 1_000 + first + step * 10).collect(),
                values: RunValues::Floats((0..*count).map(|step| match form {
                    0 => 7.0,
                    1 => (step * step) as f64,
                    // The series ends.
                    3 if step + 1 == *count => STALE_NAN,
                    3 => 12.5,
                    _ => 0.1 * step as f64 + 1e-9 * *first as f64,
                }).collect()),
                starts: if *form == 2 { Starts::Same(at + 1) } else { Starts::Unknown },
            }).collect()
        }).collect();
        for (number, runs) in all.iter().enumerate() {
            let labels = Labels::from_pairs([("n", format!("{number:03}"))]);
            writer.add(&BlockSeries { labels: &labels, runs, exemplars: &[] }).unwrap();
        }
        writer.finish(&[]).unwrap();
        let block = Block::open(&fs, Path::new(PATH)).unwrap();
        let mut reader = block.series();
        let count = all.len() as u32;
        for number in (0..count).chain(asked.iter().map(|asked| asked % count)) {
            let chunks = reader.chunks(number, i64::MIN, i64::MAX).unwrap();
            let runs = &all[number as usize];
            prop_assert_eq!(chunks.len(), runs.len());
            for (chunk, run) in chunks.iter().zip(runs) {
                let (mut times, mut floats) = (Vec::new(), Vec::new());
                block.decode_floats(chunk, &mut times, &mut floats).unwrap();
                let RunValues::Floats(expected) = &run.values else { panic!("floats were written") };
                prop_assert_eq!(&times, &run.times);
                let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&floats), bits(expected));
                if let Some(summary) = block.summary(chunk).unwrap() {
                    let millis = times.iter().map(|time| model::Timestamp::from_millis(*time));
                    let own = model::Summary::of(&millis.collect::<Vec<_>>(), expected);
                    prop_assert_eq!(Some(summary), own);
                }
                prop_assert_eq!(block.starts(chunk).unwrap(), run.starts.clone());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_block(bytes in vec(any::<u8>(), 0..200)) {
        let fs = SimFileSystem::default();
        fs.set_bytes(Path::new(PATH), &bytes);
        let refused = matches!(Block::open(&fs, Path::new(PATH)), Err(Error::Corrupt { .. }));
        prop_assert!(refused);
    }
}

/// Samples as a counter, a gauge, a clock and a series that has no value have them.
fn runs(samples: i64) -> Vec<Run> {
    let times: Vec<i64> = (0..samples).map(|at| at * 15_000 + (at * 7) % 3).collect();
    let columns: [&dyn Fn(i64) -> f64; 4] = [
        &|at| (at * 40 + (at * at) % 37) as f64 / 100.0,
        &|at| ((at * 7919) % 1000 - 500) as f64,
        &|at| 1.7e9 + at as f64 * 15.0 + ((at * 7919) % 1000) as f64 / 1e6,
        &|_| f64::NAN,
    ];
    let run = |value: &dyn Fn(i64) -> f64| Run {
        times: times.clone(),
        values: RunValues::Floats((0..samples).map(value).collect()),
        starts: Starts::Unknown,
    };
    columns.into_iter().map(run).collect()
}

fn write_runs(fs: &SimFileSystem, range: i64, runs: &[Run]) {
    let mut writer = BlockWriter::create(fs, Path::new(PATH), 0, range).unwrap();
    for (number, run) in runs.iter().enumerate() {
        let labels = Labels::from_pairs([("n", &*number.to_string())]);
        let runs = std::slice::from_ref(run);
        writer.add(&BlockSeries { labels: &labels, runs, exemplars: &[] }).unwrap();
    }
    writer.finish(&[]).unwrap();
}

/// Holds a block to what was written, and gives its size.
fn check_runs(fs: &SimFileSystem, runs: &[Run]) -> u64 {
    let block = Block::open(fs, Path::new(PATH)).unwrap();
    for (number, run) in runs.iter().enumerate() {
        let chunks = block.series().chunks(number as u32, i64::MIN, i64::MAX).unwrap();
        let (mut times, mut floats) = (Vec::new(), Vec::new());
        block.decode_floats(&chunks[0], &mut times, &mut floats).unwrap();
        let RunValues::Floats(expected) = &run.values else { panic!("floats were written") };
        assert_eq!(times, run.times);
        assert!(floats.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()), "series {number}");
        let summary = block.summary(&chunks[0]).unwrap();
        let millis: Vec<_> = times.iter().map(|time| model::Timestamp::from_millis(*time)).collect();
        let own = model::Summary::of(&millis, expected).unwrap();
        let rounded = model::Summary { sum: own.sum + own.sum_error, sum_error: 0.0, ..own };
        assert_eq!(summary, (!expected[0].is_nan()).then_some(rounded), "series {number}");
    }
    block.bytes()
}

#[test]
fn long_blocks_are_denser_and_read_the_same() {
    let runs = runs(4_000);
    let bytes = [3_600_000, DENSE_RANGE_MS].map(|range| {
        let fs = SimFileSystem::default();
        write_runs(&fs, range, &runs);
        check_runs(&fs, &runs)
    });
    assert!(bytes[1] < bytes[0] * 85 / 100, "{bytes:?}");
}

/// Written once by [`write_runs`] over a dense range: every form of a value, and summaries.
#[test]
fn dense_blocks_of_older_versions_are_read() {
    let fs = SimFileSystem::default();
    fs.set_bytes(Path::new(PATH), include_bytes!("../../fixtures/v3-dense.block"));
    check_runs(&fs, &runs(500));
    fs.set_bytes(Path::new(PATH), include_bytes!("../../fixtures/v6-dense.block"));
    check_runs(&fs, &ending(500));
}

/// The same, and a series that ends.
fn ending(samples: i64) -> Vec<Run> {
    let mut all = runs(samples);
    let values = (1..=samples).map(|at| if at < samples { 1.5 } else { STALE_NAN }).collect();
    let ended =
        Run { times: all[0].times.clone(), values: RunValues::Floats(values), starts: Starts::Unknown };
    all.push(ended);
    all
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let fs = SimFileSystem::default();
    write(&fs, &[Labels::from_pairs([("a", "b")])]);
    let mut bytes = fs.bytes(Path::new(PATH));
    bytes[8] = 99;
    let crc = crc32fast::hash(&bytes[..12]).to_le_bytes();
    bytes[12..16].copy_from_slice(&crc);
    fs.set_bytes(Path::new(PATH), &bytes);
    assert!(matches!(Block::open(&fs, Path::new(PATH)), Err(Error::UnsupportedVersion { version: 99, .. })));
}
