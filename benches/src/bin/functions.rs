//! What a function of a plugin costs within a query: over HTTP, of a hundred series at a thousand steps, which are 100,000 points.
//!
//! Each component is the functions of the conformance cases in one language. Its `scale` is asked for beside the arithmetic
//! that does the same, so that the difference is what the plugin takes: its own work, and the way there and back.
//!
//! ```text
//! cargo build --release -p server
//! cargo run --release -p benches --bin functions -- rust-functions.wasm js-functions.wasm
//! ```

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use benches::compare::Table;
use benches::queries::Data;
use benches::{Answer, Asker, Peer, Product, Question, Times};
use clap::Parser;

/// Series that an expression is about, and steps.
const SERIES: usize = 100;
const STEPS: usize = 1_000;
/// More steps of data than are asked about, for the windows of the templates' data.
const MORE_STEPS: usize = 260;
const MIB: f64 = (1 << 20) as f64;

/// Measure functions of plugins within queries.
#[derive(Debug, Parser)]
struct Args {
    /// Components with a function `scale`; the name of the file is the column's.
    #[arg(required = true)]
    plugins: Vec<PathBuf>,
    /// How long one question is repeated.
    #[arg(long, default_value_t = 3_000)]
    budget_ms: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let end_ms = since.as_secs() as i64 / 60 * 60_000;
    println!(
        "{SERIES} series at {STEPS} steps; the median of what a client waits, and the server's processor time\n"
    );
    let mut table = Table::default();
    for file in &args.plugins {
        measure(file, end_ms, &args, &mut table)?;
    }
    println!("{table}");
    Ok(())
}

fn measure(file: &Path, end_ms: i64, args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let column = file.file_stem().and_then(|stem| stem.to_str()).context("the file has no name")?;
    let folder = tempfile::tempdir()?;
    let entry = std::path::absolute(file)?;
    let config = format!("plugins: [{{name: functions, plugin: {}}}]\n", entry.display());
    let peer = Peer::start(Product::Stormglass, folder.path(), &config, &[])?;
    let asker = Asker::default();
    Data::of_templates(SERIES, STEPS + MORE_STEPS, end_ms).push(|_, body| asker.write(peer.base(), body))?;

    let range = |text: &str| {
        let start_ms = end_ms - (STEPS as i64 - 1) * benches::STEP_MS;
        let times = Times::Range { start_ms, end_ms, step_ms: benches::STEP_MS };
        Question { text: text.to_owned(), times }
    };
    // Both answer with all points, so that what the answer costs is in either.
    let (built_in, plugin) = (range("a_hundred * 2"), range("wasm_scale(a_hundred, 2)"));
    let read = |question| -> anyhow::Result<Answer> {
        Answer::read(&asker.ask(peer.base(), question)?).map_err(anyhow::Error::msg)
    };
    let difference = read(&built_in)?.difference(&read(&plugin)?, false);
    ensure!(difference.is_none(), "{column} answers something else: {difference:?}");

    let (waited, used) = ask(&peer, &asker, &built_in, args)?;
    let (waited_plugin, used_plugin) = ask(&peer, &asker, &plugin, args)?;
    let mut set = |row: &str, value: Duration| {
        table.set(row, column, format!("{:.2}", value.as_secs_f64() * 1e3));
    };
    set("`a_hundred * 2`, ms", waited);
    set("`wasm_scale(a_hundred, 2)`, ms", waited_plugin);
    set("the plugin's part, ms", waited_plugin.saturating_sub(waited));
    set("`a_hundred * 2`: processor, ms", used);
    set("`wasm_scale(a_hundred, 2)`: processor, ms", used_plugin);
    set("the plugin's part: processor, ms", used_plugin.saturating_sub(used));
    table.set("resident, MiB", column, format!("{:.0}", peer.usage()?.resident_bytes as f64 / MIB));
    Ok(())
}

/// Asks again and again: the median of what the client waits, and the processor time of one answer.
fn ask(peer: &Peer, asker: &Asker, question: &Question, args: &Args) -> anyhow::Result<(Duration, Duration)> {
    let (before, begun, mut times) = (peer.usage()?.cpu, Instant::now(), Vec::new());
    while times.len() < 3 || begun.elapsed() < Duration::from_millis(args.budget_ms) {
        let (status, elapsed) = asker.time(peer.base(), question)?;
        ensure!(status == 200, "{question} is answered with status {status}");
        times.push(elapsed);
    }
    let used = (peer.usage()?.cpu - before) / u32::try_from(times.len())?;
    times.sort_unstable();
    Ok((times.get(times.len() / 2).copied().unwrap_or_default(), used))
}
