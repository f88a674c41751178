//! What collectors of each language cost a server: a hundred of them, collected every second.
//!
//! Each plugin in turn is run a hundred times by one server, first with no series and then with a thousand. What is measured
//! is the whole call, the guest's own work included, and the whole server, storing the samples included: what the host adds is
//! less than either.
//!
//! ```text
//! cargo build --release -p server
//! cargo run --release -p benches --bin plugins -- many-rust.wasm many-c.wasm many-go.wasm many-js.wasm many-python.wasm
//! ```

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use benches::compare::Table;
use benches::{Peer, Product};
use clap::Parser;

/// How long after it is ready a server is left alone, so that the first collections are over.
const SETTLE: Duration = Duration::from_secs(5);
const MIB: f64 = (1 << 20) as f64;

/// Measure collectors.
#[derive(Debug, Parser)]
struct Args {
    /// Components that yield as many series as `series` in their configuration says; the name of the file is the column's.
    #[arg(required = true)]
    plugins: Vec<PathBuf>,
    /// How many of each a server runs.
    #[arg(long, default_value_t = 100)]
    instances: usize,
    /// How long each is measured.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    println!("{} collectors of each, every second, measured for {} s", args.instances, args.seconds);
    let mut table = Table::default();
    for file in &args.plugins {
        for series in [0, 1_000] {
            measure(file, series, &args, &mut table)?;
        }
    }
    println!("{table}");
    Ok(())
}

fn measure(file: &Path, series: usize, args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let column = file.file_stem().and_then(|stem| stem.to_str()).context("the file has no name")?;
    let folder = tempfile::tempdir()?;
    let file = std::path::absolute(file)?;
    let mut config = String::from("plugins:\n");
    for index in 0..args.instances {
        config += &format!(
            "  - {{name: p{index}, plugin: {}, interval: 1s, config: {{series: {series}}}}}\n",
            file.display()
        );
    }
    let started = Instant::now();
    let peer = Peer::start(Product::Stormglass, folder.path(), &config, &[])?;
    let ready = started.elapsed();
    thread::sleep(SETTLE);
    let (before, calls, usage) = (Instant::now(), Calls::read(&peer)?, peer.usage()?);
    thread::sleep(Duration::from_secs(args.seconds));
    let (after, length) = (peer.usage()?, before.elapsed().as_secs_f64());
    let done = Calls::read(&peer)?;
    let count = done.count - calls.count;
    ensure!(count > 0.0, "{column}: nothing was collected");
    let cpu = (after.cpu - usage.cpu).as_secs_f64();
    let mut set = |row: &str, value: String| table.set(&format!("{series} series: {row}"), column, value);
    set("from start to ready, s", format!("{:.1}", ready.as_secs_f64()));
    set("a call, ms", format!("{:.2}", (done.seconds - calls.seconds) * 1e3 / count));
    set("processor for a collection, ms", format!("{:.2}", cpu * 1e3 / count));
    set("processor, share of one core", format!("{:.0} %", cpu * 100.0 / length));
    // One that was due as the measuring began or ended counts for either side.
    let missed = (args.instances as f64 * (length - 1.0) - count).max(0.0);
    set("collections missed", format!("{missed:.0}"));
    set("memory of a guest, MiB", format!("{:.2}", done.memory_bytes / args.instances as f64 / MIB));
    set("resident, MiB", format!("{:.0}", after.resident_bytes as f64 / MIB));
    Ok(())
}

/// What a server has told of the calls of its plugins.
struct Calls {
    count: f64,
    seconds: f64,
    memory_bytes: f64,
}

impl Calls {
    fn read(peer: &Peer) -> anyhow::Result<Self> {
        let text = ureq::get(&format!("{}/metrics", peer.base())).call()?.into_body().read_to_string()?;
        let sum = |name: &str, label: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
        };
        let collect = "operation=\"collect\"";
        Ok(Self {
            count: sum("stormglass_plugin_call_duration_seconds_count", collect),
            seconds: sum("stormglass_plugin_call_duration_seconds_sum", collect),
            memory_bytes: sum("stormglass_plugin_memory_bytes", ""),
        })
    }
}
