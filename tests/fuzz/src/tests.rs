//! Every target over its seeds, over what once broke it, and over damaged copies of both.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::damage::Damage;
use crate::{TARGETS, Target};

/// How many damaged inputs each target gets: all of them together take seconds in a debug build.
const DAMAGED_COUNT: usize = 2_000;
/// Opening a database is dear.
const DAMAGED_DATABASE_COUNT: usize = 300;

fn check(target: &Target, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err() {
        panic!("{} does not survive \"{}\"", target.name, bytes.escape_ascii());
    }
}

fn run(name: &str, damaged_count: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let inputs = target.inputs().expect("read what was found");
    assert!(!inputs.is_empty(), "{name} has no seeds");
    inputs.iter().for_each(|bytes| check(target, bytes));
    let mut damage = Damage::new(0x5eed);
    for at in 0..damaged_count {
        let other = damage.below(inputs.len());
        let damaged = damage.of(&inputs[at % inputs.len()], &inputs[other]);
        check(target, &damaged);
    }
}

macro_rules! targets {
    ($($name:ident: $damaged_count:expr),* $(,)?) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            run(stringify!($name), $damaged_count);
        })*
    };
}

targets! {
    exposition_text: DAMAGED_COUNT,
    exposition_openmetrics: DAMAGED_COUNT,
    exposition_protobuf: DAMAGED_COUNT,
    openmetrics_lint: DAMAGED_COUNT,
    remote_write: DAMAGED_COUNT,
    remote_read: DAMAGED_COUNT,
    otlp_metrics: DAMAGED_COUNT,
    otlp_traces: DAMAGED_COUNT,
    decompress: DAMAGED_COUNT,
    labels: DAMAGED_COUNT,
    promql: DAMAGED_COUNT,
    promql_script: DAMAGED_COUNT,
    traceql: DAMAGED_COUNT,
    template: DAMAGED_COUNT,
    matchers: DAMAGED_COUNT,
    log: DAMAGED_DATABASE_COUNT,
    log_record: DAMAGED_DATABASE_COUNT,
    block: DAMAGED_DATABASE_COUNT,
    block_section: DAMAGED_DATABASE_COUNT,
    tombstones: DAMAGED_DATABASE_COUNT,
    column: DAMAGED_COUNT,
}

/// Each target has its test here and its fuzzer in `fuzz_targets`.
#[test]
fn every_target_is_tested_and_can_be_fuzzed() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(TESTED, names);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut fuzzers: Vec<String> = std::fs::read_dir(dir)
        .expect("list the fuzzers")
        .map(|entry| {
            entry
                .expect("list the fuzzers")
                .path()
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut sorted = names;
    sorted.sort_unstable();
    fuzzers.sort_unstable();
    assert_eq!(fuzzers, sorted);
}
