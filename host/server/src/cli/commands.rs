//! What the program does beside serving, and what each of it takes: a variant for a command.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use model::ConfigDuration;

use super::duration;
use crate::plugin_command::{Language, Start};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check files without starting anything.
    #[command(subcommand)]
    Check(Check),
    /// Make plugins, look at them and try them.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Run test scripts.
    #[command(subcommand)]
    Test(Test),
    /// Look at the metrics of a stopped server, without changing them.
    #[command(subcommand)]
    Tsdb(Tsdb),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tsdb {
    /// Say what there is, what takes the bytes, and which labels make the series many.
    Analyze {
        /// The folder that the server is started on.
        dir: PathBuf,
        /// Whose series are looked at: the number of a block. Default: the newest.
        block: Option<String>,
        /// Entries of each list.
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        limit: usize,
    },
    /// Read everything and say what is damaged, by file and place; fails where anything is.
    Verify {
        /// The folder that the server is started on.
        dir: PathBuf,
    },
    /// Make a copy that a backup can take and a server can be started on. Blocks are shared by hard links, so that the
    /// copy must be on the same file system.
    Snapshot {
        /// The folder that the server is started on.
        dir: PathBuf,
        /// The folder of the copy; the metrics in it must not be there yet.
        to: PathBuf,
        /// Leave out the last hours, which are in no block yet.
        #[arg(long)]
        skip_head: bool,
    },
    /// Write samples as OpenMetrics, as `promtool tsdb create-blocks-from openmetrics` reads it and others do. Native
    /// histograms, which that format has no words for, are left out and counted.
    Dump {
        /// The folder that the server is started on.
        dir: PathBuf,
        /// A selector of the series.
        #[arg(long = "match", value_name = "SELECTOR", default_value = "{__name__=~\".+\"}")]
        selector: String,
        /// The first time, in milliseconds since 1970. Default: all there are.
        #[arg(long, value_name = "MILLISECONDS", allow_negative_numbers = true, default_value_t = i64::MIN, hide_default_value = true)]
        min_time: i64,
        /// The last time.
        #[arg(long, value_name = "MILLISECONDS", allow_negative_numbers = true, default_value_t = i64::MAX, hide_default_value = true)]
        max_time: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Check {
    /// Say what the server would say of configuration files, and fail where it would not start.
    Config(CheckConfig),
    /// Say what is wrong with rule files.
    Rules(CheckRules),
    /// Say what is wrong with web configuration files, and fail where anything is.
    WebConfig {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Find the targets of a job as the server would, print them as JSON, before relabelling and after, and stop.
    ServiceDiscovery {
        /// A configuration file.
        file: PathBuf,
        /// The job's name.
        job: String,
        /// How long to look.
        #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
        timeout: ConfigDuration,
        /// Where plugins named without a path are looked for.
        #[arg(long = "plugins.dir", value_name = "DIR", default_value = "plugins")]
        plugins_dir: PathBuf,
    },
    /// Read an exposition from standard input and say what is wrong with it or against custom. Ends with 1 where it
    /// cannot be read, with 3 where it only goes against custom, as promtool does.
    Metrics {
        /// Hold it to every rule of OpenMetrics 1.0 instead, and fail where it breaks one. The scraper itself is more
        /// lenient.
        #[arg(long)]
        openmetrics: bool,
        /// Print how many series each metric has.
        #[arg(long, conflicts_with = "openmetrics")]
        extended: bool,
        /// What is judged beside the format.
        #[arg(long, value_name = "WHAT", value_enum, default_value_t = MetricsLint::All)]
        lint: MetricsLint,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricsLint {
    /// Names, units and types.
    All,
    /// Nothing.
    None,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// Configuration files.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Leave out what the files name: rule files, plugins, files of secrets.
    #[arg(long)]
    pub(crate) syntax_only: bool,
    /// What to look for in rules beside mistakes.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Lint::DuplicateRules)]
    pub(crate) lint: Lint,
    /// Exit with 3 where that finds something.
    #[arg(long)]
    pub(crate) lint_fatal: bool,
    /// Where plugins named without a path are looked for.
    #[arg(long = "plugins.dir", value_name = "DIR", default_value = "plugins")]
    pub(crate) plugins_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckRules {
    /// Rule files; standard input where none is named.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What to look for beside mistakes.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Lint::DuplicateRules)]
    pub(crate) lint: Lint,
    /// Exit with 3 where that finds something.
    #[arg(long)]
    pub(crate) lint_fatal: bool,
}

/// What is looked for in rules that are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lint {
    /// All there is.
    All,
    /// Rules of one name and one set of labels.
    DuplicateRules,
    /// Nothing.
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Make a project for a plugin of any kind that builds, passes its test and runs: in Rust, Go, Python, JavaScript or C.
    New {
        /// The language to write it in.
        #[arg(long, value_enum)]
        lang: Language,
        /// The kind of plugin to begin with. A project may have several kinds later.
        #[arg(long, value_enum, default_value = "collector")]
        kind: Start,
        /// What the plugin is called: lower-case letters, digits and dashes. The folder gets this name.
        name: String,
    },
    /// Build the project in a folder to build/NAME.wasm, with the toolchain of its language.
    Build {
        /// The project's folder.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Show what a plugin is: kinds, version, what it imports and what it would like to be granted.
    Inspect {
        /// A .wasm file, component or core module that carries its component type; or the folder of a project.
        #[arg(default_value = ".")]
        file: PathBuf,
    },
    /// Start a plugin, call it once and print what it yields. A receiver is given a notification of one made-up alert,
    /// a detector a wave that jumps at its end.
    Run {
        /// A .wasm file, or the folder of a project, which is built where it has changed.
        #[arg(default_value = ".")]
        file: PathBuf,
        /// Its configuration, as JSON.
        #[arg(long, value_name = "JSON", default_value = "{}")]
        config: String,
        /// Grant a directory: PATH, PATH:read or PATH:stat. May be repeated.
        #[arg(long = "grant-files", value_name = "PATH[:MODE]")]
        grant_files: Vec<String>,
        /// Grant HTTP to SCHEME://HOST:PORT or HOST:PORT. May be repeated.
        #[arg(long = "grant-http", value_name = "HOST:PORT")]
        grant_http: Vec<String>,
        /// Go on: build and run again after each change.
        #[arg(long)]
        watch: bool,
    },
    /// Run cases: configurations with a clock, HTTP answers, look-ups, connections, files, secrets, stored values and query answers of
    /// their own, and what the plugin has to yield on them. Fails where any does.
    Test {
        /// A .wasm file, or the folder of a project, which is built where it has changed.
        #[arg(default_value = ".")]
        file: PathBuf,
        /// A file of cases. May be repeated. Default: all of the project's tests/*.yaml.
        #[arg(long, value_name = "FILE")]
        cases: Vec<PathBuf>,
    },
    /// Compile a component from standard input to standard output, under limits: what the server starts for each plugin.
    #[command(hide = true)]
    Compile,
    /// Say what plugins a folder holds; fails where one cannot be loaded.
    List {
        /// The folder.
        #[arg(default_value = "plugins")]
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Test {
    /// Run scripts in the language of Prometheus' promqltest; fails where any evaluation does.
    Promql {
        /// Scripts, or folders of *.test files.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Run unit tests of rules, in the files of `promtool test rules`; fails where any test does.
    Rules(TestRules),
}

#[derive(Debug, Args)]
pub(crate) struct TestRules {
    /// Test files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Run only tests whose name matches this regular expression. May be repeated.
    #[arg(long, value_name = "REGEX")]
    pub(crate) run: Vec<String>,
    /// Say what is read, and how long each test takes.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Show what is wrong with alerts as lines that are missing (-) and lines that are too many (+).
    #[arg(long)]
    pub(crate) diff: bool,
    /// Leave keys out that rule files should not have, rather than refuse the file.
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,
    /// Write the outcome to this file too, in the XML that continuous integration reads.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Features of the query language that are off by default, by Prometheus' names.
    #[arg(long = "enable-feature", value_name = "NAME")]
    pub(crate) enable_feature: Vec<String>,
}
