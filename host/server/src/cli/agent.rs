//! `--agent`: which flags are for it alone, which are not for it, and what it changes about the others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use model::ConfigDuration;

use super::{Cli, duration};

/// Flags that begin so are for servers that answer queries.
const SERVER_ONLY: [&str; 5] = ["storage.tsdb.", "storage.remote.read-", "rules.", "alertmanager.", "query."];
/// Flags that begin so are for agents.
const AGENT_ONLY: &str = "storage.agent.";

/// Flags for agents.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Folder of an agent.
    #[arg(long = "storage.agent.path", value_name = "DIR", default_value = "data-agent")]
    path: PathBuf,

    /// How long an agent keeps samples that receivers have not taken yet. What they have taken goes sooner.
    #[arg(
        long = "storage.agent.retention.max-time",
        value_name = "DURATION",
        default_value = "4h",
        value_parser = duration
    )]
    retention_max: ConfigDuration,
}

/// The command line with what an agent has in place of a server's settings.
///
/// # Errors
/// What to say of flags that do not go with the mode; `given` are all that are given.
pub(super) fn applied(mut cli: Cli, given: &BTreeMap<String, String>) -> Result<Cli, String> {
    let named = |wrong: &dyn Fn(&str) -> bool| {
        let names: Vec<String> =
            given.keys().filter(|name| wrong(name)).map(|name| format!("--{name}")).collect();
        names.join(", ")
    };
    let server = &mut cli.server;
    if !server.agent {
        return match named(&|name| name.starts_with(AGENT_ONLY)) {
            names if names.is_empty() => Ok(cli),
            names => Err(format!("the following flag(s) can only be used in agent mode: {names}")),
        };
    }
    let names = named(&|name| SERVER_ONLY.iter().any(|prefix| name.starts_with(prefix)));
    if !names.is_empty() {
        return Err(format!("the following flag(s) can not be used in agent mode: {names}"));
    }
    server.storage_path.clone_from(&server.agent_storage.path);
    server.retention = Some(server.agent_storage.retention_max);
    server.remote_log_kept = server.agent_storage.retention_max;
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;

    fn check(arguments: &[&str], expected: &str) {
        let matches = Cli::command().get_matches_from(["stormglass"].iter().chain(arguments));
        let cli = Cli::from_arg_matches(&matches).unwrap();
        let given = arguments.iter().filter_map(|argument| {
            let (name, value) = argument.strip_prefix("--")?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        let shown = match applied(cli, &given.collect()) {
            Ok(cli) => format!("{} {:?}", cli.server.storage_path.display(), cli.server.retention),
            Err(error) => error,
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn flags_go_with_the_mode() {
        check(&[], "data None");
        check(
            &["--agent"],
            &format!("data-agent {:?}", Some(ConfigDuration(std::time::Duration::from_secs(14_400)))),
        );
        check(
            &["--storage.agent.path=a"],
            "the following flag(s) can only be used in agent mode: --storage.agent.path",
        );
        check(
            &["--agent", "--storage.tsdb.path=a", "--query.timeout=1m"],
            "the following flag(s) can not be used in agent mode: --query.timeout, --storage.tsdb.path",
        );
    }
}
