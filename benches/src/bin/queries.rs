//! Queries over HTTP, timed beside other servers: the same data pushed to each, the same questions in turn, in one run.
//!
//! `cargo run --release -p benches --bin queries -- --help`. It needs the server built in the same way, and `prometheus`
//! (for `--many` also `victoria-metrics`) where programs are found.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use benches::queries::{COSTS, Cell, Data, MANY, SIZES, TEMPLATES, Table, fill_in};
use benches::{Answer, Asker, Peer, Product, Question, STEP_MS, Times};
use clap::Parser;

/// What steps range queries have, beside the instant ones.
const STEPS: [usize; 3] = [1, 100, 1_000];
/// The longest window of the templates, in steps, and a little more.
const WINDOW_STEPS: usize = 260;
/// An hour, and one step more.
const MANY_STEPS: usize = 242;
/// Fewer repetitions have no median worth the name; more than the latter tell nothing new.
const REPETITIONS: std::ops::RangeInclusive<usize> = 3..=15;
/// What takes longer than this is repeated once only.
const SLOW: Duration = Duration::from_secs(3);
/// For no longer than this a question is repeated that tells the cost of a request.
const COST_MAX: Duration = Duration::from_secs(2);
/// Longer answers are not compared: the same expression about fewer series has been.
const COMPARED_BYTES_MAX: usize = 8 << 20;

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
    /// Only questions about so many series; may be given several times, or with commas.
    #[arg(long, value_delimiter = ',')]
    only_series: Vec<usize>,
    /// Only questions of so many steps, likewise.
    #[arg(long, value_delimiter = ',')]
    only_steps: Vec<usize>,
    /// Once the data is in, tell where the servers are and wait for a line, so that they can be asked by hand.
    #[arg(long)]
    wait: bool,
    /// Ask some questions this many times instead, each for two seconds at most, and tell the processor time of one.
    #[arg(long, conflicts_with = "many")]
    cost: Option<usize>,
    /// Ask about very many series instead, beside VictoriaMetrics too.
    #[arg(long)]
    many: bool,
    /// How many those are; one in 32 of them has samples over an hour.
    #[arg(long, default_value_t = 1_024_000)]
    many_series: usize,
    /// How long one question may be repeated, of each server.
    #[arg(long, default_value_t = 300)]
    budget_ms: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let products = if args.many { &Product::ALL[..] } else { &Product::ALL[..2] };
    let peers = start(products, folder.path())?;
    let asker = Asker::default();
    let steps = if args.many { MANY_STEPS } else { args.steps_max + WINDOW_STEPS };
    let end_ms = last_minute()?;
    let data = match args.many {
        true => Data::of_many(args.many_series - args.many_series / 32, args.many_series / 32, steps, end_ms),
        false => Data::of_templates(args.series_max, steps, end_ms),
    };
    push(data, &peers, &asker)?;
    tell_memory("after the data came", &peers)?;
    if args.wait {
        peers
            .iter()
            .for_each(|peer| println!("{} is at {}, until {end_ms}", peer.product().name(), peer.base()));
        io::stdin().read_line(&mut String::new())?;
    }
    if let Some(count) = args.cost {
        return tell_costs(&peers, &asker, count, end_ms, &args);
    }

    let mut table = Table::default();
    let mut notes = Vec::new();
    let mut ask = |template: &str, text: String, series, steps| {
        let question = Question { text, times: times(end_ms, steps) };
        let measured = measure(&peers, &asker, &question, args.budget_ms)?;
        notes.extend(measured.notes.into_iter().map(|note| format!("{question}: {note}")));
        let cell = Cell { text: template.to_owned(), series, steps, medians: measured.medians };
        eprintln!("{question}, {series} series: {:?}", cell.medians);
        table.add(cell);
        io::Result::Ok(())
    };
    let wanted = |only: &[usize], number: usize| only.is_empty() || only.contains(&number);
    if args.many {
        for (text, steps) in MANY.iter().filter(|(text, _)| text.contains(&args.filter)) {
            ask(text, (*text).to_owned(), args.many_series, *steps)?;
        }
    } else {
        for template in TEMPLATES.iter().filter(|template| template.contains(&args.filter)) {
            for (series, word) in SIZES.iter().filter(|(series, _)| *series <= args.series_max) {
                for steps in STEPS.iter().filter(|steps| **steps <= args.steps_max) {
                    if wanted(&args.only_series, *series) && wanted(&args.only_steps, *steps) {
                        ask(template, fill_in(template, word), *series, *steps)?;
                    }
                }
            }
        }
    }
    println!("\nMilliseconds, ours first.\n\n{table}");
    tell_memory("after the questions", &peers)?;
    for peer in &peers[1..] {
        println!("{}", table.summary(peer.product()).unwrap_or_default());
    }
    println!("{} answers differ or are missing", notes.len());
    for note in notes {
        println!("  {note}");
    }
    Ok(())
}

/// The last whole minute.
fn last_minute() -> io::Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(since.as_secs() as i64 / 60 * 60_000)
}

fn start(products: &[Product], folder: &Path) -> io::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for product in products {
        println!("{}: {}", product.name(), product.version()?);
        // By default it refuses queries about so many series.
        let flags: &[&str] = match product {
            Product::VictoriaMetrics => &["-search.maxUniqueTimeseries=10000000"],
            _ => &[],
        };
        peers.push(Peer::start(*product, &folder.join(product.name()), "", flags)?);
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

/// What came of one question.
struct Measured {
    medians: BTreeMap<Product, Duration>,
    /// Where the first answers differ, and who did not answer.
    notes: Vec<String>,
}

/// Asks all servers in turn, again and again, and compares what they answered first.
fn measure(peers: &[Peer], asker: &Asker, question: &Question, budget_ms: u64) -> io::Result<Measured> {
    let (mut replies, mut notes, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    let mut slowest = Duration::ZERO;
    for peer in peers {
        let start = Instant::now();
        let reply = asker.ask(peer.base(), question)?;
        slowest = slowest.max(start.elapsed());
        if reply.status == 200 {
            asked.push(peer);
            replies.push(reply);
        } else {
            let said = String::from_utf8_lossy(&reply.body);
            notes.push(format!("{} after {:.1?}: {said}", peer.product().name(), start.elapsed()));
        }
    }
    // Ours and Prometheus' only: VictoriaMetrics has a language of its own.
    if replies.len() >= 2 && replies[..2].iter().all(|reply| reply.body.len() <= COMPARED_BYTES_MAX) {
        let [ours, theirs] =
            [&replies[0], &replies[1]].map(|reply| Answer::read(reply).map_err(io::Error::other));
        notes.extend(ours?.difference(&theirs?, false));
    }
    drop(replies);
    let fit = Duration::from_millis(budget_ms).as_nanos() / slowest.as_nanos().max(1);
    let repetitions = (fit as usize).clamp(*REPETITIONS.start(), *REPETITIONS.end());
    let repetitions = if slowest > SLOW { 1 } else { repetitions };
    let mut taken: BTreeMap<Product, Vec<Duration>> = BTreeMap::new();
    for _ in 0..repetitions {
        for peer in &asked {
            let (status, elapsed) = asker.time(peer.base(), question)?;
            if status == 200 {
                taken.entry(peer.product()).or_default().push(elapsed);
            }
        }
    }
    let medians = taken.into_iter().map(|(product, times)| (product, median(times))).collect();
    Ok(Measured { medians, notes })
}

/// Processor time of the server for a request, and the median of what the client waited.
fn tell_costs(peers: &[Peer], asker: &Asker, count: usize, end_ms: i64, args: &Args) -> io::Result<()> {
    let names: Vec<&str> = peers.iter().map(|peer| peer.product().name()).collect();
    println!("\nMicroseconds of the server's processors, and until the answer was there.\n");
    println!("| question | {} |\n|---|{}", names.join(" | "), "---|".repeat(peers.len()));
    for (text, steps) in COSTS.iter().filter(|(text, _)| text.contains(&args.filter)) {
        let question = Question { text: (*text).to_owned(), times: times(end_ms, *steps) };
        print!("| `{text}`, {steps} steps |");
        for peer in peers {
            // The first ones are planned, and connections opened.
            for _ in 0..3 {
                asker.time(peer.base(), &question)?;
            }
            let before = peer.usage()?.cpu;
            let mut taken = Vec::new();
            let started = Instant::now();
            while taken.len() < count && (taken.is_empty() || started.elapsed() < COST_MAX) {
                taken.push(asker.time(peer.base(), &question)?.1);
            }
            let cpu = (peer.usage()?.cpu - before).as_micros() / taken.len().max(1) as u128;
            print!(" {cpu}, {} |", median(taken).as_micros());
        }
        println!();
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
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
