//! `cargo xtask`: the commands of the README. Each says what it does before it does it, installs what it needs
//! by itself, and leaves everything it makes under `target/`.

mod fuzz;
mod guests;
mod listen;
mod process;
mod services;
mod tests;
mod toolchains;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::process::Run;

const HELP: &str = "\
Usage: cargo xtask <command> [-- arguments]

Commands:
  plugins Build the plugins only, to target/plugins/*.wasm; a running server takes them into use
  build   Build everything: the plugins, and the server to target/release/stormglass
  run     Build everything and start the server on its embedded defaults, with data in target/data;
          arguments after -- go to the server and come last, so that they win, as in
          cargo xtask run -- --web.listen-address=127.0.0.1:19090
  test    Build what the tests need and run them all; the last line counts them
  fuzz    Look for inputs that break a decoder: all targets of tests/fuzz, or those named, a minute
          each unless told otherwise, as in cargo xtask fuzz promql block --seconds=600
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.skip_while(|a| a == "--").collect();
    let root = root()?;
    match command.as_str() {
        "plugins" => plugins(&root).map(|()| ExitCode::SUCCESS),
        "build" => build(&root).map(|()| ExitCode::SUCCESS),
        "run" => run(&root, &rest),
        "test" => tests::run(&root, &rest),
        "fuzz" => fuzz::run(&root, &rest).map(|()| ExitCode::SUCCESS),
        "" | "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("unknown command {other:?}\n\n{HELP}"),
    }
}

/// The workspace's folder.
fn root() -> Result<PathBuf> {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").context("start this with `cargo xtask`")?;
    Path::new(&manifest).ancestors().nth(2).map(Path::to_owned).context("find the workspace's folder")
}

/// Where cargo puts what it builds.
fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

fn plugins(root: &Path) -> Result<()> {
    guests::build(root, "plugins", "plugins")
}

fn build(root: &Path) -> Result<()> {
    plugins(root)?;
    process::say("building the server to target/release/stormglass (a first build takes several minutes)");
    Run::cargo(root).args(["build", "--release", "--package", "server"]).check()
}

fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    listen::check_free(arguments)?;
    build(root)?;
    let target = target_dir(root);
    let server = target.join("release/stormglass");
    process::say("starting the server; stop it with Ctrl-C");
    Run::new(&server, root)
        .arg("--plugins.dir")
        .arg(target.join("plugins"))
        .arg("--storage.tsdb.path")
        .arg(target.join("data"))
        .args(arguments)
        .replace_self()
}
