//! Questions and answers there and back, and chunks read by a decoder of their own.

use model::{Buckets, ResetHint};
use proptest::collection::vec;
use proptest::prelude::*;

use super::bits::BitWriter;
use super::histograms::Numbers;
use super::stream::chunks;
use super::*;

const LIMITS: Limits = Limits { decompressed_bytes_max: 1 << 20 };

/// Reads bits as Prometheus' decoder does.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn bits(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |value, _| {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            value << 1 | u64::from(bit)
        })
    }

    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.bits(8);
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn time(&mut self) -> i64 {
        let width = match (0..4).take_while(|_| self.bits(1) == 1).count() {
            0 => return 0,
            1 => 14,
            2 => 17,
            3 => 20,
            _ => return self.bits(64) as i64,
        };
        let value = self.bits(width) as i64;
        if value > 1 << (width - 1) { value - (1 << width) } else { value }
    }
}

fn decode_xor(bytes: &[u8]) -> Vec<(i64, u64)> {
    let mut reader = BitReader { bytes, at: 0 };
    let count = reader.bits(16);
    let (mut time, mut difference, mut value, mut window) = (0i64, 0i64, 0u64, (0, 0));
    let mut samples = Vec::new();
    for index in 0..count {
        if index == 0 {
            time = crate::wire::zigzag(reader.varint());
            value = reader.bits(64);
            samples.push((time, value));
            continue;
        }
        difference = match index {
            1 => reader.varint() as i64,
            _ => difference.wrapping_add(reader.time()),
        };
        time = time.wrapping_add(difference);
        if reader.bits(1) == 1 {
            if reader.bits(1) == 1 {
                let leading = reader.bits(5) as u32;
                let length = match reader.bits(6) as u32 {
                    0 => 64,
                    length => length,
                };
                window = (leading, 64 - leading - length);
            }
            value ^= reader.bits(64 - window.0 - window.1) << window.1;
        }
        samples.push((time, value));
    }
    samples
}

/// Reads a chunk of histograms as Prometheus' decoder does: the times, and all numbers of each.
fn decode_histograms(bytes: &[u8], numbers: usize) -> Vec<(i64, Vec<u64>)> {
    let mut reader = BitReader { bytes, at: 0 };
    let count = reader.bits(16);
    reader.bits(8);
    if reader.bits(8) == 255 {
        reader.bits(64);
    }
    let width = |reader: &mut BitReader<'_>| {
        let ones = (0..8).take_while(|_| reader.bits(1) == 1).count();
        [0, 3, 6, 9, 12, 18, 25, 56, 64][ones]
    };
    let int = |reader: &mut BitReader<'_>| match width(reader) {
        0 => 0,
        64 => reader.bits(64) as i64,
        width => {
            let value = reader.bits(width) as i64;
            if value > 1 << (width - 1) { value - (1 << width) } else { value }
        }
    };
    let uint = |reader: &mut BitReader<'_>| match width(reader) {
        0 => 0,
        width => reader.bits(width),
    };
    int(&mut reader);
    for _ in 0..2 {
        for _ in 0..uint(&mut reader) {
            uint(&mut reader);
            int(&mut reader);
        }
    }
    let (mut time, mut difference) = (0i64, 0i64);
    let mut values = vec![(0u64, (0, 0)); numbers];
    let mut samples = Vec::new();
    for index in 0..count {
        if index == 0 {
            time = int(&mut reader);
        } else {
            difference += int(&mut reader);
            time += difference;
        }
        for (value, window) in &mut values {
            if index == 0 {
                *value = reader.bits(64);
            } else if reader.bits(1) == 1 {
                if reader.bits(1) == 1 {
                    let leading = reader.bits(5) as u32;
                    let length = match reader.bits(6) as u32 {
                        0 => 64,
                        length => length,
                    };
                    *window = (leading, 64 - leading - length);
                }
                *value ^= reader.bits(64 - window.0 - window.1) << window.1;
            }
        }
        samples.push((time, values.iter().map(|(value, _)| *value).collect()));
    }
    samples
}

#[test]
fn histograms_are_cut_where_their_layout_changes_and_floats_come_between() {
    let histogram = |at: i64, buckets: &[(i32, f64)], threshold: f64| {
        let positive = Buckets::from_pairs(buckets.iter().copied());
        let value = Histogram {
            schema: 2,
            zero_threshold: threshold,
            count: at as f64,
            sum: 0.1 * at as f64,
            positive,
            ..Histogram::stale()
        };
        (Timestamp::from_millis(at), Arc::new(value))
    };
    let narrow = [(1, 2.0), (2, 0.5)];
    let wide = [(-70, 2.0), (9, 0.25), (10, 1e9)];
    let series = ReadSeries {
        labels: Labels::from_pairs([("__name__", "h")]),
        samples: vec![Sample::new(350, 1.0), Sample::new(360, 2.0)],
        histograms: vec![
            histogram(100, &narrow, 0.001),
            histogram(200, &narrow, 0.001),
            histogram(310, &narrow, 0.001),
            histogram(400, &narrow, 0.001),
            histogram(500, &wide, 0.25),
            histogram(600, &wide, 0.25),
        ],
    };
    let chunks = chunks(&series);
    let spans: Vec<(i64, i64, u64)> =
        chunks.iter().map(|chunk| (chunk.first.millis(), chunk.last.millis(), chunk.encoding)).collect();
    assert_eq!(spans, [(100, 310, 3), (350, 360, 1), (400, 400, 3), (500, 600, 3)]);
    let mut read = Vec::new();
    for (chunk, numbers) in chunks.iter().filter(|chunk| chunk.encoding == 3).zip([5, 5, 6]) {
        read.extend(decode_histograms(&chunk.data, numbers));
    }
    let expected = series.histograms.iter().map(|(time, h)| {
        let numbers = [h.count, h.zero_count, h.sum].into_iter().chain(h.positive.counts.iter().copied());
        (time.millis(), numbers.map(f64::to_bits).collect::<Vec<_>>())
    });
    assert_eq!(read, expected.collect::<Vec<_>>());
}

fn floats() -> impl Strategy<Value = Vec<Sample>> {
    let step = prop_oneof![Just(15_000i64), 1..100i64, 1..1i64 << 21, 1..1i64 << 50];
    let value = prop_oneof![Just(1.0), any::<f64>(), (0..1000i32).prop_map(f64::from)];
    vec((step, value), 0..200).prop_map(|steps| {
        let mut time = 1_700_000_000_000;
        let sample = |(step, value)| {
            time += step;
            Sample::new(time, value)
        };
        steps.into_iter().map(sample).collect()
    })
}

/// Histograms of a few layouts, some of which follow one another.
fn histograms() -> impl Strategy<Value = Vec<(Timestamp, Arc<Histogram>)>> {
    let layout = prop_oneof![
        Just((3, 0.001, vec![-7, -6, 4], vec![1])),
        Just((3, 0.25, vec![-70_000], Vec::new())),
        Just((-53, 0.0, vec![0, 2], Vec::new())),
        Just((0, 0.0, Vec::new(), Vec::new())),
    ];
    let counts = vec(prop_oneof![0..100i32, 0..1i32 << 30].prop_map(f64::from), 6);
    let samples = vec((1..1i64 << 20, counts, 0.5..1e6f64), 1..10);
    vec((layout, any::<bool>(), samples), 0..5).prop_map(|runs| {
        let (mut at, mut all) = (1_700_000_000_000, Vec::new());
        for ((schema, zero_threshold, positive, negative), gauge, samples) in runs {
            for (step, counts, sum) in samples {
                at += step;
                let side =
                    |side: &[i32]| Buckets::from_pairs(side.iter().copied().zip(counts.iter().copied()));
                let histogram = Histogram {
                    schema,
                    zero_threshold,
                    positive: side(&positive),
                    negative: side(&negative),
                    count: counts[4],
                    zero_count: if schema == -53 { 0.0 } else { counts[5] },
                    sum,
                    custom_values: (schema == -53).then(|| [0.25, 0.1 + 0.2, 7.0].into()),
                    reset_hint: if gauge { ResetHint::Gauge } else { ResetHint::Unknown },
                };
                all.push((Timestamp::from_millis(at), Arc::new(histogram)));
            }
        }
        all
    })
}

/// Encodes histograms of one layout as whole numbers, as Prometheus does.
fn encode_wholes(samples: &[(Timestamp, Arc<Histogram>)]) -> Vec<u8> {
    let mut bits = BitWriter::after((samples.len() as u16).to_be_bytes().to_vec());
    let gauge = samples[0].1.reset_hint == ResetHint::Gauge;
    bits.put(if gauge { 0b1100_0000 } else { 0 }, 8);
    bits.put_layout(&samples[0].1);
    let (mut before, mut differences, mut sum, mut window) = (Vec::new(), Vec::new(), 0, None);
    for (index, (at, histogram)) in samples.iter().enumerate() {
        let steps = |buckets: &Buckets| {
            let mut before = 0;
            let step = move |count: &f64| {
                let step = *count as i64 - before;
                before = *count as i64;
                step
            };
            buckets.counts.iter().map(step).collect::<Vec<i64>>()
        };
        let [count, zero] = [histogram.count, histogram.zero_count].map(|count| count as i64);
        let buckets = [steps(&histogram.positive), steps(&histogram.negative)].concat();
        let now: Vec<i64> = [at.millis(), count, zero].into_iter().chain(buckets).collect();
        if index == 0 {
            differences = vec![0; now.len()];
        }
        for (n, number) in now.iter().enumerate() {
            if n == 3 {
                put_sum(&mut bits, index == 0, &mut sum, &mut window, histogram.sum);
            }
            match (index, n) {
                (0, 1 | 2) => bits.put_uint(*number as u64),
                (0, _) => bits.put_int(*number),
                _ => {
                    let difference = number - before[n];
                    bits.put_int(difference - differences[n]);
                    differences[n] = difference;
                }
            }
        }
        if now.len() == 3 {
            put_sum(&mut bits, index == 0, &mut sum, &mut window, histogram.sum);
        }
        before = now;
    }
    bits.bytes
}

fn put_sum(
    bits: &mut BitWriter,
    is_first: bool,
    before: &mut u64,
    window: &mut Option<bits::Window>,
    sum: f64,
) {
    match is_first {
        true => bits.put(sum.to_bits(), 64),
        false => bits.put_value(window, sum.to_bits() ^ *before),
    }
    *before = sum.to_bits();
}

fn bits(samples: &[Sample]) -> Vec<(i64, u64)> {
    samples.iter().map(|s| (s.timestamp.millis(), s.value.to_bits())).collect()
}

proptest! {
    #[test]
    fn chunks_hold_every_bit(samples in floats()) {
        prop_assert_eq!(decode_xor(&xor::encode(&samples)), bits(&samples));
    }

    #[test]
    fn a_stream_brings_what_was_put_into_it_in_pieces_of_any_size(
        series in vec((floats(), histograms()), 0..4),
        frame_bytes in 0..2000usize,
        piece in 1..500usize,
    ) {
        let series = series.into_iter().enumerate().map(|(number, (samples, histograms))| ReadSeries {
            labels: Labels::from_pairs([("__name__", "up"), ("n", &number.to_string())]),
            samples,
            histograms,
        });
        let series: Vec<ReadSeries> = series.collect();
        let mut stream = Vec::new();
        for (number, series) in series.iter().enumerate() {
            put_frames(&mut stream, number % 2, series, frame_bytes);
        }
        let mut reader = FrameReader::new(2, &LIMITS);
        for piece in stream.chunks(piece) {
            reader.push(piece).unwrap();
        }
        let read = reader.finish().unwrap();
        let there = |series: &ReadSeries| !series.samples.is_empty() || !series.histograms.is_empty();
        for (query, read) in read.iter().enumerate() {
            let expected = series.iter().skip(query).step_by(2).filter(|series| there(series));
            prop_assert_eq!(format!("{read:?}"), format!("{:?}", expected.collect::<Vec<_>>()));
        }
        // A stream that breaks off is no shorter answer, unless it does so between frames.
        if !stream.is_empty() {
            let mut reader = FrameReader::new(2, &LIMITS);
            reader.push(&stream[..stream.len() - 1]).unwrap();
            prop_assert!(reader.finish().is_err());
        }
    }

    #[test]
    fn whole_numbers_are_read_as_prometheus_writes_them(histograms in histograms()) {
        let whole = |(at, histogram): &(Timestamp, Arc<Histogram>)| {
            let mut histogram = Histogram::clone(histogram);
            let counts = histogram.positive.counts.iter_mut().chain(&mut histogram.negative.counts);
            for count in counts.chain([&mut histogram.count, &mut histogram.zero_count]) {
                *count = count.floor();
            }
            (*at, Arc::new(histogram))
        };
        let histograms: Vec<_> = histograms.iter().map(whole).collect();
        for alike in histograms.chunk_by(|a, b| histograms::share_layout(&a.1, &b.1)) {
            let (mut read, mut budget) = (Vec::new(), stream::Budget::new(1 << 20));
            histograms::decode(&encode_wholes(alike), Numbers::Wholes, &mut budget, &mut read).unwrap();
            prop_assert_eq!(&read, alike);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let packed = remote_write::compress(&bytes);
        for body in [&bytes, &packed] {
            let _ = ReadRequest::decode(body, &LIMITS);
            if let Ok(results) = decode_samples(body, &LIMITS) {
                prop_assert!(results.len() <= bytes.len());
            }
            let mut reader = FrameReader::new(1, &LIMITS);
            let _ = reader.push(body).and_then(|()| reader.finish());
            let mut budget = stream::Budget::new(1 << 20);
            let _ = xor::decode(body, &mut budget, &mut Vec::new());
            for numbers in [Numbers::Floats, Numbers::Wholes] {
                let _ = histograms::decode(body, numbers, &mut budget, &mut Vec::new());
            }
        }
    }
}

#[test]
fn questions_round_trip() {
    let matchers = [
        (MatchOp::Equal, "__name__", "up"),
        (MatchOp::NotEqual, "a", ""),
        (MatchOp::Regex, "b", "x.*"),
        (MatchOp::NotRegex, "c", "[yz]"),
    ];
    let matchers = matchers.map(|(op, name, value)| Matcher::new(op, name, value).unwrap()).to_vec();
    let hints =
        ReadHints { step_ms: 15_000, func: "rate".into(), start_ms: -5, end_ms: 7, range_ms: 300_000 };
    let query = ReadQuery {
        start: Timestamp::from_millis(-10),
        end: Timestamp::from_millis(20),
        matchers: matchers.clone(),
        hints: Some(hints.clone()),
    };
    let request = ReadRequest { queries: vec![query], accepts_chunks: true, accepts_samples: true };
    let read = ReadRequest::decode(&request.encode(), &LIMITS).unwrap();
    assert!(read.accepts_chunks && read.accepts_samples);
    let [query] = &read.queries[..] else { panic!("{read:?}") };
    assert_eq!((query.start.millis(), query.end.millis()), (-10, 20));
    assert_eq!(format!("{:?}", query.matchers), format!("{matchers:?}"));
    assert_eq!(query.hints, Some(hints));
    // What was sent before there was a choice of answers.
    let old = ReadRequest::decode(&ReadRequest::default().encode(), &LIMITS).unwrap();
    assert!(old.accepts_samples && !old.accepts_chunks);
    let broken = remote_write::compress(b"\x0a\x04\x1a\x02\x08\x09");
    let error = ReadRequest::decode(&broken, &LIMITS).unwrap_err();
    assert_eq!(error.to_string(), "decode remote read message: unknown kind of matcher 9");
}

#[test]
fn answers_of_samples_round_trip() {
    let mut histogram = Histogram { count: 3.0, sum: 4.5, ..Histogram::stale() };
    histogram.positive = Buckets::from_pairs([(1, 1.0), (3, 2.0)]);
    histogram.reset_hint = ResetHint::NotReset;
    let part = Histogram { count: 2.5, positive: Buckets::from_pairs([(1, 2.5)]), ..histogram.clone() };
    let series = ReadSeries {
        labels: Labels::from_pairs([("__name__", "up"), ("job", "a")]),
        samples: vec![Sample::new(1, 2.0), Sample::new(3, -0.5)],
        histograms: vec![
            (Timestamp::from_millis(5), Arc::new(histogram)),
            (Timestamp::from_millis(6), Arc::new(part)),
        ],
    };
    let results = vec![vec![series.clone()], Vec::new(), vec![series.clone(), series]];
    assert_eq!(decode_samples(&encode_samples(&results), &LIMITS).unwrap(), results);
}
