//! The answer to `INFO`: lines of `name:value` under headings. What is not known by name is not told.

use std::collections::BTreeMap;

use stormglass_sdk::{MetricKind, Metrics};

use crate::names::{COUNTERS, GAUGES};

/// A line whose value has fields of its own: `calls=1,usec=2`.
struct Fields<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.split(',').filter_map(|field| field.split_once('=')).collect())
    }

    fn text(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.parse().ok()
    }
}

/// Tells all of it. `settings` stand in for what older servers do not have in `INFO`.
pub(crate) fn tell(info: &str, settings: &[(String, String)], now_ms: i64, out: &mut Metrics) {
    let lines: Vec<(&str, &str)> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let mut fields: BTreeMap<&str, &str> = lines.iter().copied().collect();
    for (key, value) in settings.iter().filter(|(key, _)| key == "maxmemory" || key == "maxclients") {
        fields.entry(key).or_insert(value);
    }
    for (kind, known) in [(MetricKind::Gauge, GAUGES), (MetricKind::Counter, COUNTERS)] {
        for (field, name) in known {
            if let Some(value) = fields.get(field).and_then(|text| number(text)) {
                out.family(&format!("redis_{name}"), kind, &help(field)).set(&[], value);
            }
        }
    }
    if let Some(uptime) = fields.get("uptime_in_seconds").and_then(|text| text.parse::<f64>().ok()) {
        let start = (now_ms as f64 / 1000.0 - uptime).floor();
        out.gauge("redis_start_time_seconds", "When the server was started, since the Unix epoch.")
            .set(&[], start);
    }
    if let Some(fork) = fields.get("latest_fork_usec").and_then(|text| text.parse::<f64>().ok()) {
        out.gauge("redis_latest_fork_seconds", "How long the latest fork took.").set(&[], fork / 1e6);
    }
    identity(&fields, out);
    replication(&fields, &lines, out);
    for (name, value) in &lines {
        if let Some(db) = name.strip_prefix("db").filter(|rest| rest.parse::<u32>().is_ok()) {
            database(db, &Fields::of(value), out);
        } else if let Some(command) = name.strip_prefix("cmdstat_") {
            self::command(command, &Fields::of(value), out);
        } else if let Some(error) = name.strip_prefix("errorstat_") {
            if let Some(count) = Fields::of(value).number("count") {
                out.counter("redis_errors_total", "Errors that were answered, by what they begin with.")
                    .set(&[("err", error)], count);
            }
        } else if let Some(command) = name.strip_prefix("latency_percentiles_usec_") {
            latencies(command, &Fields::of(value), out);
        }
    }
}

fn help(field: &str) -> String {
    format!("{field} of INFO.")
}

/// A number, or the words that stand for 0 and 1.
fn number(text: &str) -> Option<f64> {
    match text {
        "ok" | "up" | "yes" => Some(1.0),
        "err" | "fail" | "down" | "no" => Some(0.0),
        _ => text.strip_suffix('%').unwrap_or(text).parse().ok(),
    }
}

fn identity(fields: &BTreeMap<&str, &str>, out: &mut Metrics) {
    const LABELS: [(&str, &str); 10] = [
        ("role", "role"),
        ("redis_version", "redis_version"),
        ("redis_build_id", "redis_build_id"),
        ("redis_mode", "redis_mode"),
        ("os", "os"),
        ("maxmemory_policy", "maxmemory_policy"),
        ("tcp_port", "tcp_port"),
        ("run_id", "run_id"),
        ("process_id", "process_id"),
        ("master_replid", "master_replid"),
    ];
    let labels = LABELS.map(|(label, field)| (label, fields.get(field).copied().unwrap_or_default()));
    out.gauge("redis_instance_info", "1 with what the server is.").set(&labels, 1.0);
}

/// What a replica tells of its master, and a master of its replicas.
fn replication(fields: &BTreeMap<&str, &str>, lines: &[(&str, &str)], out: &mut Metrics) {
    if let (Some(host), Some(port)) = (fields.get("master_host"), fields.get("master_port")) {
        let labels = [("master_host", *host), ("master_port", *port)];
        for (field, name) in [
            ("master_link_status", "redis_master_link_up"),
            ("master_last_io_seconds_ago", "redis_master_last_io_seconds_ago"),
            ("master_sync_in_progress", "redis_master_sync_in_progress"),
            ("slave_repl_offset", "redis_slave_repl_offset"),
        ] {
            if let Some(value) = fields.get(field).and_then(|text| number(text)) {
                out.gauge(name, &help(field)).set(&labels, value);
            }
        }
        let read_only = fields.get("slave_read_only").copied().unwrap_or_default();
        out.gauge("redis_slave_info", "1 with what the replica is.")
            .set(&[labels[0], labels[1], ("read_only", read_only)], 1.0);
    }
    for (name, value) in lines {
        if name.strip_prefix("slave").is_none_or(|rest| rest.parse::<u32>().is_err()) {
            continue;
        }
        let fields = Fields::of(value);
        let labels = [
            ("slave_ip", fields.text("ip")),
            ("slave_port", fields.text("port")),
            ("slave_state", fields.text("state")),
        ];
        for (field, name) in
            [("offset", "redis_connected_slave_offset_bytes"), ("lag", "redis_connected_slave_lag_seconds")]
        {
            if let Some(value) = fields.number(field) {
                out.gauge(name, "Of each replica.").set(&labels, value);
            }
        }
    }
}

fn database(db: &str, fields: &Fields<'_>, out: &mut Metrics) {
    let name = format!("db{db}");
    let labels = [("db", name.as_str())];
    for (field, metric, help, factor) in [
        ("keys", "redis_db_keys", "Keys of the database.", 1.0),
        ("expires", "redis_db_keys_expiring", "Keys of the database that expire.", 1.0),
        ("avg_ttl", "redis_db_avg_ttl_seconds", "For how long those live on average.", 1e-3),
    ] {
        if let Some(value) = fields.number(field) {
            out.gauge(metric, help).set(&labels, value * factor);
        }
    }
}

fn command(command: &str, fields: &Fields<'_>, out: &mut Metrics) {
    let labels = [("cmd", command)];
    for (field, metric, help, factor) in [
        ("calls", "redis_commands_total", "Calls of each command.", 1.0),
        ("usec", "redis_commands_duration_seconds_total", "Time that each command took.", 1e-6),
        ("rejected_calls", "redis_commands_rejected_calls_total", "Calls that were refused.", 1.0),
        ("failed_calls", "redis_commands_failed_calls_total", "Calls that failed.", 1.0),
    ] {
        if let Some(value) = fields.number(field) {
            out.counter(metric, help).set(&labels, value * factor);
        }
    }
}

fn latencies(command: &str, fields: &Fields<'_>, out: &mut Metrics) {
    let mut family =
        out.family("redis_latency_percentiles_usec", MetricKind::Summary, "Latency of each command.");
    for (name, value) in &fields.0 {
        let quantile = name.strip_prefix('p').and_then(|text| text.parse::<f64>().ok());
        if let (Some(quantile), Ok(value)) = (quantile, value.parse()) {
            // 99.9 per cent by way of integers, or there would be 0.9990000000000001.
            let quantile = ((quantile * 1000.0).round() / 100_000.0).to_string();
            family.set(&[("cmd", command), ("quantile", &quantile)], value);
        }
    }
}
