//! The load generator's command line; `load --help` says what there is.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use benches::load::{Destination, Load, Pace, Recording, Sender, serve};
use clap::{Args, Parser, Subcommand};

/// Many targets like one recorded node_exporter: sent by remote write, or served to be scraped.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send samples by remote write 1.0 and report what became of them.
    Write {
        /// The receiver, such as http://127.0.0.1:9090/api/v1/write.
        #[arg(long)]
        url: String,
        /// Samples per request at most.
        #[arg(long, default_value_t = 2_000)]
        batch: usize,
        /// Connections; each waits for its answer before it sends on.
        #[arg(long, default_value_t = 2)]
        connections: usize,
        /// How much time the samples cover.
        #[arg(long, default_value = "1h", value_parser = model::parse_duration)]
        span: Duration,
        /// Send each sample at its time, from now on, rather than a past span as fast as it is taken.
        #[arg(long)]
        real_time: bool,
        #[command(flatten)]
        load: LoadArgs,
    },
    /// Serve the targets' pages, and a list of them for http_sd_configs at /targets.
    Serve {
        /// The address to listen on.
        #[arg(long, default_value = "127.0.0.1:9109")]
        listen: String,
        #[command(flatten)]
        load: LoadArgs,
    },
    /// Make a recording of pages that were saved one interval apart, oldest first.
    Record {
        /// Where to write it.
        #[arg(long)]
        out: PathBuf,
        /// The pages.
        #[arg(required = true)]
        pages: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Exporters.
    #[arg(long, default_value_t = 100)]
    targets: usize,
    /// Time between two scrapes of a target.
    #[arg(long, default_value = "15s", value_parser = model::parse_duration)]
    interval: Duration,
    /// Percent of the targets that are replaced each period.
    #[arg(long, default_value_t = 0.0)]
    churn_percent: f64,
    /// That period.
    #[arg(long, default_value = "10m", value_parser = model::parse_duration)]
    churn_period: Duration,
    /// Chooses the order of the recorded steps.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Another recording than the included one.
    #[arg(long)]
    recording: Option<PathBuf>,
}

impl LoadArgs {
    fn read(self) -> anyhow::Result<(Recording, Load)> {
        let recording = match &self.recording {
            Some(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
                Recording::read(&bytes)?
            }
            None => Recording::included()?,
        };
        eprintln!(
            "{} targets of {} series, of which {} move",
            self.targets,
            recording.series_count(),
            recording.moving_count()
        );
        let load = Load {
            targets: self.targets,
            interval: self.interval,
            churn_percent: self.churn_percent,
            churn_period: self.churn_period,
            seed: self.seed,
        };
        Ok((recording, load))
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Write { url, batch, connections, span, real_time, load } => {
            let (recording, load) = load.read()?;
            let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
            let (start_ms, pace) = match real_time {
                true => (now_ms, Pace::RealTime),
                false => (now_ms - span.as_millis() as i64, Pace::Simulated),
            };
            let scrapes = (span.as_millis() / load.interval.as_millis().max(1)) as usize;
            let destination = Destination { url, batch_samples: batch, connections };
            let report = Sender::new(&recording, load, destination, start_ms).send(scrapes, pace)?;
            println!("{}", report.text());
        }
        Command::Serve { listen, load } => {
            let (recording, load) = load.read()?;
            let listener = TcpListener::bind(&listen).with_context(|| format!("listen on {listen}"))?;
            serve(&listener, recording, load)?;
        }
        Command::Record { out, pages } => {
            let read = |path: &PathBuf| {
                std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
            };
            let pages = pages.iter().map(read).collect::<anyhow::Result<Vec<String>>>()?;
            std::fs::write(&out, Recording::write(&pages)?)
                .with_context(|| format!("write {}", out.display()))?;
        }
    }
    Ok(())
}
