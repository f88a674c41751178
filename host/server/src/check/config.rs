//! `stormglass check config`: says what promtool says where promtool has words for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use futures::StreamExt as _;
use plugin::{Host, HostOptions};

use super::Verdict;
use super::rules;
use crate::cli::{CheckConfig, Lint};
use crate::config::{self, ConfigErrors};
use crate::notifier::Notifier;
use crate::plugins::starts_at_once;

/// Reads each configuration and all that it names; loads each plugin and asks it whether its configuration is right.
pub(crate) async fn check(args: CheckConfig) -> anyhow::Result<ExitCode> {
    let mut verdict = Verdict::default();
    for file in &args.files {
        println!("Checking {}", file.display());
        if let Err(error) = check_one(&args, file, &mut verdict).await {
            eprintln!("  FAILED: {error:#}");
            verdict.failed = true;
        }
        println!();
    }
    Ok(verdict.exit(args.lint_fatal))
}

async fn check_one(args: &CheckConfig, file: &Path, verdict: &mut Verdict) -> anyhow::Result<()> {
    let examined = config::examine(file)?;
    if args.syntax_only {
        println!(" SUCCESS: {} is valid prometheus config file syntax", file.display());
        return Ok(());
    }
    if !examined.errors.is_empty() {
        return Err(ConfigErrors(examined.errors).into());
    }
    let rule_files: Vec<_> = examined
        .rule_files
        .iter()
        .map(|(file, rules)| {
            (file.clone(), rules.as_ref().map(rules::Rules::of).map_err(ToString::to_string))
        })
        .collect();
    if !rule_files.is_empty() {
        println!("  SUCCESS: {} rule files found", rule_files.len());
    }
    let plugins = check_plugins(args, examined).await;
    if plugins.is_ok() {
        println!(" SUCCESS: {} is valid prometheus config file syntax", file.display());
    }
    for (file, rules) in rule_files {
        println!("\nChecking {}", file.display());
        rules::judge(rules, args.lint != Lint::None, "     lint error ", verdict);
    }
    plugins
}

/// Asks the plugins and reads the files that jobs name; what is wrong with rule files is left to others.
async fn check_plugins(args: &CheckConfig, mut examined: config::Examined) -> anyhow::Result<()> {
    examined.rule_files.clear();
    let loaded = examined.whole()?;
    loaded.check_files()?;
    Notifier::prepare(&loaded.alerting).context("set up alerting.alertmanagers")?;
    for warning in &loaded.warnings {
        println!("  WARNING: {warning}");
    }
    let registry = prometheus::Registry::new();
    let plugins_dir = args.plugins_dir.clone();
    let host = Host::new(HostOptions {
        plugins_dir,
        cache_dir: None,
        state_dir: None,
        query: None,
        compile_in: crate::plugin_command::compile_in(),
        registry: &registry,
    })
    .context("set up the plugin host")?;
    let mut kinds = BTreeMap::new();
    let mut errors = Vec::new();
    let host = &host;
    let check = |config| async move { (config, host.check(config).await) };
    let checks: Vec<_> = loaded.plugins.iter().map(check).collect();
    let mut checked = futures::stream::iter(checks).buffered(starts_at_once());
    while let Some((config, found)) = checked.next().await {
        match found {
            Ok(found) => drop(kinds.insert(config.name.clone(), found)),
            Err(error) => errors.push(loaded.plugin_error(&config.name, "plugins", error)),
        }
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors).into());
    }
    Ok(loaded.check_kinds(&kinds)?)
}
