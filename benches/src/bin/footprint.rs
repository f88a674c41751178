//! What series and samples take: resident memory per series after many appear, bytes per sample on disk, the time of
//! a restart.
//!
//! `cargo run --release -p benches --bin footprint [series] [steps]`
//!
//! With `churn`, what the load generator's exporters take in blocks, section by section, when one target in twenty is
//! replaced every ten minutes: `footprint churn [targets] [hours]`.

use std::io;
use std::time::{Duration, Instant};

use benches::load::{Load, Recording, fill};
use benches::{Database, FIRST_TIME_MS, Fleet, Usage};

const FLEET: Fleet = Fleet { series_per_target: 1_000 };

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let churn = args.next_if(|arg| arg == "churn").is_some();
    let mut args = args.map(|arg| arg.parse::<usize>().map_err(io::Error::other));
    if churn {
        return of_churn(args.next().unwrap_or(Ok(10))?, args.next().unwrap_or(Ok(24))?);
    }
    let series_count = args.next().unwrap_or(Ok(1_000_000))?;
    let steps = args.next().unwrap_or(Ok(2_400))?;

    let before = Usage::of_this_process()?.resident_bytes;
    let database = Database::create()?;
    let start = Instant::now();
    database.fill(&FLEET, series_count, 1)?;
    let created = start.elapsed();
    let after = Usage::of_this_process()?.resident_bytes;
    println!("{series_count} series, one sample each: {created:.1?}");
    println!("resident bytes per series: {}", after.saturating_sub(before) / series_count as u64);
    let start = Instant::now();
    let database = database.reopen()?;
    println!("closed and opened again: {:.1?}", start.elapsed());
    println!(
        "resident bytes per series then: {}",
        Usage::of_this_process()?.resident_bytes.saturating_sub(before) / series_count as u64
    );
    drop(database);

    let database = Database::create()?;
    let series_count = 2_000;
    let start = Instant::now();
    database.fill(&FLEET, series_count, steps)?;
    let stats = database.tsdb().stats();
    println!("{series_count} series, {steps} samples each, with maintenance: {:.1?}", start.elapsed());
    println!(
        "blocks: {} with {} samples, {:.3} bytes per sample, index and all",
        stats.blocks,
        stats.block_samples,
        stats.block_bytes as f64 / stats.block_samples.max(1) as f64
    );
    Ok(())
}

/// What blocks consist of, by their range.
fn of_churn(targets: usize, hours: usize) -> io::Result<()> {
    let load = Load {
        targets,
        interval: Duration::from_secs(15),
        churn_percent: 5.0,
        churn_period: Duration::from_secs(600),
        seed: 1,
    };
    let recording = Recording::included().map_err(io::Error::other)?;
    let database = Database::create()?;
    let start = Instant::now();
    fill(&database, &recording, &load, FIRST_TIME_MS, Duration::from_secs(hours as u64 * 3600))?;
    println!("{targets} targets for {hours} hours: {:.1?}", start.elapsed());
    let blocks = database.analyze()?.blocks;
    println!(
        "hours, series, samples, bytes per sample, index, all but chunks; bytes by section, of the series:"
    );
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let (mut bytes, mut index_bytes, mut samples) = (0, 0, 0);
    for block in &blocks {
        let of_chunks: u64 =
            block.sections.iter().filter(|(name, _)| *name == "chunks").map(|(_, n)| n).sum();
        println!(
            "{:.1} h, {}, {}, {:.4}, {:.2} %, {:.2} %; {:?}; {:?}",
            block.max_time.since(block.min_time) as f64 / 3_600_000.0,
            block.series,
            block.samples,
            block.bytes as f64 / block.samples.max(1) as f64,
            percent(block.index_bytes(), block.bytes),
            percent(block.bytes - of_chunks, block.bytes),
            block.sections,
            block.series_parts,
        );
        bytes += block.bytes;
        index_bytes += block.index_bytes();
        samples += block.samples;
    }
    println!(
        "all: {:.4} bytes per sample, index {:.2} %",
        bytes as f64 / samples.max(1) as f64,
        percent(index_bytes, bytes)
    );
    Ok(())
}
