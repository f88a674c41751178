//! Gives every target damaged copies of good inputs for as long as one likes: for machines without libFuzzer, which finds
//! more for knowing which paths an input has taken.
//!
//! `cargo run --release -p fuzz --bin mutate -- SECONDS [TARGET]...`

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use fuzz::damage::Damage;
use fuzz::{TARGETS, Target};

/// So many damaged inputs are damaged further.
const KEPT_MAX: usize = 512;

/// How many inputs were tried, and the one that broke the target.
fn mutate(target: &Target, seed: u64, time: Duration) -> io::Result<(u64, Option<Vec<u8>>)> {
    let mut inputs = target.inputs()?;
    let first = inputs.len();
    let mut damage = Damage::new(seed);
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < time {
        let (at, other) = (damage.below(inputs.len()), damage.below(inputs.len()));
        let damaged = damage.of(&inputs[at], &inputs[other]);
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&damaged))).is_err() {
            return Ok((count, Some(damaged)));
        }
        if inputs.len() < first + KEPT_MAX {
            inputs.push(damaged);
        } else {
            let at = first + damage.below(KEPT_MAX);
            inputs[at] = damaged;
        }
    }
    Ok((count, None))
}

fn main() -> io::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let Some(seconds) = args.next().and_then(|seconds| seconds.parse().ok()) else {
        eprintln!("usage: mutate SECONDS [TARGET]...");
        return Ok(ExitCode::FAILURE);
    };
    let wanted: Vec<String> = args.collect();
    let seed =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    println!("seed {seed}");
    let mut code = ExitCode::SUCCESS;
    let is_wanted = |target: &&Target| wanted.is_empty() || wanted.iter().any(|name| name == target.name);
    for target in TARGETS.iter().filter(is_wanted) {
        let (count, broken_by) = mutate(target, seed, Duration::from_secs(seconds))?;
        println!("{}: {count} inputs", target.name);
        if let Some(bytes) = broken_by {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(target.name);
            std::fs::create_dir_all(&dir)?;
            let path = dir.join(format!("{seed:x}"));
            std::fs::write(&path, bytes)?;
            println!("{} does not survive {}", target.name, path.display());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
