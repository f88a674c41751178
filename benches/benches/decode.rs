//! Decoding what comes in: a page of text as a scraper reads it, which builds no labels for series that it knows,
//! and a remote write request, labels included.

use std::hint::black_box;
use std::io;
use std::time::Duration;

use benches::{FIRST_TIME_MS, Fingerprint, Fleet, Scale};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use formats::exposition::{Entry, Format, ParseError, parse, write_sample};
use formats::remote_write::{Limits, decode, encode};
use formats::{TimeSeries, WriteRequest};
use model::{Sample, Timestamp};

const FLEET: Fleet = Fleet { series_per_target: 1_000 };

/// One page of a target.
fn exposition(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
    let series_count = scale.pick(100, 1_000);
    let mut page = String::new();
    for number in 0..series_count {
        let value = FLEET.values(number).next_value();
        write_sample(&mut page, &FLEET.labels(number), value, None);
    }
    let read = |fingerprint: &mut Fingerprint, full: bool| {
        parse::<ParseError>(Format::PrometheusText, page.as_bytes(), &mut |entry| {
            if let Entry::Sample(sample) = entry {
                black_box(sample.value);
                if full {
                    fingerprint.float(sample.value);
                }
            }
            Ok(())
        })
    };
    let mut fingerprint = Fingerprint::default();
    read(&mut fingerprint, true).map_err(io::Error::other)?;
    fingerprint.print("text exposition");
    group.throughput(Throughput::Elements(series_count as u64));
    group.bench_function("text exposition", |bencher| {
        bencher.iter(|| read(&mut Fingerprint::default(), false).expect("parse"));
    });
    Ok(())
}

/// One request of one sample per series.
fn remote_write(group: &mut BenchmarkGroup<'_, WallTime>, scale: Scale) -> io::Result<()> {
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
    let (request, _) = decode(&body, &limits).map_err(io::Error::other)?;
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

fn main() -> io::Result<()> {
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
