//! `stormglass`: the server and its command line. See `host/ARCHITECTURE.md` for how the parts fit together.

mod api;
mod app;
mod check;
mod cli;
mod config;
mod decoders;
mod detectors;
mod features;
mod ingest;
mod lenient;
mod memory;
mod notices;
mod notifier;
mod otlp;
mod plugin_command;
mod plugins;
mod processors;
mod push;
mod queries;
mod self_metrics;
mod serve;
mod spans;
mod telemetry;
mod test_command;
mod tsdb_command;
mod web;
mod yaml;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Check, Command, Given, Plugin, Test, Tsdb};

fn main() -> ExitCode {
    match run(Given::read()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("stormglass: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(given: Given) -> anyhow::Result<ExitCode> {
    // reqwest is built without a choice of its own; ring builds everywhere without further tools.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is already installed"))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let Given { cli, flags, warnings } = given;
    match cli.command {
        None => runtime.block_on(serve::serve(cli.server, flags, warnings)),
        Some(Command::Check(Check::Config(args))) => return runtime.block_on(check::config(args)),
        Some(Command::Check(Check::Rules(args))) => return check::rules(&args),
        Some(Command::Check(Check::WebConfig { files })) => return Ok(check::web_config(&files)),
        Some(Command::Check(Check::ServiceDiscovery { file, job, timeout, plugins_dir })) => {
            runtime.block_on(check::service_discovery(&file, &job, timeout.0, &plugins_dir))
        }
        Some(Command::Check(Check::Metrics { openmetrics: true, .. })) => check::openmetrics(),
        Some(Command::Check(Check::Metrics { extended, lint, .. })) => return check::lint(lint, extended),
        Some(Command::Test(Test::Promql { paths })) => test_command::promql(&paths),
        Some(Command::Test(Test::Rules(args))) => runtime.block_on(test_command::rules::run(args)),
        Some(Command::Tsdb(Tsdb::Analyze { dir, block, limit })) => {
            tsdb_command::analyze(&dir, block.as_deref(), limit)
        }
        Some(Command::Tsdb(Tsdb::Verify { dir })) => tsdb_command::verify(&dir),
        Some(Command::Tsdb(Tsdb::Snapshot { dir, to, skip_head })) => {
            tsdb_command::snapshot(&dir, &to, skip_head)
        }
        Some(Command::Tsdb(Tsdb::Dump { dir, selector, min_time, max_time })) => {
            tsdb_command::dump(&dir, &selector, min_time, max_time)
        }
        Some(Command::Plugin(Plugin::New { lang, kind, name })) => plugin_command::new(lang, kind, &name),
        Some(Command::Plugin(Plugin::Build { dir })) => plugin_command::build(&dir),
        Some(Command::Plugin(Plugin::Inspect { file })) => runtime.block_on(plugin_command::inspect(&file)),
        Some(Command::Plugin(Plugin::Run { file, config, grant_files, grant_http, watch })) => {
            runtime.block_on(plugin_command::run(&file, &config, &grant_files, &grant_http, watch))
        }
        Some(Command::Plugin(Plugin::Test { file, cases })) => {
            runtime.block_on(plugin_command::test(&file, &cases))
        }
        Some(Command::Plugin(Plugin::Compile)) => return Ok(plugin_command::compile()),
        Some(Command::Plugin(Plugin::List { dir })) => runtime.block_on(plugin_command::list(&dir)),
    }
    .map(|()| ExitCode::SUCCESS)
}
