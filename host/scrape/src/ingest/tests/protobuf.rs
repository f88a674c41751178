//! Answers as protobuf: native histograms, and classic ones in the same message.

use super::*;

/// A field that holds bytes; all lengths are short here.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128 * 128, "two bytes of length are enough");
    let length = [(content.len() % 128) as u8 | 0x80, (content.len() / 128) as u8];
    // Numbers from 16 on take a second byte.
    let key: &[u8] = if number < 16 { &[number << 3 | 2] } else { &[number << 3 | 2 | 0x80, number >> 4] };
    [key, &length, content].concat()
}

fn double(number: u8, value: f64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// The family `h`, a histogram of two observations in one native bucket (and one classic), with exemplars
/// observed at these seconds.
fn family(sum: f64, exemplars: &[u8]) -> Vec<u8> {
    let mut histogram = [varint(1, 2), double(2, sum), bytes(12, &varint(2, 1)), bytes(13, &[4])].concat();
    histogram.extend(bytes(3, &[varint(1, 1), double(2, 0.5)].concat()));
    for secs in exemplars {
        let label = bytes(1, &[bytes(1, b"trace_id"), bytes(2, &[b'a' + secs])].concat());
        histogram.extend(bytes(16, &[label, double(2, 1.0), bytes(3, &varint(1, *secs))].concat()));
    }
    let metric = bytes(4, &bytes(7, &histogram));
    // Behind its length, as a field is without its number.
    bytes(1, &[bytes(1, b"h"), varint(3, 4), metric].concat()).split_off(1)
}

impl Fixture {
    fn protobuf(&mut self, body: Vec<u8>) -> Outcome {
        self.scrape(Ok(Fetched::Exposition { format: Format::Protobuf, body }))
    }
}

#[test]
fn native_histograms_are_stored_and_end() {
    let mut f = fixture("scrape_native_histograms: true");
    let outcome = f.protobuf(family(3.0, &[]));
    f.check_stored(
        &outcome,
        &expect![[r#"
        h{instance="i", job="j"} 3 histogram @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    let outcome = f.text("");
    f.check_stored(
        &outcome,
        &expect![[r#"
        h{instance="i", job="j"} stale histogram @2000
        up{instance="i", job="j"} 1 @2000
    "#]],
    );
}

#[test]
fn classic_buckets_are_stored_where_that_is_configured() {
    let mut f = fixture("");
    let outcome = f.protobuf(family(3.0, &[]));
    f.check_stored(
        &outcome,
        &expect![[r#"
        h_bucket{instance="i", job="j", le="+Inf"} 2 @1000
        h_bucket{instance="i", job="j", le="0.5"} 1 @1000
        h_count{instance="i", job="j"} 2 @1000
        h_sum{instance="i", job="j"} 3 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    // The same series as text.
    let tally = f
        .text("# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\n")
        .tally;
    assert_eq!((tally.appended, tally.series_added), (4, 0));
    f.storage.take();
    let mut f = fixture("scrape_native_histograms: true\nalways_scrape_classic_histograms: true");
    let outcome = f.protobuf(family(3.0, &[]));
    f.check_stored(
        &outcome,
        &expect![[r#"
        h{instance="i", job="j"} 3 histogram @1000
        h_bucket{instance="i", job="j", le="+Inf"} 2 @1000
        h_bucket{instance="i", job="j", le="0.5"} 1 @1000
        h_count{instance="i", job="j"} 2 @1000
        h_sum{instance="i", job="j"} 3 @1000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
}

#[test]
fn exemplars_that_the_last_answer_had_are_not_stored_again() {
    let mut f = fixture("scrape_native_histograms: true");
    assert_eq!(f.protobuf(family(3.0, &[2, 1])).error.map(|e| e.to_string()), None);
    assert_eq!(f.storage.exemplar_count(), 2);
    let outcome = f.protobuf(family(4.0, &[3, 1, 2]));
    assert_eq!((f.storage.exemplar_count(), outcome.tally.rejected), (3, Rejected::default()));
}

#[test]
fn a_broken_message_is_a_failed_scrape() {
    let mut f = fixture("scrape_native_histograms: true");
    let mut body = family(3.0, &[]);
    body.pop();
    let outcome = f.protobuf(body);
    f.check_stored(
        &outcome,
        &expect![[r#"
        error: metric family 1: message runs past the end
        up{instance="i", job="j"} 0 @1000
    "#]],
    );
}

#[test]
fn starts_are_stored_with_counters_and_histograms() {
    let since = |number, secs| bytes(number, &varint(1, secs));
    let family = |name: &[u8], kind, metric: &[u8]| {
        let content = [bytes(1, name), varint(3, kind), bytes(4, metric)].concat();
        bytes(1, &content).split_off(1)
    };
    let native = [varint(1, 2), double(2, 3.0), bytes(12, &varint(2, 1)), bytes(13, &[4])].concat();
    let summary = [varint(1, 4), double(2, 5.0), bytes(3, &double(1, 0.5)), since(4, 9)].concat();
    let body = [
        family(b"c_total", 0, &bytes(3, &[double(1, 7.0), since(3, 2)].concat())),
        family(b"g", 1, &bytes(2, &double(1, 7.0))),
        family(b"n", 4, &bytes(7, &[&native[..], &since(15, 3)].concat())),
        family(b"k", 4, &bytes(7, &[varint(1, 1), double(2, 0.5), since(15, 4)].concat())),
        family(b"s", 2, &bytes(4, &summary)),
    ];
    let mut f = fixture("scrape_native_histograms: true");
    let outcome = f.protobuf(body.concat());
    f.check_stored(
        &outcome,
        &expect![[r#"
        c_total{instance="i", job="j"} 7 @1000 since 2000
        g{instance="i", job="j"} 7 @1000
        k_bucket{instance="i", job="j", le="+Inf"} 1 @1000 since 4000
        k_count{instance="i", job="j"} 1 @1000 since 4000
        k_sum{instance="i", job="j"} 0.5 @1000 since 4000
        n{instance="i", job="j"} 3 histogram @1000 since 3000
        s{instance="i", job="j", quantile="0.5"} 0 @1000
        s_count{instance="i", job="j"} 4 @1000 since 9000
        s_sum{instance="i", job="j"} 5 @1000 since 9000
        up{instance="i", job="j"} 1 @1000
    "#]],
    );
    // Again, by reference, and again after storage has let go of the series.
    for forget in [false, true] {
        if forget {
            f.storage.forget_series();
        }
        let outcome = f.protobuf(body.concat());
        assert!(outcome.error.is_none());
        let stored = f.storage.take();
        assert_eq!(stored.matches(" since ").count(), 7, "forget: {forget}\n{stored}");
    }
}
