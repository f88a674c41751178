//! Flags of Prometheus that this server takes and that change nothing, so that the command line of a Prometheus starts
//! it unchanged. Each says why there is nothing for it to change. One that is given is told in the log.

use std::collections::BTreeMap;

use clap::Args;

/// See the module.
#[derive(Debug, Args)]
#[command(next_help_heading = "Flags of Prometheus that change nothing here")]
pub(crate) struct AcceptedArgs {
    /// Consoles are not served.
    #[arg(long = "web.console.templates", value_name = "DIR", default_value = "consoles")]
    console_templates: String,

    /// Consoles are not served.
    #[arg(long = "web.console.libraries", value_name = "DIR", default_value = "console_libraries")]
    console_libraries: String,

    /// There are no pages of one's own.
    #[arg(long = "web.user-assets", value_name = "DIR")]
    user_assets: Option<String>,

    /// Assets are part of the program.
    #[arg(long = "web.local-assets", value_name = "DIR", hide = true)]
    local_assets: Option<String>,

    /// There is no page that would show it.
    #[arg(
        long = "web.page-title",
        value_name = "TEXT",
        default_value = "Prometheus Time Series Collection and Processing Server"
    )]
    page_title: String,

    /// Remote write is always taken; who may send is for the web configuration to say.
    #[arg(long = "web.enable-remote-write-receiver")]
    enable_remote_write_receiver: bool,

    /// OTLP is always taken.
    #[arg(long = "web.enable-otlp-receiver")]
    enable_otlp_receiver: bool,

    /// Both messages are always taken.
    #[arg(
        long = "web.remote-write-receiver.accepted-protobuf-messages",
        value_name = "NAME",
        default_value = "prometheus.WriteRequest,io.prometheus.write.v2.Request"
    )]
    accepted_protobuf_messages: String,

    /// Storage locks its folder always.
    #[arg(long = "storage.agent.no-lockfile")]
    agent_no_lockfile: bool,

    /// Samples stay until receivers have them.
    #[arg(long = "storage.agent.retention.min-time", value_name = "DURATION")]
    agent_retention_min_time: Option<String>,

    /// The log has a compact form of its own.
    #[arg(long = "storage.agent.wal-compression")]
    agent_wal_compression: bool,

    /// The log has a compact form of its own.
    #[arg(long = "storage.agent.wal-compression-type", value_name = "NAME", hide = true)]
    agent_wal_compression_type: Option<String>,

    /// The log is short and is not divided so.
    #[arg(long = "storage.agent.wal-segment-size", value_name = "SIZE", hide = true)]
    agent_wal_segment_size: Option<String>,

    /// The log is cut when the head is.
    #[arg(long = "storage.agent.wal-truncate-frequency", value_name = "DURATION", hide = true)]
    agent_wal_truncate_frequency: Option<String>,

    /// Times are aligned by up to two milliseconds.
    #[arg(long = "scrape.adjust-timestamps", hide = true)]
    adjust_timestamps: bool,

    /// Times are aligned by up to two milliseconds.
    #[arg(long = "scrape.timestamp-tolerance", value_name = "DURATION", hide = true)]
    timestamp_tolerance: Option<String>,

    /// Targets are taken as they are found.
    #[arg(long = "scrape.discovery-reload-interval", value_name = "DURATION", hide = true)]
    discovery_reload_interval: Option<String>,

    /// Blocks are known without looking.
    #[arg(long = "storage.tsdb.block-reload-interval", value_name = "DURATION", hide = true)]
    block_reload_interval: Option<String>,

    /// Compaction is not delayed.
    #[arg(long = "storage.tsdb.delayed-compaction.max-percent", value_name = "PERCENT", hide = true)]
    delayed_compaction_max_percent: Option<String>,

    /// Blocks never overlap.
    #[arg(long = "storage.tsdb.allow-overlapping-compaction", hide = true)]
    allow_overlapping_compaction: bool,

    /// Storage locks its folder always.
    #[arg(long = "storage.tsdb.no-lockfile")]
    no_lockfile: bool,

    /// There is no queue between the head and its chunks.
    #[arg(long = "storage.tsdb.head-chunks-write-queue-size", value_name = "COUNT", default_value = "0")]
    head_chunks_write_queue_size: String,

    /// Blocks are cut by what is in them.
    #[arg(
        long = "storage.tsdb.min-block-duration",
        value_name = "DURATION",
        default_value = "2h",
        hide = true
    )]
    min_block_duration: String,

    /// Blocks are merged by what is in them.
    #[arg(long = "storage.tsdb.max-block-duration", value_name = "DURATION", hide = true)]
    max_block_duration: Option<String>,

    /// Blocks have no segments.
    #[arg(long = "storage.tsdb.max-block-chunk-segment-size", value_name = "SIZE", hide = true)]
    max_block_chunk_segment_size: Option<String>,

    /// The log is short and is not divided so.
    #[arg(long = "storage.tsdb.wal-segment-size", value_name = "SIZE", hide = true)]
    wal_segment_size: Option<String>,

    /// The log has a compact form of its own.
    #[arg(long = "storage.tsdb.wal-compression", hide = true)]
    wal_compression: bool,

    /// The log has a compact form of its own.
    #[arg(long = "storage.tsdb.wal-compression-type", value_name = "NAME", hide = true)]
    wal_compression_type: Option<String>,

    /// Chunks end by what is in them.
    #[arg(long = "storage.tsdb.samples-per-chunk", value_name = "COUNT", hide = true)]
    samples_per_chunk: Option<String>,

    /// Blocks never overlap.
    #[arg(long = "storage.tsdb.allow-overlapping-blocks", hide = true)]
    allow_overlapping_blocks: bool,

    /// Blocks are not compacted when others do.
    #[arg(long = "storage.tsdb.delay-compact-file.path", value_name = "FILE", hide = true)]
    delay_compact_file: Option<String>,

    /// The number of threads follows what the container has.
    #[arg(long = "auto-gomaxprocs")]
    auto_gomaxprocs: bool,

    /// The memory budget follows what the container has; see storage.memory-budget.
    #[arg(long = "auto-gomemlimit")]
    auto_gomemlimit: bool,

    /// See storage.memory-budget.
    #[arg(long = "auto-gomemlimit.ratio", value_name = "RATIO", default_value = "0.9")]
    auto_gomemlimit_ratio: String,
}

/// What to say about flags of [`AcceptedArgs`] that are given; `given` are all flags that are.
pub(super) fn warnings(given: &BTreeMap<String, String>) -> Vec<String> {
    let mut command = AcceptedArgs::augment_args(clap::Command::new("accepted"));
    command.build();
    let named = command.get_arguments().filter_map(|flag| flag.get_long());
    let mut warnings: Vec<String> = named
        .filter(|name| given.contains_key(*name))
        .map(|name| format!("--{name} has no effect in this server"))
        .collect();
    warnings.sort();
    warnings
}
