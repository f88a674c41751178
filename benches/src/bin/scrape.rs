//! Stormglass beside Prometheus, scraping the same targets: processor time, memory, and scrapes that were missed.
//!
//! Each server in turn finds the targets through `http_sd_configs` and scrapes them for the time that is asked for.
//! What is measured begins once every target has been scraped.
//!
//! ```text
//! cargo build --release -p server
//! cargo run --release -p benches --bin scrape -- --targets 1000 --minutes 10
//! cargo run --release -p benches --bin scrape -- --targets 10000 --series 100 --minutes 5 --servers stormglass
//! ```

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use benches::compare::Table;
use benches::load::{Load, Recording, serve};
use benches::{Peer, Product, Usage};
use clap::{Parser, ValueEnum};
use serde_json::Value;

/// How long a server may take until it has scraped every target, beyond one interval.
const FIRST_SCRAPES_WITHIN: Duration = Duration::from_secs(120);
const MIB: f64 = (1 << 20) as f64;

/// Measure servers that scrape the same targets.
#[derive(Debug, Parser)]
struct Args {
    /// How many node_exporters.
    #[arg(long, default_value_t = 100)]
    targets: usize,
    /// How many series of each; by default all 1,326.
    #[arg(long)]
    series: Option<usize>,
    /// Time between two scrapes of a target.
    #[arg(long, default_value = "15s", value_parser = model::parse_duration)]
    interval: Duration,
    /// How long each server is measured.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Whom; by default whoever is installed.
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Stormglass,
    Prometheus,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut recording = Recording::included()?;
    if let Some(series) = args.series {
        recording.truncate(series);
    }
    println!(
        "{} targets of {} series every {:?}, measured for {} minutes",
        args.targets,
        recording.series_count(),
        args.interval,
        args.minutes
    );
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let load = Load {
        targets: args.targets,
        interval: args.interval,
        churn_percent: 0.0,
        churn_period: Duration::ZERO,
        seed: 1,
    };
    // Ends with this process.
    thread::spawn(move || serve(&listener, recording, load));
    let interval = format!("{}ms", args.interval.as_millis());
    let config = format!(
        "global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\nscrape_configs:\n  - job_name: node\n    \
         http_sd_configs:\n      - {{url: 'http://{address}/targets', refresh_interval: 1h}}\n"
    );
    let asked = |product: Product| {
        args.servers.is_empty()
            || args.servers.iter().any(|name| {
                matches!(
                    (name, product),
                    (Name::Stormglass, Product::Stormglass) | (Name::Prometheus, Product::Prometheus)
                )
            })
    };
    let mut table = Table::default();
    for product in [Product::Stormglass, Product::Prometheus] {
        if asked(product) && product.program().is_some() {
            measure(product, &config, &args, &mut table)?;
        }
    }
    println!("{table}");
    Ok(())
}

fn measure(product: Product, config: &str, args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let peer = Peer::start(product, folder.path(), config, &[])?;
    let began = Instant::now();
    // Every target once, and the storage of series that are new with it.
    while number(&peer, "count(up{job=\"node_exporter\"} == 1)", None)? < args.targets as f64 {
        if began.elapsed() > args.interval + FIRST_SCRAPES_WITHIN {
            bail!("{} has not scraped every target after {:?}", product.name(), began.elapsed());
        }
        thread::sleep(Duration::from_secs(1));
    }
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    let (before, started) = (peer.usage()?, Instant::now());
    let mut resident: Vec<Usage> = Vec::new();
    while started.elapsed() < length {
        thread::sleep(Duration::from_secs(1).min(length.saturating_sub(started.elapsed())));
        resident.push(peer.usage()?);
    }
    let after = peer.usage()?;
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    // Ranges end a little in the past, so that no scrape is still on its way.
    let window = format!("{}ms", (length.as_millis() as u64).max(1));
    let at = now_secs() - 2.0;
    let scrapes =
        number(&peer, &format!("sum(count_over_time(up{{job=\"node_exporter\"}}[{window}]))"), Some(at))?;
    let down = number(
        &peer,
        &format!("sum(count_over_time(up{{job=\"node_exporter\"}}[{window}]) - sum_over_time(up[{window}]))"),
        Some(at),
    )?;
    let expected = (args.targets as f64 * (length.as_secs_f64() / args.interval.as_secs_f64())).floor();
    let samples = number(&peer, "sum(scrape_samples_scraped{job=\"node_exporter\"})", None)?;
    let mean = |of: fn(&Usage) -> u64| {
        resident.iter().map(|usage| of(usage) as f64).sum::<f64>() / resident.len().max(1) as f64
    };
    let name = product.name();
    let mut set = |row: &str, value: String| table.set(row, name, value);
    set("version", product.version()?);
    set("samples per round", format!("{samples}"));
    set("processor, share of one core", format!("{:.1} %", cpu * 100.0 / length.as_secs_f64()));
    set("processor, µs per sample", format!("{:.2}", cpu * 1e6 / (scrapes * samples / args.targets as f64)));
    set(
        "resident, mean (anonymous)",
        format!(
            "{:.0} MiB ({:.0})",
            mean(|usage| usage.resident_bytes) / MIB,
            mean(|usage| usage.anonymous_bytes) / MIB
        ),
    );
    set("resident, most", format!("{:.0} MiB", after.resident_bytes_max as f64 / MIB));
    set("scrapes, expected at least", format!("{expected}"));
    set("scrapes, stored", format!("{scrapes}"));
    set("scrapes, failed", format!("{down}"));
    Ok(())
}

fn now_secs() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// The one value of a query; zero where there is none.
fn number(peer: &Peer, query: &str, at: Option<f64>) -> anyhow::Result<f64> {
    let url = format!("{}/api/v1/query", peer.base());
    let mut request = ureq::get(&url).query("query", query);
    if let Some(at) = at {
        request = request.query("time", at.to_string());
    }
    let text = request.call().context(query.to_owned())?.into_body().read_to_string()?;
    let answer: Value = serde_json::from_str(&text)?;
    let value = answer["data"]["result"][0]["value"][1].as_str();
    Ok(value.map_or(Ok(0.0), str::parse)?)
}
