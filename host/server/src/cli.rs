//! The command line: every flag and subcommand, once. Flags that Prometheus has carry Prometheus' names.

mod accepted;
mod agent;
mod commands;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use model::ConfigDuration;
use plugin::ByteSize;
use regex::Regex;

use self::accepted::AcceptedArgs;
pub(crate) use self::commands::{
    Check, CheckConfig, CheckRules, Command, Lint, MetricsLint, Plugin, Test, TestRules, Tsdb,
};

/// What `/api/v1/status/flags` says of flags that are not given and whose default depends on others, as Prometheus
/// says it.
const UNSET: [(&str, &str); 2] =
    [("storage.tsdb.retention.time", "0s"), ("storage.tsdb.retention.size", "0B")];

/// A WebAssembly-extensible observability server: Prometheus, OTLP, Alertmanager and Tempo in one binary.
///
/// Without a subcommand it starts the server.
#[derive(Debug, Parser)]
// A flag that is given twice counts as given last, so that scripts can add to defaults of their own; those that take
// several values say so.
#[command(name = "stormglass", version, args_conflicts_with_subcommands = true, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Flags that are on unless they are said to be off.
const ON_BY_DEFAULT: [&str; 1] = ["alertmanager.drain-notification-queue-on-shutdown"];

/// The command line as it was given.
pub(crate) struct Given {
    pub(crate) cli: Cli,
    /// The value of every flag of the server by its name, given or not.
    pub(crate) flags: BTreeMap<String, String>,
    /// What to say of flags that change nothing.
    pub(crate) warnings: Vec<String>,
}

impl Given {
    /// Reads the command line of this process; ends it where that makes no sense.
    pub(crate) fn read() -> Self {
        let arguments = without_negations(std::env::args_os());
        let matches = Cli::command().get_matches_from(arguments);
        match Self::of(&matches) {
            Ok(given) => given,
            Err(error) => error.exit(),
        }
    }

    fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let cli = Cli::from_arg_matches(matches)?;
        let mut flags = BTreeMap::new();
        let mut given = BTreeMap::new();
        for flag in Cli::command().get_arguments() {
            let (Some(name), id) = (flag.get_long(), flag.get_id().as_str()) else { continue };
            let Ok(raw) = matches.try_get_raw(id) else { continue };
            // Sizes and durations are told as Prometheus writes them, however they were given.
            let size = matches.try_get_one::<ByteSize>(id).ok().flatten().map(ToString::to_string);
            let duration =
                || matches.try_get_one::<ConfigDuration>(id).ok().flatten().copied().map(String::from);
            let values: Vec<String> = match size.or_else(duration) {
                Some(value) => vec![value],
                None => raw.into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect(),
            };
            let unset = UNSET.iter().find(|(unset, _)| *unset == name && values.is_empty());
            let value = unset.map_or_else(|| values.join(","), |(_, value)| (*value).to_owned());
            if matches.value_source(id) == Some(ValueSource::CommandLine) {
                given.insert(name.to_owned(), value.clone());
            }
            flags.insert(name.to_owned(), value);
        }
        let cli = agent::applied(cli, &given)
            .map_err(|what| Cli::command().error(clap::error::ErrorKind::ArgumentConflict, what))?;
        Ok(Self { cli, flags, warnings: accepted::warnings(&given) })
    }
}

/// Writes `--no-FLAG`, which Prometheus takes for every flag that is on or off, as what it means here: nothing where the
/// flag is off by default, else that it is false.
fn without_negations(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let rewrite = |argument: OsString| {
        let negated = argument.to_str().and_then(|text| text.strip_prefix("--no-"));
        let flag =
            negated.and_then(|name| command.get_arguments().find(|flag| flag.get_long() == Some(name)));
        match flag.map(|flag| (flag.get_long().unwrap_or_default(), flag.get_action())) {
            Some((_, ArgAction::SetTrue)) => None,
            Some((name, ArgAction::Set)) if ON_BY_DEFAULT.contains(&name) => {
                Some(OsString::from(format!("--{name}=false")))
            }
            _ => Some(argument),
        }
    };
    arguments.filter_map(rewrite).collect()
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Configuration file. Without one, embedded defaults watch the server itself and this machine.
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,

    /// Apply the configuration file, and the rule and scrape configuration files that it names, whenever one of them
    /// changes. `--enable-feature=auto-reload-config` does the same.
    #[arg(long = "config.auto-reload")]
    pub(crate) auto_reload: bool,

    /// How often those files are looked at.
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    pub(crate) auto_reload_interval: ConfigDuration,

    /// Folder for metrics, traces and alert state.
    #[arg(long = "storage.tsdb.path", value_name = "DIR", default_value = "data")]
    pub(crate) storage_path: PathBuf,

    /// How long samples, exemplars and traces are kept; 0s for ever. `storage.tsdb.retention` of the configuration goes
    /// before it, but for traces. Default: 15d, unless their size is bounded.
    #[arg(long = "storage.tsdb.retention.time", value_name = "DURATION", value_parser = duration)]
    pub(crate) retention: Option<ConfigDuration>,

    /// How large metrics may become, as 512MB or 50GB: the oldest blocks go beyond it.
    #[arg(long = "storage.tsdb.retention.size", value_name = "SIZE")]
    pub(crate) retention_size: Option<ByteSize>,

    /// When an acknowledged write is on disk for good.
    #[arg(long = "storage.tsdb.wal-sync", value_name = "WHEN", value_enum, default_value_t = WalSync::Interval)]
    pub(crate) wal_sync: WalSync,

    /// Most series the head may hold; new ones beyond it are refused and counted, existing ones go on. Default: no
    /// limit.
    #[arg(long = "storage.tsdb.head-series-max", value_name = "COUNT")]
    pub(crate) head_series_max: Option<u64>,

    /// Most series of one metric name that the head may hold; otherwise as storage.tsdb.head-series-max.
    #[arg(long = "storage.tsdb.metric-series-max", value_name = "COUNT")]
    pub(crate) metric_series_max: Option<u64>,

    /// Most series of one value of the label `job` that the head may hold; otherwise as storage.tsdb.head-series-max.
    #[arg(long = "storage.tsdb.job-series-max", value_name = "COUNT")]
    pub(crate) job_series_max: Option<u64>,

    /// How long log is kept at most for servers of `remote_write` that are away; what they have missed by then is lost to
    /// them.
    #[arg(long = "storage.remote.log-kept", value_name = "DURATION", default_value = "2h", value_parser = duration)]
    pub(crate) remote_log_kept: ConfigDuration,

    /// How long a shutdown waits for samples to be sent to servers of `remote_write`. What is left is sent after the next
    /// start.
    #[arg(long = "storage.remote.flush-deadline", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(crate) remote_flush_deadline: ConfigDuration,

    /// Most samples that one answer of remote read may hold; 0 for any number. Does not count for streams.
    #[arg(long = "storage.remote.read-sample-limit", value_name = "COUNT", default_value_t = 50_000_000)]
    pub(crate) remote_read_samples: u64,

    /// Most requests of remote read that are answered at once; more wait. 0 for any number.
    #[arg(long = "storage.remote.read-concurrent-limit", value_name = "COUNT", default_value_t = 10)]
    pub(crate) remote_read_concurrency: usize,

    /// Most bytes of one frame of a remote read that is streamed.
    #[arg(long = "storage.remote.read-max-bytes-in-frame", value_name = "BYTES", default_value_t = 1 << 20)]
    pub(crate) remote_read_frame_bytes: usize,

    /// Collect and send on only: what is scraped or pushed goes to the servers of `remote_write`, and nothing is queried,
    /// no rule evaluated. `remote_write` has to be there; `rule_files`, `alerting`, `remote_read` and detectors must not.
    #[arg(long = "agent")]
    pub(crate) agent: bool,

    #[command(flatten)]
    pub(crate) agent_storage: agent::AgentArgs,

    /// Memory that the server is to stay within, pages of mapped files left out. As it is neared, new series are refused
    /// first, then queries are stopped; what has been acknowledged stays. 0 for no budget. Default: four fifths of what
    /// the machine or its container has.
    #[arg(long = "storage.memory-budget", value_name = "SIZE")]
    pub(crate) memory_budget: Option<ByteSize>,

    /// Address of the API. May be repeated.
    #[arg(
        long = "web.listen-address",
        value_name = "[HOST]:PORT",
        default_value = "127.0.0.1:9090",
        action = ArgAction::Append
    )]
    pub(crate) web_listen: Vec<ListenAddress>,

    /// How long a client may take to send a request, and how long a connection without one is kept.
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) web_read_timeout: ConfigDuration,

    /// Most connections to the API at once, over all its addresses; more wait.
    #[arg(
        long = "web.max-connections",
        value_name = "COUNT",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) web_connections_max: u32,

    /// Who may talk to this server, and how: TLS, users, tokens, headers, in Prometheus' format. Holds for OTLP's
    /// addresses as well. Read again when it or a file that it names changes.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub(crate) web_config: Option<PathBuf>,

    /// URL under which people reach this server; links in alerts start with it. Default: the listen address.
    #[arg(long = "web.external-url", value_name = "URL")]
    pub(crate) external_url: Option<String>,

    /// Path under which everything is served. Default: the path of web.external-url.
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub(crate) route_prefix: Option<String>,

    /// Origins whose pages may use the API, as a regular expression that has to match all of the header `Origin`.
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*", value_parser = anchored)]
    pub(crate) cors_origin: Regex,

    /// Most clients that may follow notices of the server as they come (/api/v1/notifications/live).
    #[arg(long = "web.max-notifications-subscribers", value_name = "COUNT", default_value_t = 16)]
    pub(crate) notifications_subscribers_max: usize,

    /// How long an outage may last for `for` of alerts to go on counting after it.
    #[arg(
        long = "rules.alert.for-outage-tolerance",
        value_name = "DURATION",
        default_value = "1h",
        value_parser = duration
    )]
    pub(crate) for_outage_tolerance: ConfigDuration,

    /// What remains at least of `for` after an outage. Alerts with a shorter `for` start anew.
    #[arg(
        long = "rules.alert.for-grace-period",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = duration
    )]
    pub(crate) for_grace_period: ConfigDuration,

    /// Least time before an alert that fires is sent again.
    #[arg(
        long = "rules.alert.resend-delay",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = duration
    )]
    pub(crate) resend_delay: ConfigDuration,

    /// Most rules that are evaluated beside the first of their group, over all groups; for
    /// `--enable-feature=concurrent-rule-eval`.
    #[arg(long = "rules.max-concurrent-evals", value_name = "COUNT", default_value_t = 4)]
    pub(crate) max_concurrent_evals: usize,

    /// Most alerts that wait to be sent to an Alertmanager; the oldest are dropped beyond it.
    #[arg(long = "alertmanager.notification-queue-capacity", value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) notification_queue_capacity: usize,

    /// Most alerts in one request to an Alertmanager.
    #[arg(long = "alertmanager.notification-batch-size", value_name = "COUNT", default_value_t = 256)]
    pub(crate) notification_batch_size: usize,

    /// Send what waits for Alertmanagers before the server ends.
    #[arg(
        long = "alertmanager.drain-notification-queue-on-shutdown",
        value_name = "BOOL",
        default_value_t = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) drain_notifications: bool,

    /// Allow reload and shutdown through HTTP (/-/reload, /-/quit).
    #[arg(long = "web.enable-lifecycle")]
    pub(crate) enable_lifecycle: bool,

    /// Allow deletion of series and snapshots through HTTP (/api/v1/admin/tsdb/).
    #[arg(long = "web.enable-admin-api")]
    pub(crate) enable_admin_api: bool,

    /// Address for OTLP over gRPC.
    #[arg(long = "otlp.grpc.listen-address", value_name = "[HOST]:PORT", default_value = "127.0.0.1:4317")]
    pub(crate) otlp_grpc_listen: ListenAddress,

    /// Address for OTLP over HTTP.
    #[arg(long = "otlp.http.listen-address", value_name = "[HOST]:PORT", default_value = "127.0.0.1:4318")]
    pub(crate) otlp_http_listen: ListenAddress,

    /// Folder that plugins are loaded from: NAME.wasm is the plugin NAME.
    #[arg(long = "plugins.dir", value_name = "DIR", default_value = "plugins")]
    pub(crate) plugins_dir: PathBuf,

    /// How far an instant query looks back for a sample.
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) lookback: ConfigDuration,

    /// Longest time a query may take.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) query_timeout: ConfigDuration,

    /// Most queries of clients that run at once; more wait, and clients take turns. Rules and detectors have places of
    /// their own.
    #[arg(long = "query.max-concurrency", value_name = "COUNT", default_value_t = 20)]
    pub(crate) query_concurrency: usize,

    /// Most queries that wait for their turn; one beyond it is refused with 503.
    #[arg(long = "query.queue-max", value_name = "COUNT", default_value_t = 1000)]
    pub(crate) query_queue_max: usize,

    /// Most samples a query may hold in memory.
    #[arg(long = "query.max-samples", value_name = "COUNT", default_value_t = 50_000_000)]
    pub(crate) query_samples: u64,

    /// Most memory a query may take, as in 512MB. Default: no limit of its own.
    #[arg(long = "query.max-memory", value_name = "SIZE")]
    pub(crate) query_memory: Option<ByteSize>,

    /// Most memory all queries and the answers being written may take together. Where they ask for more, some wait, and
    /// the one that holds most is stopped. Default: half of what the machine or its control group has.
    #[arg(long = "query.max-memory-total", value_name = "SIZE")]
    pub(crate) query_memory_total: Option<ByteSize>,

    /// Features of Prometheus that are off by default, by Prometheus' names; several are set apart by commas. Names that
    /// change nothing are told in the log.
    #[arg(long = "enable-feature", value_name = "NAME")]
    pub(crate) enable_feature: Vec<String>,

    /// Least severe lines to log.
    #[arg(long = "log.level", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,

    /// How lines are written to standard error.
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Logfmt)]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    _accepted: AcceptedArgs,
}

/// Where to listen: `host:port`, or `:port` for every address of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenAddress(String);

impl ListenAddress {
    /// With a host, as sockets want it.
    pub(crate) fn as_host_port(&self) -> String {
        if self.0.starts_with(':') { format!("[::]{}", self.0) } else { self.0.clone() }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return Err("must be host:port or :port".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WalSync {
    /// Before it is acknowledged: nothing acknowledged is ever lost.
    Always,
    /// Within a second: a power cut may lose the last second, a crash of the process loses nothing.
    Interval,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text.
    Logfmt,
    /// One JSON object.
    Json,
}

fn duration(text: &str) -> Result<ConfigDuration, model::DurationError> {
    model::parse_duration(text).map(ConfigDuration)
}

/// A regular expression that has to match the whole of a text.
fn anchored(text: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?s:{text})$"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, Given, without_negations};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let twice =
            ["stormglass", "--storage.tsdb.path=a", "--storage.tsdb.path=b", "--web.listen-address=:1"];
        let cli = Cli::try_parse_from(twice).unwrap();
        assert_eq!(cli.server.storage_path.to_str(), Some("b"));
        let listen: Vec<String> =
            cli.server.web_listen.iter().map(super::ListenAddress::as_host_port).collect();
        assert_eq!(listen, ["[::]:1"]);
        assert!(Cli::try_parse_from(["stormglass", "--web.listen-address=9090"]).is_err());
    }

    #[test]
    fn nothing_listens_beyond_loopback_unless_told() {
        let command = Cli::command();
        let listening = command
            .get_arguments()
            .filter(|flag| flag.get_long().is_some_and(|name| name.ends_with("listen-address")));
        let mut count = 0;
        for default in listening.flat_map(|flag| flag.get_default_values()) {
            let address: std::net::SocketAddr = default.to_str().unwrap().parse().unwrap();
            assert!(address.ip().is_loopback(), "{address}");
            count += 1;
        }
        assert_eq!(count, 3);
    }

    fn given(arguments: &[&str]) -> Given {
        let all = ["stormglass"].iter().chain(arguments).map(std::ffi::OsString::from);
        Given::of(&Cli::command().try_get_matches_from(without_negations(all)).unwrap()).unwrap()
    }

    #[test]
    fn every_flag_of_the_server_is_told() {
        let told = given(&["--web.cors.origin=a|b", "--web.enable-lifecycle"]).flags;
        let value = |name: &str| told.get(name).map_or("missing", String::as_str);
        assert_eq!(value("web.cors.origin"), "a|b");
        assert_eq!((value("web.enable-lifecycle"), value("web.enable-admin-api")), ("true", "false"));
        assert_eq!((value("query.timeout"), value("storage.tsdb.retention.time")), ("2m", "0s"));
        let defined: std::collections::BTreeSet<String> =
            Cli::command().get_arguments().filter_map(|flag| flag.get_long().map(str::to_owned)).collect();
        assert!(defined.len() > 40);
        assert!(told.keys().eq(&defined), "{told:?} {defined:?}");
    }

    /// Every flag of Prometheus 3, those too that its help leaves out.
    const PROMETHEUS: [&str; 69] = [
        "agent",
        "alertmanager.drain-notification-queue-on-shutdown",
        "alertmanager.notification-batch-size",
        "alertmanager.notification-queue-capacity",
        "auto-gomaxprocs",
        "auto-gomemlimit",
        "auto-gomemlimit.ratio",
        "config.auto-reload",
        "config.auto-reload-interval",
        "config.file",
        "enable-feature",
        "log.format",
        "log.level",
        "query.lookback-delta",
        "query.max-concurrency",
        "query.max-samples",
        "query.timeout",
        "rules.alert.for-grace-period",
        "rules.alert.for-outage-tolerance",
        "rules.alert.resend-delay",
        "rules.max-concurrent-evals",
        "scrape.adjust-timestamps",
        "scrape.discovery-reload-interval",
        "scrape.timestamp-tolerance",
        "storage.agent.no-lockfile",
        "storage.agent.path",
        "storage.agent.retention.max-time",
        "storage.agent.retention.min-time",
        "storage.agent.wal-compression",
        "storage.agent.wal-compression-type",
        "storage.agent.wal-segment-size",
        "storage.agent.wal-truncate-frequency",
        "storage.remote.flush-deadline",
        "storage.remote.read-concurrent-limit",
        "storage.remote.read-max-bytes-in-frame",
        "storage.remote.read-sample-limit",
        "storage.tsdb.allow-overlapping-compaction",
        "storage.tsdb.block-reload-interval",
        "storage.tsdb.delay-compact-file.path",
        "storage.tsdb.delayed-compaction.max-percent",
        "storage.tsdb.head-chunks-write-queue-size",
        "storage.tsdb.max-block-chunk-segment-size",
        "storage.tsdb.max-block-duration",
        "storage.tsdb.min-block-duration",
        "storage.tsdb.no-lockfile",
        "storage.tsdb.path",
        "storage.tsdb.retention.size",
        "storage.tsdb.retention.time",
        "storage.tsdb.samples-per-chunk",
        "storage.tsdb.wal-compression",
        "storage.tsdb.wal-compression-type",
        "storage.tsdb.wal-segment-size",
        "web.config.file",
        "web.console.libraries",
        "web.console.templates",
        "web.cors.origin",
        "web.enable-admin-api",
        "web.enable-lifecycle",
        "web.enable-otlp-receiver",
        "web.enable-remote-write-receiver",
        "web.external-url",
        "web.listen-address",
        "web.max-connections",
        "web.max-notifications-subscribers",
        "web.page-title",
        "web.read-timeout",
        "web.remote-write-receiver.accepted-protobuf-messages",
        "web.route-prefix",
        "web.user-assets",
    ];

    #[test]
    fn every_flag_of_prometheus_is_known() {
        let command = Cli::command();
        let known: Vec<&str> = command.get_arguments().filter_map(|flag| flag.get_long()).collect();
        let missing: Vec<&&str> = PROMETHEUS.iter().filter(|flag| !known.contains(flag)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_command_line_of_a_prometheus_is_taken() {
        let given = given(&[
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--web.console.libraries=/usr/share/prometheus/console_libraries",
            "--web.console.templates=/usr/share/prometheus/consoles",
            "--alertmanager.drain-notification-queue-on-shutdown",
            "--rules.alert.resend-delay=10s",
        ]);
        assert_eq!(
            given.warnings,
            [
                "--web.console.libraries has no effect in this server",
                "--web.console.templates has no effect in this server"
            ]
        );
        assert!(given.cli.server.drain_notifications);
        let off = ["--no-alertmanager.drain-notification-queue-on-shutdown", "--no-web.enable-lifecycle"];
        let given = super::tests::given(&off).cli.server;
        assert_eq!((given.drain_notifications, given.enable_lifecycle), (false, false));
    }
}
