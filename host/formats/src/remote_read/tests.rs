//! Questions and answers there and back, and chunks read by a decoder of their own.

use model::{Buckets, ResetHint};
use proptest::collection::vec;
use proptest::prelude::*;

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

fn bits(samples: &[Sample]) -> Vec<(i64, u64)> {
    samples.iter().map(|s| (s.timestamp.millis(), s.value.to_bits())).collect()
}

proptest! {
    #[test]
    fn chunks_hold_every_bit(samples in floats()) {
        prop_assert_eq!(decode_xor(&xor::encode(&samples)), bits(&samples));
    }

    #[test]
    fn frames_hold_all_samples_of_a_series(samples in floats(), query in 0..3usize) {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let series = ReadSeries { labels: labels.clone(), samples: samples.clone(), histograms: Vec::new() };
        let mut stream = Vec::new();
        put_frames(&mut stream, query, &series, 1 << 20);
        let (mut read, mut rest) = (Vec::new(), Message(&stream));
        while !rest.0.is_empty() {
            let length = rest.varint().unwrap() as usize;
            let (sum, after) = rest.0.split_at(4);
            let (data, after) = after.split_at(length);
            prop_assert_eq!(sum, crc::crc32c(data).to_be_bytes());
            rest = Message(after);
            let mut message = Message(data);
            while let Some(field) = message.next().unwrap() {
                match field {
                    (1, Field::Bytes(series)) => {
                        let (mut series, mut pairs) = (Message(series), Vec::new());
                        while let Some(field) = series.next().unwrap() {
                            match field {
                                (1, Field::Bytes(pair)) => pairs.push(pairs::read_label_pair(pair).unwrap()),
                                (2, Field::Bytes(chunk)) => {
                                    let mut chunk = Message(chunk);
                                    while let Some((number, field)) = chunk.next().unwrap() {
                                        if let (4, Field::Bytes(data)) = (number, field) {
                                            read.extend(decode_xor(data));
                                        }
                                    }
                                }
                                _ => {}
                            }
                        }
                        prop_assert_eq!(pairs::to_labels(&mut pairs).unwrap(), labels.clone());
                    }
                    (2, Field::Varint(number)) => prop_assert_eq!(number, query as u64),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
        prop_assert_eq!(read, bits(&samples));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let packed = remote_write::compress(&bytes);
        for body in [&bytes, &packed] {
            let _ = ReadRequest::decode(body, &LIMITS);
            if let Ok(results) = decode_samples(body, &LIMITS) {
                prop_assert!(results.len() <= bytes.len());
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
