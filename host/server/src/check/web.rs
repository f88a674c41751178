//! `stormglass check web-config`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::web;

/// Judges each file, and says so as promtool does.
pub(crate) fn check(files: &[PathBuf]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match web::check(file) {
            Ok(()) => println!("{} SUCCESS", file.display()),
            Err(error) => {
                eprintln!("{} FAILED: {error:#}", file.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
