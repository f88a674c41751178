//! Decoding what comes in: a page of text as a scraper reads it, which builds no labels for series that it knows,
//! and a remote write request, labels included.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::load::Recording;
use benches::{FIRST_TIME_MS, Fingerprint, Fleet, Scale};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use formats::exposition::{Entry, Format, ParseError, parse};
use formats::remote_write::{Limits, decode, encode};
use formats::{TimeSeries, WriteRequest};
use model::{METRIC_NAME, Sample, Timestamp};

const FLEET: Fleet = Fleet { series_per_target: 1_000 };

/// So often a page is read for its row of the table; the quickest counts, since nothing makes reading quicker than it is.
const ROUNDS: usize = 200;

/// A real page of node_exporter, in each format. What is measured is what a scraper does with series that it knows:
/// everything but building labels.
fn exposition(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> anyhow::Result<()> {
    let mut recording = Recording::included()?;
    recording.truncate(scale.pick(100, usize::MAX));
    let text = recording.page();
    let pages = [
        ("text", Format::PrometheusText, text.clone().into_bytes()),
        ("OpenMetrics", Format::OpenMetricsText, format!("{text}# EOF\n").into_bytes()),
        ("protobuf", Format::Protobuf, protobuf_page(&text)?),
    ];
    let mut table = String::from("| format | bytes per sample | ns per sample | MB/s |\n|---|---|---|---|\n");
    for (name, format, page) in pages {
        let read = |fingerprint: &mut Fingerprint, full: bool| {
            let mut count = 0;
            parse::<ParseError>(format, &page, &mut |entry| {
                if let Entry::Sample(sample) = entry {
                    black_box(sample.value);
                    count += 1;
                    if full {
                        fingerprint.float(sample.value);
                    }
                }
                Ok(())
            })
            .map(|()| count)
        };
        let mut fingerprint = Fingerprint::default();
        let samples: u64 = read(&mut fingerprint, true)?;
        fingerprint.print(&format!("exposition, {name}: {samples} samples, {} bytes", page.len()));
        group.throughput(Throughput::Elements(samples));
        group.bench_function(format!("exposition, {name}, samples"), |bencher| {
            bencher.iter(|| read(&mut Fingerprint::default(), false).expect("parse"));
        });
        let round = || {
            let began = Instant::now();
            read(&mut Fingerprint::default(), false).map(|_| began.elapsed())
        };
        let best = (0..scale.pick(1, ROUNDS)).map(|_| round()).collect::<Result<Vec<_>, _>>()?;
        let secs = best.into_iter().min().unwrap_or_default().as_secs_f64();
        let (bytes, count) = (page.len() as f64, samples as f64);
        writeln!(
            table,
            "| {name} | {:.0} | {:.0} | {:.0} |",
            bytes / count,
            secs * 1e9 / count,
            bytes / 1e6 / secs
        )?;
        group.throughput(Throughput::Bytes(page.len() as u64));
        group.bench_function(format!("exposition, {name}, bytes"), |bencher| {
            bencher.iter(|| read(&mut Fingerprint::default(), false).expect("parse"));
        });
    }
    println!("{table}");
    Ok(())
}

/// The page's samples as `io.prometheus.client.MetricFamily` messages: untyped, a family for each name.
fn protobuf_page(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut families: Vec<(String, Vec<u8>)> = Vec::new();
    parse::<ParseError>(Format::PrometheusText, text.as_bytes(), &mut |entry| {
        let Entry::Sample(sample) = entry else { return Ok(()) };
        let labels = sample.labels().map_err(|what| ParseError::Line { line: 0, what })?;
        let name = labels.metric_name().unwrap_or_default();
        let mut metric = Vec::new();
        for (label, value) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
            let mut pair = Vec::new();
            put_bytes(&mut pair, 1, label.as_bytes());
            put_bytes(&mut pair, 2, value.as_bytes());
            put_bytes(&mut metric, 1, &pair);
        }
        // Untyped { double value = 1 }.
        let value = [&[0x09], sample.value.to_le_bytes().as_slice()].concat();
        put_bytes(&mut metric, 5, &value);
        if families.last().is_none_or(|(last, _)| last != name) {
            let mut family = Vec::new();
            put_bytes(&mut family, 1, name.as_bytes());
            // MetricType UNTYPED.
            family.extend([0x18, 3]);
            families.push((name.to_owned(), family));
        }
        if let Some((_, family)) = families.last_mut() {
            put_bytes(family, 4, &metric);
        }
        Ok(())
    })?;
    let mut page = Vec::new();
    for (_, family) in families {
        put_varint(&mut page, family.len());
        page.extend(family);
    }
    Ok(page)
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len());
    out.extend(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One request of one sample per series.
fn remote_write(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> anyhow::Result<()> {
    let series_count = scale.pick(100, 2_000);
    let series = |number: usize| TimeSeries {
        labels: FLEET.labels(number),
        samples: vec![Sample {
            timestamp: Timestamp::from_millis(FIRST_TIME_MS),
            value: FLEET.values(number).next_value(),
        }],
        ..TimeSeries::default()
    };
    let body =
        encode(&WriteRequest { series: (0..series_count).map(series).collect(), metadata: Vec::new() });
    let limits = Limits { decompressed_bytes_max: 64 << 20, items_max: 1_000_000 };
    let (request, _) = decode(&body, &limits)?;
    let mut fingerprint = Fingerprint::default();
    for series in &request.series {
        fingerprint.bytes(series.labels.as_encoded());
        series.samples.iter().for_each(|sample| fingerprint.float(sample.value));
    }
    fingerprint.print("remote write");
    group.throughput(Throughput::Elements(series_count as u64));
    group.bench_function("remote write", |bencher| {
        bencher.iter(|| black_box(decode(&body, &limits).expect("decode")));
    });
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let scale = Scale::of_this_process();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    exposition(&mut group, scale)?;
    remote_write(&mut group, scale)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}
