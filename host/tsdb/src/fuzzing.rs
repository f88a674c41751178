//! The decoders that checksums keep damaged bytes from, without the checksums: for fuzzers, which would not get past
//! them. Not part of the crate's interface.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use roaring::RoaringBitmap;

use crate::block::{self, summary};
use crate::chunk::{Chunk, ChunkKind, ChunkMeta};
use crate::codec::values::{self, Density};
use crate::codec::{Malformed, Reader, decimal, histogram, summaries, timestamps};
use crate::index::RoaringView;
use crate::starts::Starts;
use crate::tombstones::Tombstones;
use crate::wal;

/// No column has more samples, in the head or in a block.
const SAMPLES_MAX: usize = 1 << 16;

/// Decodes what the first byte says from what follows it: 0 a number, else a column of as many items as the next two
/// bytes say, and a summary of as many samples.
///
/// # Panics
/// Where a decoder gives another number of items than it was asked for.
pub fn decode(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    // Bytes that are no such thing are answered with an error, which says nothing more.
    let _ = decode_any(&mut reader);
}

fn decode_any(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let what = reader.u8()?;
    let count = usize::from(u16::from_le_bytes([reader.u8()?, reader.u8()?])) + 1;
    match what {
        0 => decimal::number(reader).map(|_| ()),
        1 => {
            let mut floats = Vec::new();
            values::decode(reader, count, &mut floats)?;
            assert_eq!(floats.len(), count, "another number of values");
            Ok(())
        }
        2 => {
            let mut times = Vec::new();
            timestamps::decode(reader, count, &mut times)?;
            assert_eq!(times.len(), count, "another number of times");
            assert!(times.is_sorted_by(|a, b| a < b), "times do not increase");
            Ok(())
        }
        3 => {
            let mut before = None;
            for _ in 0..count {
                before = Some(histogram::decode(reader, before.as_ref())?);
            }
            Ok(())
        }
        4 => Starts::decode(reader, count).map(|starts| {
            let mut column = Vec::new();
            starts.expand(count, &mut column);
            assert_eq!(column.len(), count, "another number of starts");
        }),
        5 => {
            let meta =
                ChunkMeta { kind: ChunkKind::Floats, count: count as u32, min_time: 0, max_time: 1 << 20 };
            summary::decode(reader, &meta).map(|_| ())
        }
        6 => {
            let times: Vec<i64> = (0..count as i64).map(|at| at * 300_000).collect();
            let mut decoded = Vec::new();
            summaries::decode(reader, &times, &mut decoded)?;
            assert_eq!(decoded.len(), count, "another number of summaries");
            Ok(())
        }
        7 => {
            let tombstones = Tombstones::decode(reader)?;
            let mut again = Vec::new();
            tombstones.encode(&mut again);
            assert!(Tombstones::decode(&mut Reader::new(&again)).is_ok(), "what was read cannot be written");
            Ok(())
        }
        _ => {
            let view = RoaringView::open(reader.take(reader.remaining())?)?;
            let few: RoaringBitmap = (0..count as u32).map(|at| at * 977).collect();
            let both = view.intersection(&few)?;
            assert!(both.is_subset(&few), "an intersection with more than what it is with");
            // Containers in a wrong order are not found, or found twice: that is all that may come of it.
            view.meets(&few)?;
            view.contains(count as u32)?;
            view.to_bitmap().map(|_| ())
        }
    }
}

/// A block whose section of that number is `section`, with checksums that say so; `None` where `block` is none, or has no
/// such section.
#[must_use]
pub fn with_section(block: &[u8], number: u8, section: &[u8]) -> Option<Vec<u8>> {
    block::with_section(block, number, section)
}

/// The sections of a block in their order, the first of which has the number 1; none where it is no block.
#[must_use]
pub fn sections(block: &[u8]) -> Vec<Vec<u8>> {
    block::sections(block)
}

/// A segment of the log with one frame, whose checksum is right.
#[must_use]
pub fn segment(payload: &[u8]) -> Vec<u8> {
    wal::segment_of(payload)
}

/// The payloads of the frames of a segment or a checkpoint.
#[must_use]
pub fn payloads(segment: &[u8]) -> Vec<Vec<u8>> {
    wal::payloads_of(segment)
}

/// Bytes that [`decode`] reads whole.
pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |what: u8, count: usize, bytes: &[u8]| {
        let count = count.clamp(1, SAMPLES_MAX) - 1;
        [&[what], &(count as u16).to_le_bytes()[..], bytes].concat()
    };
    let columns: [&dyn Fn(i32) -> f64; 5] = [
        &|at| f64::from(at / 50),
        &|at| f64::from(at * 125 + at * at % 37) / 100.0,
        &|at| f64::from(at * 7919 % 1000).sqrt(),
        &|at| if at % 40 == 0 { f64::NAN } else { f64::from(at * at % 11) },
        &|at| 1.7e9 + f64::from(at) / 1e3,
    ];
    let mut seeds = Vec::new();
    for column in columns {
        let floats: Vec<f64> = (0..300).map(column).collect();
        for density in [Density::Light, Density::Dense] {
            let mut out = Vec::new();
            values::encode_series(&floats, density, &mut out);
            seeds.push(seed(1, floats.len(), &out));
        }
        let times: Vec<i64> = (0..floats.len() as i64).map(|at| at * 15_000 + at * at % 3).collect();
        let mut out = Vec::new();
        timestamps::encode(&times, &mut out);
        seeds.push(seed(2, times.len(), &out));
        if let Some(meta) = Chunk::from_floats(&times, &floats).map(|chunk| chunk.meta)
            && let Some(summary) = summary::of_chunk(&meta, &times, &floats)
        {
            let mut out = Vec::new();
            summary::encode(&summary, &meta, &mut out);
            seeds.push(seed(5, times.len(), &out));
        }
    }
    let mut out = Vec::new();
    Starts::of_column(&[0, 0, 1_700_000_000_000, 1_700_000_000_000, 1_700_000_360_000]).encode(&mut out);
    seeds.push(seed(4, 100, &out));
    for number in [0.25, -0.0, 1e300] {
        let mut out = Vec::new();
        decimal::put_number(&mut out, number);
        seeds.push(seed(0, 1, &out));
    }
    let histogram = model::Histogram {
        count: 3.0,
        sum: 1.5,
        positive: model::Buckets::from_pairs([(-1, 1.0), (2, 2.0)]),
        ..model::Histogram::stale()
    };
    let mut out = Vec::new();
    histogram::encode(None, &histogram, &mut out);
    histogram::encode(Some(&histogram), &histogram, &mut out);
    seeds.push(seed(3, 2, &out));
    let mut tombstones = Tombstones::default();
    for series in 0..20 {
        tombstones.add(series * series, i64::from(series) * 1000, i64::from(series) * 1500);
        tombstones.add(series * series, i64::MAX - 5, i64::MAX);
    }
    let mut out = Vec::new();
    tombstones.encode(&mut out);
    seeds.push(seed(7, 1, &out));
    // A container of each kind: a list, bits, runs.
    let mut ids: RoaringBitmap = (0..40_000).filter(|id| id % 3 == 0).chain([70_000, 70_005]).collect();
    ids.insert_range(140_000..150_000);
    for optimized in [false, true] {
        if optimized {
            ids.optimize();
        }
        let mut out = Vec::new();
        // Memory takes everything.
        let _ = ids.serialize_into(&mut out);
        seeds.push(seed(8, 300, &out));
    }
    seeds
}
