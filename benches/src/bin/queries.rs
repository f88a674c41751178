//! Queries over HTTP, timed beside other servers: the same data pushed to each, the same questions in turn, in one run.
//!
//! `cargo run --release -p benches --bin queries -- --help`. It needs the server built in the same way, and `prometheus`
//! (for `--million` also `victoria-metrics`) where programs are found.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use benches::queries::{Cell, Data, SIZES, TEMPLATES, Table, fill_in};
use benches::{Answer, Asker, Peer, Product, Question, STEP_MS, Times};
use clap::Parser;

/// What steps range queries have, beside the instant ones.
const STEPS: [usize; 3] = [1, 100, 1_000];
/// The longest window of the templates, in steps, and a little more.
const WINDOW_STEPS: usize = 260;
/// Fewer repetitions have no median worth the name; more than the latter tell nothing new.
const REPETITIONS: std::ops::RangeInclusive<u32> = 3..=15;

/// Times queries over HTTP, beside Prometheus.
#[derive(Debug, Parser)]
struct Args {
    /// Only expressions that contain this.
    #[arg(long, default_value = "")]
    filter: String,
    /// No more series than this in one expression.
    #[arg(long, default_value_t = 1_000)]
    series_max: usize,
    /// No more steps than this.
    #[arg(long, default_value_t = 1_000)]
    steps_max: usize,
    /// How long one question may be repeated, of each server.
    #[arg(long, default_value_t = 300)]
    budget_ms: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let peers = start(&[Product::Stormglass, Product::Prometheus], folder.path())?;
    let asker = Asker::default();
    let data = Data::of_templates(args.series_max, args.steps_max + WINDOW_STEPS);
    let end_ms = data.end_ms();
    push(data, &peers, &asker)?;
    tell_memory("after the data came", &peers)?;

    let mut table = Table::default();
    let mut differences = Vec::new();
    for template in TEMPLATES.iter().filter(|template| template.contains(&args.filter)) {
        for (series, word) in SIZES.iter().filter(|(series, _)| *series <= args.series_max) {
            for steps in STEPS.iter().filter(|steps| **steps <= args.steps_max) {
                let question = Question { text: fill_in(template, word), times: times(end_ms, *steps) };
                let (medians, difference) = measure(&peers, &asker, &question, args.budget_ms)?;
                differences.extend(difference.map(|difference| format!("{question}: {difference}")));
                table.add(Cell { text: (*template).to_owned(), series: *series, steps: *steps, medians });
            }
        }
    }
    println!("\nMilliseconds, ours first.\n\n{table}");
    tell_memory("after the questions", &peers)?;
    for peer in &peers {
        println!("{}", table.summary(peer.product()).unwrap_or_default());
    }
    println!("{} answers differ", differences.len());
    for difference in differences {
        println!("  {difference}");
    }
    Ok(())
}

fn start(products: &[Product], folder: &Path) -> io::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for product in products {
        println!("{}: {}", product.name(), product.version()?);
        peers.push(Peer::start(*product, &folder.join(product.name()), "", &[])?);
    }
    Ok(peers)
}

/// Pushes all data to all servers.
fn push(data: Data, peers: &[Peer], asker: &Asker) -> io::Result<()> {
    let (mut samples, mut took) = (0, vec![Duration::ZERO; peers.len()]);
    println!("{} series", data.series_count());
    data.push(|part, body| {
        samples += part.samples;
        for (peer, took) in peers.iter().zip(&mut took) {
            let start = Instant::now();
            asker.write(peer.base(), body)?;
            *took += start.elapsed();
        }
        Ok(())
    })?;
    for (peer, took) in peers.iter().zip(took) {
        println!("{} took {samples} samples in {took:.1?}", peer.product().name());
    }
    Ok(())
}

fn times(end_ms: i64, steps: usize) -> Times {
    match steps {
        1 => Times::Instant { at_ms: end_ms },
        _ => Times::Range { start_ms: end_ms - (steps as i64 - 1) * STEP_MS, end_ms, step_ms: STEP_MS },
    }
}

/// Asks all servers in turn, again and again, and compares what they answered first.
fn measure(
    peers: &[Peer],
    asker: &Asker,
    question: &Question,
    budget_ms: u64,
) -> io::Result<(BTreeMap<Product, Duration>, Option<String>)> {
    let mut answers = Vec::new();
    let mut slowest = Duration::ZERO;
    for peer in peers {
        let start = Instant::now();
        let reply = asker.ask(peer.base(), question)?;
        slowest = slowest.max(start.elapsed());
        answers.push(Answer::read(&reply).map_err(io::Error::other)?);
    }
    let difference = answers.get(1).and_then(|other| answers[0].difference(other, false));
    drop(answers);
    let fit = (Duration::from_millis(budget_ms).as_nanos() / slowest.as_nanos().max(1)) as u32;
    let repetitions = fit.clamp(*REPETITIONS.start(), *REPETITIONS.end());
    let mut taken: BTreeMap<Product, Vec<Duration>> = BTreeMap::new();
    for _ in 0..repetitions {
        for peer in peers {
            let start = Instant::now();
            let reply = asker.ask(peer.base(), question)?;
            let elapsed = start.elapsed();
            if reply.status != 200 {
                return Err(io::Error::other(format!(
                    "{question}: {}",
                    String::from_utf8_lossy(&reply.body)
                )));
            }
            taken.entry(peer.product()).or_default().push(elapsed);
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Ok((taken.into_iter().map(|(product, times)| (product, median(times))).collect(), difference))
}

fn tell_memory(when: &str, peers: &[Peer]) -> io::Result<()> {
    for peer in peers {
        let usage = peer.usage()?;
        let mib = |bytes: u64| bytes >> 20;
        println!(
            "{} {when}: {} MiB resident ({} MiB of it anonymous, {} MiB at the most), {:.1?} of processor time",
            peer.product().name(),
            mib(usage.resident_bytes),
            mib(usage.anonymous_bytes),
            mib(usage.resident_bytes_max),
            usage.cpu,
        );
    }
    Ok(())
}
