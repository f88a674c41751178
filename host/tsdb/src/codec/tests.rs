//! Every codec round-trips bit for bit and survives arbitrary bytes.

use std::sync::Arc;

use model::staleness::STALE_NAN_BITS;
use model::{BucketSpan, Buckets, Histogram, ResetHint};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::bytes::{put_varint, put_zigzag};
use super::histogram::bits_equal;
use super::mantissas::Mantissas;
use super::values::{self, Density};
use super::{Reader, decimal, dense, steps};
use crate::chunk::{Chunk, ChunkKind, ChunkMeta};

/// Floats as they occur: whole, slowly changing, special, and any bits at all.
pub(crate) fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000i64..1000).prop_map(|whole| whole as f64),
        2 => (0u32..1000).prop_map(|n| f64::from(n) / 100.0),
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
        1 => prop::sample::select(vec![-0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 9_007_199_254_740_993.0]),
        1 => any::<u64>().prop_map(f64::from_bits),
    ]
}

fn any_times(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        btree_set(any::<i64>(), len.clone()).prop_map(|set| set.into_iter().collect()),
        (Just(i64::MIN), 1i64..100_000, len.clone())
            .prop_map(|(first, step, count)| (0..count as i64).map(|i| first + i * step).collect()),
        (any::<i32>(), 1i64..100_000, len.clone()).prop_map(|(first, step, count)| {
            (0..count as i64).map(|i| i64::from(first) + i * step).collect()
        }),
        btree_set(0i64..5_000, len).prop_map(|set| set.into_iter().collect()),
    ]
}

/// How a series moves on: alike as a rule, now and then far.
fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => Just(0i64),
        8 => 0i64..300,
        4 => (0i64..50).prop_map(|pages| pages * 4096),
        1 => any::<i32>().prop_map(i64::from),
        1 => any::<i64>(),
    ]
}

fn any_side() -> impl Strategy<Value = Buckets> {
    let count = prop_oneof![(0u32..1000).prop_map(f64::from), any_float()];
    vec((0i32..5, vec(count, 0..4)), 0..4).prop_map(|runs| {
        let mut side = Buckets::default();
        for (offset, counts) in runs {
            side.spans.push(BucketSpan { offset, length: counts.len() as u32 });
            side.counts.extend(counts);
        }
        side
    })
}

pub(crate) fn any_histogram() -> impl Strategy<Value = Arc<Histogram>> {
    let hint = prop::sample::select(vec![
        ResetHint::Unknown,
        ResetHint::Reset,
        ResetHint::NotReset,
        ResetHint::Gauge,
    ]);
    (-4i8..=8, any_float(), any_side(), any_side(), prop::option::of(vec(any_float(), 0..3)), hint).prop_map(
        |(schema, number, positive, negative, bounds, reset_hint)| {
            Arc::new(Histogram {
                schema,
                zero_threshold: 1e-9,
                zero_count: 3.0,
                count: number,
                sum: number,
                positive,
                negative,
                custom_values: bounds.map(Arc::from),
                reset_hint,
            })
        },
    )
}

/// A series' worth: mostly the same layout with other numbers.
fn histogram_run() -> impl Strategy<Value = Vec<Arc<Histogram>>> {
    vec((any_histogram(), vec(0u32..50, 0..5)), 1..4).prop_map(|stretches| {
        let mut all = Vec::new();
        for (first, steps) in stretches {
            all.push(first.clone());
            for step in steps {
                let mut next = (*first).clone();
                next.count += f64::from(step);
                next.positive.counts.iter_mut().for_each(|count| *count += f64::from(step));
                all.push(Arc::new(next));
            }
        }
        all
    })
}

fn bits(floats: &[f64]) -> Vec<u64> {
    floats.iter().map(|float| float.to_bits()).collect()
}

type Decode = fn(&mut Reader<'_>, usize, &mut Vec<f64>) -> Result<(), super::Malformed>;

/// A column in each dense form that can hold it, and what reads it.
fn dense_forms(floats: &[f64]) -> Vec<(Decode, Vec<u8>)> {
    let mantissas = Mantissas::of(floats);
    let dense = dense::encode(floats, mantissas.as_ref()).unwrap();
    let steps = mantissas.map(|mantissas| (steps::decode as Decode, steps::encode(&mantissas).unwrap()));
    std::iter::once((dense::decode as Decode, dense)).chain(steps).collect()
}

#[test]
fn the_form_is_the_smallest() {
    let column = |next: &dyn Fn(u64) -> u64| -> Vec<f64> {
        let steps = (0..2000).map(next);
        steps
            .scan(0, |sum, step| {
                *sum += step;
                Some(*sum as f64 / 100.0)
            })
            .collect()
    };
    let noise = |at: u64| {
        let spread = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread ^ (spread >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40
    };
    for (name, values, form) in [
        ("constant", vec![7.5; 2000], 0),
        ("constant step", column(&|_| 15), 3),
        ("many small steps, few large", column(&|at| noise(at) >> (noise(at + 5000) % 20)), 4),
        ("the same steps again", column(&|at| noise(at % 37)), 5),
    ] {
        let mut bytes = Vec::new();
        values::encode_series(&values, Density::Dense, &mut bytes);
        assert_eq!(bytes[0], form, "{name}: {} bytes", bytes.len());
    }
}

proptest! {
    #[test]
    fn float_chunks_round_trip(times in any_times(1..200), pool in vec(any_float(), 1..200)) {
        let floats: Vec<f64> = pool.iter().copied().cycle().take(times.len()).collect();
        let chunk = Chunk::from_floats(&times, &floats).unwrap();
        let (mut t, mut v) = (Vec::new(), Vec::new());
        chunk.meta.decode_floats(&chunk.data, &mut t, &mut v).unwrap();
        prop_assert_eq!(t, times);
        prop_assert_eq!(bits(&v), bits(&floats));
    }

    #[test]
    fn values_of_one_series_round_trip(
        decimals in 0i32..12, start in -1_000_000_000i64..1_000_000_000, steps in vec(any_step(), 0..300),
        patches in vec((any::<prop::sample::Index>(), any_float()), 0..4)
    ) {
        let mut mantissa = start;
        let mut floats = vec![start as f64];
        floats.extend(steps.iter().map(|step| {
            mantissa = mantissa.wrapping_add(*step);
            mantissa as f64 / 10f64.powi(decimals)
        }));
        for (at, float) in patches {
            let at = at.index(floats.len());
            floats[at] = float;
        }
        for density in [Density::Light, Density::Dense] {
            let mut bytes = Vec::new();
            values::encode_series(&floats, density, &mut bytes);
            let mut reader = Reader::new(&bytes);
            let mut read = Vec::new();
            values::decode(&mut reader, floats.len(), &mut read).unwrap();
            prop_assert!(reader.is_empty());
            prop_assert_eq!(bits(&read), bits(&floats));
        }
    }

    #[test]
    fn dense_columns_round_trip(floats in vec(any_float(), 1..600)) {
        for (form, bytes) in dense_forms(&floats) {
            let mut read = Vec::new();
            let mut reader = Reader::new(&bytes);
            form(&mut reader, floats.len(), &mut read).unwrap();
            prop_assert!(reader.is_empty());
            prop_assert_eq!(bits(&read), bits(&floats));
        }
    }

    #[test]
    fn damaged_dense_columns_do_not_panic(
        floats in vec(any_float(), 1..300), flips in vec((any::<prop::sample::Index>(), 1u8..), 1..4)
    ) {
        for (form, mut bytes) in dense_forms(&floats) {
            for (at, flip) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            let mut read = Vec::new();
            if form(&mut Reader::new(&bytes), floats.len(), &mut read).is_ok() {
                prop_assert_eq!(read.len(), floats.len());
            }
        }
    }

    #[test]
    fn numbers_round_trip(float in any_float(), decimals in 0i32..16, mantissa in any::<i32>()) {
        for float in [float, f64::from(mantissa) / 10f64.powi(decimals)] {
            let mut bytes = Vec::new();
            decimal::put_number(&mut bytes, float);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(decimal::number(&mut reader).unwrap().to_bits(), float.to_bits());
            prop_assert!(reader.is_empty());
        }
    }

    #[test]
    fn arbitrary_columns_do_not_panic(form in 0u8..7, bytes in vec(any::<u8>(), 0..300), count in 1usize..500) {
        let bytes: Vec<u8> = std::iter::once(form).chain(bytes).collect();
        let mut read = Vec::new();
        if values::decode(&mut Reader::new(&bytes), count, &mut read).is_ok() {
            prop_assert_eq!(read.len(), count);
        }
    }

    #[test]
    fn histogram_chunks_round_trip(histograms in histogram_run()) {
        let times: Vec<i64> = (0..histograms.len() as i64).map(|i| i * 15_000).collect();
        let chunk = Chunk::from_histograms(&times, &histograms).unwrap();
        let mut read = Vec::new();
        chunk.meta.decode_histograms(&chunk.data, |time, histogram| read.push((time, histogram))).unwrap();
        prop_assert_eq!(read.len(), histograms.len());
        for ((time, read), (expected_time, expected)) in read.iter().zip(times.iter().zip(&histograms)) {
            prop_assert_eq!(time, expected_time);
            prop_assert!(bits_equal(read, expected), "{:?} came back as {:?}", expected, read);
        }
    }

    #[test]
    fn descriptions_round_trip(count in 1u32..60_000, a in any::<i64>(), b in any::<i64>(), floats in any::<bool>()) {
        let kind = if floats { ChunkKind::Floats } else { ChunkKind::Histograms };
        let meta = ChunkMeta { kind, count, min_time: a.min(b), max_time: a.max(b) };
        let mut bytes = Vec::new();
        meta.encode(&mut bytes);
        prop_assert_eq!(ChunkMeta::decode(&mut Reader::new(&bytes)), Ok(meta));
    }

    #[test]
    fn integers_round_trip(unsigned in any::<u64>(), signed in any::<i64>()) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, unsigned);
        put_zigzag(&mut bytes, signed);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.varint(), Ok(unsigned));
        prop_assert_eq!(reader.zigzag(), Ok(signed));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..300), count in 1u32..500, min in any::<i64>()) {
        let (mut t, mut v) = (Vec::new(), Vec::new());
        let floats = ChunkMeta { kind: ChunkKind::Floats, count, min_time: min, max_time: min };
        let refused = floats.decode_floats(&bytes, &mut t, &mut v).is_err();
        prop_assert!(refused || (count == 1 && t == [min]));
        let mut seen = 0;
        let _ = floats.decode_histograms(&bytes, |_, _| seen += 1);
        prop_assert!(seen <= count);
        let _ = super::histogram::decode(&mut Reader::new(&bytes), None);
        let _ = ChunkMeta::decode(&mut Reader::new(&bytes));
    }

    #[test]
    fn changed_bytes_do_not_panic(
        histograms in histogram_run(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let times: Vec<i64> = (0..histograms.len() as i64).collect();
        let chunk = Chunk::from_histograms(&times, &histograms).unwrap();
        let mut data = chunk.data.to_vec();
        let at = at.index(data.len());
        data[at] = byte;
        let mut seen = 0;
        let _ = chunk.meta.decode_histograms(&data, |_, _| seen += 1);
        prop_assert!(seen <= times.len());
    }
}

#[test]
fn values_cost_what_they_tell() {
    let times: Vec<i64> = (0..120).map(|i| 1_700_000_000_000 + i * 15_000).collect();
    let bytes = |value: &dyn Fn(i32) -> f64| {
        let floats: Vec<f64> = (0..120).map(value).collect();
        let chunk = Chunk::from_floats(&times, &floats).unwrap();
        let (mut t, mut v) = (Vec::new(), Vec::new());
        chunk.meta.decode_floats(&chunk.data, &mut t, &mut v).unwrap();
        assert_eq!(bits(&v), bits(&floats));
        chunk.data.len() - 11
    };
    assert_eq!(bytes(&|_| 1.5), 9, "constant");
    assert_eq!(bytes(&|i| f64::from(i) * 7.0), 6, "linear");
    assert_eq!(bytes(&|i| f64::from(1000 + i / 50)), 12, "two changes");
    assert_eq!(bytes(&|i| f64::from(140_000 + i * 1400 + i % 4 * 13) / 100.0), 68, "seconds");
    assert_eq!(bytes(&|i| f64::from(100_000 + (((i * 40_503) % 65_536) >> 12)) * 4096.0), 69, "pages");
    let stale = |i: i32| if i == 60 { f64::from_bits(STALE_NAN_BITS) } else { f64::from(i) * 0.25 };
    assert_eq!(bytes(&stale), 21, "a stale marker");
}

#[test]
fn whole_numbers_are_those_that_lose_nothing() {
    assert_eq!(values::as_whole(3.0), Some(3));
    for value in [-0.0, 0.5, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(values::as_whole(value), None, "{value}");
    }
}

proptest! {
    #[test]
    fn summaries_round_trip(all in vec((any_float(), any_float(), 1u64..1000, 0i64..300_000, 0u64..3), 1..60)) {
        let mut summaries = Vec::new();
        for (at, (first, last, count, duration, resets)) in (1i64..).zip(all) {
            let last_time = model::Timestamp::from_millis(at * 300_000);
            let mut summary = model::Summary::of_sample(last_time.offset(-duration), first);
            (summary.last, summary.last_time, summary.count, summary.resets) = (last, last_time, count, resets);
            summary.reset_sum = if resets == 0 { 0.0 } else { 2.5 };
            summaries.push(summary);
        }
        let mut bytes = Vec::new();
        super::summaries::encode(&summaries, &mut bytes);
        let times: Vec<i64> = summaries.iter().map(|s| s.last_time.millis()).collect();
        let (mut reader, mut decoded) = (Reader::new(&bytes), Vec::new());
        super::summaries::decode(&mut reader, &times, &mut decoded).unwrap();
        prop_assert!(reader.is_empty());
        let bits = |s: &model::Summary| {
            let floats = [s.first, s.last, s.min, s.max, s.sum, s.squares, s.reset_sum].map(f64::to_bits);
            (s.first_time, s.last_time, s.count, s.resets, s.changes, floats)
        };
        prop_assert_eq!(decoded.iter().map(bits).collect::<Vec<_>>(), summaries.iter().map(bits).collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_summaries_do_not_panic(bytes in vec(any::<u8>(), 0..300), count in 0usize..20) {
        let times: Vec<i64> = (0..count as i64).collect();
        let _ = super::summaries::decode(&mut Reader::new(&bytes), &times, &mut Vec::new());
    }
}
