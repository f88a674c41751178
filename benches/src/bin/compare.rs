//! Stormglass beside Prometheus and VictoriaMetrics, under the same loads in the same run; prints one table.
//!
//! ```text
//! cargo build --release -p server
//! cargo run --release -p benches --bin compare -- known new churn
//! ```

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use benches::compare::{Server, Table};
use benches::load::{Destination, Load, Pace, Recording, Report, Sender};
use benches::{Product, Usage};
use clap::{Parser, ValueEnum};

const INTERVAL: Duration = Duration::from_secs(15);
const CHURN_PERIOD: Duration = Duration::from_secs(600);
/// A query is asked so often; the first and the middle time are told.
const QUERIES: usize = 7;

/// Measure servers side by side: processor time, memory, disk and answers under the same load.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure.
    #[arg(value_enum, default_values_t = [Scenario::Known, Scenario::New, Scenario::Churn])]
    scenarios: Vec<Scenario>,
    /// Whom; by default whoever is installed.
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Name>,
    /// Series that are known.
    #[arg(long, default_value_t = 200_000)]
    known_series: usize,
    /// Samples of each of them.
    #[arg(long, default_value_t = 15)]
    known_samples: usize,
    /// Series that are new.
    #[arg(long, default_value_t = 1_000_000)]
    new_series: usize,
    /// Targets under churn.
    #[arg(long, default_value_t = 20)]
    churn_targets: usize,
    /// Hours of churn.
    #[arg(long, default_value_t = 24)]
    churn_hours: usize,
    /// Percent of the targets that are replaced every ten minutes.
    #[arg(long, default_value_t = 5.0)]
    churn_percent: f64,
    /// Samples per request.
    #[arg(long, default_value_t = 2_000)]
    batch: usize,
    /// Connections of the sender.
    #[arg(long, default_value_t = 2)]
    connections: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Series that are known, one sample of each per request.
    Known,
    /// A million new series, a count over them, a restart.
    New,
    /// A day of churn, then a range query.
    Churn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Stormglass,
    Prometheus,
    Victoriametrics,
}

impl Args {
    fn products(&self) -> Vec<Product> {
        let wanted = [
            (Name::Stormglass, Product::Stormglass),
            (Name::Victoriametrics, Product::VictoriaMetrics),
            (Name::Prometheus, Product::Prometheus),
        ];
        let chosen = |name, product: Product| match self.servers.as_slice() {
            [] => product.program().is_some(),
            names => names.contains(&name),
        };
        wanted
            .into_iter()
            .filter(|(name, product)| chosen(*name, *product))
            .map(|(_, product)| product)
            .collect()
    }

    fn sender<'r>(
        &self,
        recording: &'r Recording,
        server: &Server,
        targets: usize,
        start_ms: i64,
        churn_percent: f64,
    ) -> anyhow::Result<Sender<'r>> {
        let load = Load { targets, interval: INTERVAL, churn_percent, churn_period: CHURN_PERIOD, seed: 1 };
        let destination = Destination {
            url: server.url("/api/v1/write")?,
            batch_samples: self.batch,
            connections: self.connections,
        };
        Ok(Sender::new(recording, load, destination, start_ms))
    }
}

/// One server's column.
struct Column<'t> {
    table: &'t mut Table,
    name: &'static str,
}

impl Column<'_> {
    fn set(&mut self, row: &str, value: String) {
        eprintln!("  {row}: {value}");
        self.table.set(row, self.name, value);
    }

    fn memory(&mut self, when: &str, usage: Usage, series: u64) {
        let kib = |bytes: u64| bytes as f64 / 1024.0 / series.max(1) as f64;
        self.set(
            &format!("{when}: resident KiB/series (its own), peak MiB"),
            format!(
                "{:.2} ({:.2}), {}",
                kib(usage.resident_bytes),
                kib(usage.anonymous_bytes),
                usage.resident_bytes_max >> 20
            ),
        );
    }

    fn report(&mut self, what: &str, report: &Report, cpu: Duration) {
        self.set(
            &format!("{what}: server CPU s per million samples"),
            format!("{:.2}", cpu.as_secs_f64() / report.samples_accepted.max(1) as f64 * 1e6),
        );
        self.set(
            &format!("{what}: samples/s, latency p50 / p99"),
            format!(
                "{:.0} k, {:.1?} / {:.1?}",
                report.samples_accepted as f64 / report.elapsed.as_secs_f64() / 1e3,
                report.latency(0.5),
                report.latency(0.99)
            ),
        );
        if report.samples_accepted < report.samples_sent {
            let refused = report.samples_sent - report.samples_accepted;
            let why = report.refusal.clone().unwrap_or_default();
            let why: String = why.chars().take(100).collect();
            self.set(&format!("{what}: samples in refused requests"), format!("{refused} ({why})"));
        }
    }

    fn query(
        &mut self,
        what: &str,
        server: &Server,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let mut times = Vec::new();
        let mut bytes = 0;
        let mut answer = String::new();
        for _ in 0..QUERIES {
            let mut parameters = parameters.to_vec();
            // VictoriaMetrics would answer from what it has answered before.
            parameters.push(("nocache", "1"));
            let (body, took) = server.get(path, &parameters)?;
            bytes = body.len();
            answer = result_text(&body);
            times.push(took);
        }
        let first = times[0];
        times.sort_unstable();
        self.set(
            &format!("{what}: first, median of {QUERIES}; answer"),
            format!("{first:.1?}, {:.1?}; {answer}{bytes} bytes", times[times.len() / 2]),
        );
        Ok(())
    }
}

/// The value of an answer that has one, or how many series it has.
fn result_text(body: &str) -> String {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(body) else { return "no JSON".to_owned() };
    let result = json["data"]["result"].as_array().map_or(&[][..], Vec::as_slice);
    match result {
        [one] if one["value"].is_array() => format!("{}, ", one["value"][1].as_str().unwrap_or("?")),
        many => format!("{} series, ", many.len()),
    }
}

fn now_ms() -> anyhow::Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64)
}

/// The load, with the processor time that it took until the server had nothing to do any more.
fn measured(server: &Server, sender: &mut Sender<'_>, scrapes: usize) -> anyhow::Result<(Report, Duration)> {
    let before = server.usage()?.cpu;
    let report = sender.send(scrapes, Pace::Simulated)?;
    server.wait_idle()?;
    eprintln!("  {}", report.text());
    Ok((report, server.usage()?.cpu.saturating_sub(before)))
}

fn known(
    args: &Args,
    recording: &Recording,
    product: Product,
    column: &mut Column<'_>,
) -> anyhow::Result<()> {
    let server = Server::start(product)?;
    let targets = args.known_series.div_ceil(recording.series_count());
    let start_ms = now_ms()? - INTERVAL.as_millis() as i64 * (args.known_samples as i64 + 1);
    let mut sender = args.sender(recording, &server, targets, start_ms, 0.0)?;
    sender.send(1, Pace::Simulated)?;
    server.wait_idle()?;
    let (report, cpu) = measured(&server, &mut sender, args.known_samples)?;
    column.report("known series", &report, cpu);
    column.memory("known series", server.usage()?, (targets * recording.series_count()) as u64);
    Ok(())
}

fn new(args: &Args, recording: &Recording, product: Product, column: &mut Column<'_>) -> anyhow::Result<()> {
    let mut server = Server::start(product)?;
    let targets = args.new_series.div_ceil(recording.series_count());
    let series = (targets * recording.series_count()) as u64;
    let start_ms = now_ms()? - INTERVAL.as_millis() as i64;
    let mut sender = args.sender(recording, &server, targets, start_ms, 0.0)?;
    let before = server.usage()?.cpu;
    let report = sender.send(1, Pace::Simulated)?;
    let memory = server.usage()?;
    server.wait_idle()?;
    eprintln!("  {}", report.text());
    let cpu = server.usage()?.cpu.saturating_sub(before);
    column.report("new series", &report, cpu);
    column.memory("new series, right after", memory, series);
    column.memory("new series, when idle", server.usage()?, series);
    let time = format!("{:.3}", sender.time_ms() as f64 / 1e3);
    let count = "count({__name__=~\"node_(cpu|memory).+\",instance=~\"host-1.+\"})";
    let parameters = [("query", count), ("time", &time)];
    column.query("count over name and instance regexes", &server, "/api/v1/query", &parameters)?;
    let (stopped, ready) = server.restart()?;
    column.set("restart: stopped, ready again", format!("{stopped:.1?}, {ready:.2?}"));
    column.memory("new series, after the restart", server.usage()?, series);
    column.query("the same after the restart", &server, "/api/v1/query", &parameters)
}

fn churn(
    args: &Args,
    recording: &Recording,
    product: Product,
    column: &mut Column<'_>,
) -> anyhow::Result<()> {
    let mut server = Server::start(product)?;
    let span = Duration::from_secs(3600) * args.churn_hours as u32;
    let scrapes = (span.as_millis() / INTERVAL.as_millis()) as usize;
    let start_ms = now_ms()? - span.as_millis() as i64;
    let mut sender = args.sender(recording, &server, args.churn_targets, start_ms, args.churn_percent)?;
    let (report, cpu) = measured(&server, &mut sender, scrapes)?;
    let active = (args.churn_targets * recording.series_count()) as u64;
    let what = format!("{} h of churn", args.churn_hours);
    column.report(&what, &report, cpu);
    column.memory(&format!("{what}, per active series"), server.usage()?, active);
    server.settle()?;
    let disk = server.disk()?;
    let each = |bytes: u64| bytes as f64 / report.samples_accepted.max(1) as f64;
    column.set(&format!("{what}: bytes/sample in all"), format!("{:.3}", each(disk.total_bytes())));
    column.set(
        &format!("{what}: of which data, index apart, log, other"),
        format!(
            "{:.3}, {:.3}, {:.3}, {:.3}",
            each(disk.data_bytes),
            each(disk.index_bytes),
            each(disk.log_bytes),
            each(disk.other_bytes)
        ),
    );
    let end = format!("{:.3}", sender.time_ms() as f64 / 1e3);
    let start = format!("{:.3}", (sender.time_ms() - 3_600_000) as f64 / 1e3);
    for (name, query) in [
        ("1 h of one target, a step per minute", "{instance=\"host-0\"}"),
        ("1 h of a rate of all targets", "rate(node_cpu_seconds_total[5m])"),
    ] {
        let parameters = [("query", query), ("start", &start), ("end", &end), ("step", "60")];
        column.query(name, &server, "/api/v1/query_range", &parameters)?;
    }
    let (stopped, ready) = server.restart()?;
    column.set(&format!("{what}: stopped, ready again"), format!("{stopped:.1?}, {ready:.2?}"));
    column.memory(&format!("{what}, after the restart"), server.usage()?, active);
    let disk = server.disk()?;
    column.set(
        &format!("{what}: bytes/sample after the restart: all; data, index apart, log, other"),
        format!(
            "{:.3}; {:.3}, {:.3}, {:.3}, {:.3}",
            each(disk.total_bytes()),
            each(disk.data_bytes),
            each(disk.index_bytes),
            each(disk.log_bytes),
            each(disk.other_bytes)
        ),
    );
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let recording = Recording::included()?;
    eprintln!("{} series per target, {} of them move", recording.series_count(), recording.moving_count());
    let mut table = Table::default();
    let products = args.products();
    for scenario in &args.scenarios {
        for product in &products {
            eprintln!("{} under {scenario:?}", product.name());
            let started = Instant::now();
            let mut column = Column { table: &mut table, name: product.name() };
            let run = match scenario {
                Scenario::Known => known,
                Scenario::New => new,
                Scenario::Churn => churn,
            };
            run(&args, &recording, *product, &mut column)
                .with_context(|| format!("measure {} under {scenario:?}", product.name()))?;
            eprintln!("  took {:.0?}", started.elapsed());
        }
    }
    println!("{table}");
    Ok(())
}
