//! A block answers as a scan of its series would, and refuses what is no block.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use std::path::Path;

use model::Labels;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{Block, BlockSeries, BlockWriter};
use crate::chunk::{Chunk, Run};
use crate::error::Error;
use crate::fs::sim::SimFileSystem;
use crate::index::tests::{any_labels, any_matcher, check_index};

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
        series in btree_set(any_labels(), 1..20), matchers in vec(any_matcher(), 0..4)
    ) {
        let series: Vec<Labels> = series.into_iter().collect();
        let block = write(&SimFileSystem::default(), &series);
        let all: Vec<_> = series.iter().cloned().map(Some).collect();
        check_index(&block.index(), &matchers, &all)?;
        for (number, labels) in (0u32..).zip(&series) {
            let (read, chunks) = block.series(number, 0, 10).unwrap();
            prop_assert_eq!(&read, labels);
            prop_assert_eq!(chunks.len(), 1);
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
