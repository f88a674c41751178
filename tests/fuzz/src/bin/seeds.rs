//! Writes the seeds of every target, and what once broke it, to a folder for each: where a fuzzer begins.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: seeds FOLDER");
        return ExitCode::FAILURE;
    };
    match fuzz::write_seeds(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("write seeds to {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}
