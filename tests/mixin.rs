//! The dashboards and alerts that people have for Prometheus, on this server: every metric that the Prometheus mixin
//! reads is on `/metrics`, under its name and with the labels that its expressions need.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::server::{Ports, Server};
use crate::harness::until;

/// What the mixin's dashboard "Prometheus / Overview" and its alerts read of any server.
const ALWAYS: [&str; 37] = [
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "prometheus_build_info",
    "prometheus_config_last_reload_successful",
    "prometheus_config_last_reload_success_timestamp_seconds",
    "prometheus_engine_queries",
    "prometheus_engine_queries_concurrent_max",
    "prometheus_engine_query_duration_seconds",
    "prometheus_engine_query_duration_seconds_count",
    "prometheus_http_request_duration_seconds_bucket",
    "prometheus_http_request_duration_seconds_count",
    "prometheus_http_requests_total",
    "prometheus_notifications_alertmanagers_discovered",
    "prometheus_rule_evaluation_failures_total",
    "prometheus_rule_evaluations_total",
    "prometheus_rule_evaluation_duration_seconds_count",
    "prometheus_rule_group_duration_seconds",
    "prometheus_rule_group_duration_seconds_sum",
    "prometheus_rule_group_interval_seconds",
    "prometheus_rule_group_iterations_missed_total",
    "prometheus_rule_group_iterations_total",
    "prometheus_rule_group_last_duration_seconds",
    "prometheus_rule_group_last_evaluation_timestamp_seconds",
    "prometheus_rule_group_rules",
    "prometheus_tsdb_blocks_loaded",
    "prometheus_tsdb_compactions_failed_total",
    "prometheus_tsdb_compactions_total",
    "prometheus_tsdb_head_chunks",
    "prometheus_tsdb_head_samples_appended_total",
    "prometheus_tsdb_head_series",
    "prometheus_tsdb_lowest_timestamp_seconds",
    "prometheus_tsdb_reloads_failures_total",
    "prometheus_tsdb_storage_blocks_bytes",
    "prometheus_tsdb_wal_corruptions_total",
];

/// What they read of collection.
const TARGETS: [&str; 12] = [
    "prometheus_sd_discovered_targets",
    "prometheus_target_interval_length_seconds_count",
    "prometheus_target_interval_length_seconds_sum",
    "prometheus_target_scrape_pool_exceeded_label_limits_total",
    "prometheus_target_scrape_pool_exceeded_target_limit_total",
    "prometheus_target_scrapes_exceeded_body_size_limit_total",
    "prometheus_target_scrapes_exceeded_sample_limit_total",
    "prometheus_target_scrapes_sample_duplicate_timestamp_total",
    "prometheus_target_scrapes_sample_out_of_bounds_total",
    "prometheus_target_scrapes_sample_out_of_order_total",
    "prometheus_target_sync_failed_total",
    "prometheus_target_sync_length_seconds_sum",
];

/// What they read of a server that tells an Alertmanager of alerts.
const NOTIFICATIONS: [&str; 6] = [
    "prometheus_notifications_dropped_total",
    "prometheus_notifications_errors_total",
    "prometheus_notifications_latency_seconds_count",
    "prometheus_notifications_queue_capacity",
    "prometheus_notifications_queue_length",
    "prometheus_notifications_sent_total",
];

/// What they read of a server that writes to another one, and its dashboard "Prometheus / Remote Write".
const REMOTE: [&str; 19] = [
    "prometheus_remote_storage_bytes_total",
    "prometheus_remote_storage_enqueue_retries_total",
    "prometheus_remote_storage_highest_timestamp_in_seconds",
    "prometheus_remote_storage_max_samples_per_send",
    "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
    "prometheus_remote_storage_samples_failed_total",
    "prometheus_remote_storage_samples_in_total",
    "prometheus_remote_storage_samples_pending",
    "prometheus_remote_storage_samples_retried_total",
    "prometheus_remote_storage_samples_total",
    "prometheus_remote_storage_sent_batch_duration_seconds_count",
    "prometheus_remote_storage_shard_capacity",
    "prometheus_remote_storage_shards",
    "prometheus_remote_storage_shards_desired",
    "prometheus_remote_storage_shards_max",
    "prometheus_remote_storage_shards_min",
    "prometheus_tsdb_wal_segment_current",
    "prometheus_wal_watcher_current_segment",
    "prometheus_wal_watcher_records_read_total",
];

#[test]
fn the_mixin_finds_its_metrics() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    let ports = Ports::free();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:9']}}]}}]}}\n\
         rule_files: [rules.yml]\n\
         remote_write: [{{url: 'http://127.0.0.1:9/', name: away}}]\n\
         scrape_configs: [{{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]\n",
        ports.web
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let rules = "groups: [{name: g, rules: [{record: a, expr: up}]}]";
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let server = Server::start(folder.path(), ports);
    let wanted = || ALWAYS.iter().chain(&TARGETS).chain(&NOTIFICATIONS).chain(&REMOTE);
    let missing = || -> Vec<&str> {
        let text = server.api.get("/metrics").body;
        let names: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        wanted().copied().filter(|name| !names.contains(name)).collect()
    };
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    let mut left = missing();
    while !left.is_empty() && std::time::Instant::now() < deadline {
        left = missing();
    }
    assert!(left.is_empty(), "not on /metrics: {left:?}");
    // The dashboard's own expressions, where they need more than a name.
    for query in [
        "max by (slice) (prometheus_engine_query_duration_seconds{quantile=\"0.9\"}) * 1e3",
        "sum by (job, instance, version) (prometheus_build_info{job=\"prometheus\"})",
        "predict_linear(prometheus_notifications_queue_length[5m], 1800) < min_over_time(prometheus_notifications_queue_capacity[5m])",
        "rate(prometheus_target_interval_length_seconds_sum[5m]) / rate(prometheus_target_interval_length_seconds_count[5m]) * 1e3",
        "rate(prometheus_http_request_duration_seconds_count{handler=\"/metrics\"}[5m])",
        "prometheus_rule_group_rules{rule_group=~\".*rules.yml;g\"}",
    ] {
        until(query, crate::harness::PATIENCE, || (!server.api.query(query).is_empty()).then_some(()));
    }
}
