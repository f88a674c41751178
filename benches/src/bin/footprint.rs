//! What series and samples take: resident memory per series after many appear, bytes per sample on disk, the time of
//! a restart.
//!
//! `cargo run --release -p benches --bin footprint [series] [steps]`

use std::io;
use std::time::Instant;

use benches::{Database, Fleet, Usage};

const FLEET: Fleet = Fleet { series_per_target: 1_000 };

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().map_err(io::Error::other));
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
