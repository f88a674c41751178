//! What is asked of every server: the statistics of postgres_exporter's collectors, under its names.
//!
//! A column of an answer is a label or a value; the name of a metric is the query's with the column's behind it.

use stormglass_sdk::MetricKind::{self, Counter, Gauge};

/// A question and what becomes of its columns.
pub(crate) struct Query {
    /// What `disable` calls it.
    pub(crate) collector: &'static str,
    /// What metrics begin with.
    pub(crate) name: &'static str,
    /// The versions that understand it, as `server_version_num` has them; the second is not one of them.
    pub(crate) versions: (u32, u32),
    pub(crate) sql: &'static str,
    pub(crate) labels: &'static [&'static str],
    /// Column, kind, and help.
    pub(crate) values: &'static [(&'static str, MetricKind, &'static str)],
}

const ANY: (u32, u32) = (0, u32::MAX);

/// All of them.
pub(crate) const QUERIES: &[Query] = &[
    Query {
        collector: "database",
        name: "pg_database",
        versions: ANY,
        sql: "SELECT datname, pg_database_size(datname) AS size_bytes, datconnlimit AS connection_limit FROM pg_database \
              WHERE datallowconn AND NOT datistemplate AND has_database_privilege(datname, 'CONNECT')",
        labels: &["datname"],
        values: &[
            ("size_bytes", Gauge, "Disk space that the database takes."),
            ("connection_limit", Gauge, "Connections that the database allows; -1 for no limit."),
        ],
    },
    Query {
        collector: "stat_database",
        name: "pg_stat_database",
        versions: ANY,
        sql: "SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, \
              tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, \
              blk_read_time, blk_write_time, extract(epoch FROM stats_reset) AS stats_reset FROM pg_stat_database \
              WHERE datname IS NOT NULL",
        labels: &["datid", "datname"],
        values: &[
            ("numbackends", Gauge, "Backends that are connected to the database."),
            ("xact_commit", Counter, "Transactions that were committed."),
            ("xact_rollback", Counter, "Transactions that were rolled back."),
            ("blks_read", Counter, "Blocks read from disk."),
            ("blks_hit", Counter, "Blocks found in the buffer cache."),
            ("tup_returned", Counter, "Rows read by scans of tables and entries of indexes."),
            ("tup_fetched", Counter, "Rows fetched by scans of indexes."),
            ("tup_inserted", Counter, "Rows inserted."),
            ("tup_updated", Counter, "Rows updated."),
            ("tup_deleted", Counter, "Rows deleted."),
            ("conflicts", Counter, "Queries canceled because of conflicts with recovery."),
            ("temp_files", Counter, "Temporary files made by queries."),
            ("temp_bytes", Counter, "Bytes written to temporary files."),
            ("deadlocks", Counter, "Deadlocks."),
            ("blk_read_time", Counter, "Milliseconds spent reading blocks."),
            ("blk_write_time", Counter, "Milliseconds spent writing blocks."),
            ("stats_reset", Counter, "When these were last reset, since the Unix epoch."),
        ],
    },
    Query {
        collector: "stat_database",
        name: "pg_stat_database",
        versions: (140_000, u32::MAX),
        sql: "SELECT datid, datname, active_time / 1000.0 AS active_time_seconds_total FROM pg_stat_database \
              WHERE datname IS NOT NULL",
        labels: &["datid", "datname"],
        values: &[("active_time_seconds_total", Counter, "Time spent on statements.")],
    },
    Query {
        collector: "stat_bgwriter",
        name: "pg_stat_bgwriter",
        versions: (0, 170_000),
        sql: "SELECT checkpoints_timed AS checkpoints_timed_total, checkpoints_req AS checkpoints_req_total, \
              checkpoint_write_time AS checkpoint_write_time_total, checkpoint_sync_time AS checkpoint_sync_time_total, \
              buffers_checkpoint AS buffers_checkpoint_total, buffers_clean AS buffers_clean_total, \
              maxwritten_clean AS maxwritten_clean_total, buffers_backend AS buffers_backend_total, \
              buffers_backend_fsync AS buffers_backend_fsync_total, buffers_alloc AS buffers_alloc_total, \
              extract(epoch FROM stats_reset) AS stats_reset_total FROM pg_stat_bgwriter",
        labels: &[],
        values: &[
            ("checkpoints_timed_total", Counter, "Checkpoints that came by the clock."),
            ("checkpoints_req_total", Counter, "Checkpoints that were asked for."),
            ("checkpoint_write_time_total", Counter, "Milliseconds that checkpoints spent writing."),
            ("checkpoint_sync_time_total", Counter, "Milliseconds that checkpoints spent syncing."),
            ("buffers_checkpoint_total", Counter, "Buffers written by checkpoints."),
            ("buffers_clean_total", Counter, "Buffers written by the background writer."),
            (
                "maxwritten_clean_total",
                Counter,
                "Times that the background writer stopped because it had written too many.",
            ),
            ("buffers_backend_total", Counter, "Buffers written by backends themselves."),
            ("buffers_backend_fsync_total", Counter, "Times that a backend had to sync by itself."),
            ("buffers_alloc_total", Counter, "Buffers allocated."),
            ("stats_reset_total", Counter, "When these were last reset, since the Unix epoch."),
        ],
    },
    Query {
        collector: "stat_bgwriter",
        name: "pg_stat_bgwriter",
        versions: (170_000, u32::MAX),
        sql: "SELECT buffers_clean AS buffers_clean_total, maxwritten_clean AS maxwritten_clean_total, \
              buffers_alloc AS buffers_alloc_total, extract(epoch FROM stats_reset) AS stats_reset_total \
              FROM pg_stat_bgwriter",
        labels: &[],
        values: &[
            ("buffers_clean_total", Counter, "Buffers written by the background writer."),
            (
                "maxwritten_clean_total",
                Counter,
                "Times that the background writer stopped because it had written too many.",
            ),
            ("buffers_alloc_total", Counter, "Buffers allocated."),
            ("stats_reset_total", Counter, "When these were last reset, since the Unix epoch."),
        ],
    },
    Query {
        collector: "stat_checkpointer",
        name: "pg_stat_checkpointer",
        versions: (170_000, u32::MAX),
        sql: "SELECT num_timed AS num_timed_total, num_requested AS num_requested_total, write_time AS write_time_total, \
              sync_time AS sync_time_total, buffers_written AS buffers_written_total FROM pg_stat_checkpointer",
        labels: &[],
        values: &[
            ("num_timed_total", Counter, "Checkpoints that came by the clock."),
            ("num_requested_total", Counter, "Checkpoints that were asked for."),
            ("write_time_total", Counter, "Milliseconds that checkpoints spent writing."),
            ("sync_time_total", Counter, "Milliseconds that checkpoints spent syncing."),
            ("buffers_written_total", Counter, "Buffers written by checkpoints."),
        ],
    },
    Query {
        collector: "locks",
        name: "pg_locks",
        versions: ANY,
        sql: "SELECT d.datname, m.mode, count(l.mode) AS count FROM pg_database d CROSS JOIN (VALUES \
              ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'), ('shareupdateexclusivelock'), ('sharelock'), \
              ('sharerowexclusivelock'), ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')) AS m(mode) \
              LEFT JOIN pg_locks l ON l.database = d.oid AND lower(l.mode) = m.mode WHERE d.datallowconn GROUP BY 1, 2",
        labels: &["datname", "mode"],
        values: &[("count", Gauge, "Locks that are held or awaited.")],
    },
    Query {
        collector: "stat_activity",
        name: "pg_stat_activity",
        versions: (100_000, u32::MAX),
        sql: "SELECT d.datname, s.state, count(a.pid) AS count, \
              coalesce(max(extract(epoch FROM now() - a.xact_start)), 0) AS max_tx_duration FROM pg_database d CROSS JOIN \
              (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), \
              ('fastpath function call'), ('disabled')) AS s(state) LEFT JOIN pg_stat_activity a \
              ON a.datname = d.datname AND a.state = s.state WHERE d.datallowconn GROUP BY 1, 2",
        labels: &["datname", "state"],
        values: &[
            ("count", Gauge, "Connections in this state."),
            ("max_tx_duration", Gauge, "Seconds that the longest transaction has been open."),
        ],
    },
    Query {
        collector: "replication",
        name: "pg_replication",
        versions: (100_000, u32::MAX),
        sql: "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0 WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
              ELSE greatest(0, extract(epoch FROM now() - pg_last_xact_replay_timestamp())) END AS lag_seconds, \
              pg_is_in_recovery()::int AS is_replica",
        labels: &[],
        values: &[
            ("lag_seconds", Gauge, "How far the replica is behind its primary."),
            ("is_replica", Gauge, "Whether the server is a replica."),
        ],
    },
    Query {
        collector: "replication",
        name: "pg_stat_replication",
        versions: (100_000, u32::MAX),
        sql: "SELECT application_name, client_addr, state, usename, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN \
              pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn) AS pg_wal_lsn_diff, \
              coalesce(extract(epoch FROM replay_lag), 0) AS replay_lag_seconds FROM pg_stat_replication",
        labels: &["application_name", "client_addr", "state", "usename"],
        values: &[
            ("pg_wal_lsn_diff", Gauge, "Bytes that the replica has yet to replay."),
            ("replay_lag_seconds", Gauge, "How long the latest replay took to be confirmed."),
        ],
    },
    Query {
        collector: "replication_slot",
        name: "pg_replication_slot",
        versions: (100_000, u32::MAX),
        sql: "SELECT slot_name, slot_type, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() - '0/0' ELSE \
              pg_current_wal_lsn() - '0/0' END AS slot_current_wal_lsn, confirmed_flush_lsn - '0/0' AS \
              slot_confirmed_flush_lsn, active::int AS slot_is_active FROM pg_replication_slots",
        labels: &["slot_name", "slot_type"],
        values: &[
            ("slot_current_wal_lsn", Gauge, "Where the server's log is."),
            ("slot_confirmed_flush_lsn", Gauge, "How far the slot's reader has confirmed."),
            ("slot_is_active", Gauge, "Whether the slot is read."),
        ],
    },
    Query {
        collector: "stat_archiver",
        name: "pg_stat_archiver",
        versions: ANY,
        sql: "SELECT archived_count, failed_count, coalesce(extract(epoch FROM now() - last_archived_time), -1) AS \
              last_archive_age FROM pg_stat_archiver",
        labels: &[],
        values: &[
            ("archived_count", Counter, "Segments that were archived."),
            ("failed_count", Counter, "Attempts that failed."),
            ("last_archive_age", Gauge, "Seconds since the last was archived; -1 for never."),
        ],
    },
    Query {
        collector: "stat_user_tables",
        name: "pg_stat_user_tables",
        versions: ANY,
        sql: "SELECT current_database() AS datname, schemaname, relname, seq_scan, seq_tup_read, idx_scan, idx_tup_fetch, \
              n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd, n_live_tup, n_dead_tup, n_mod_since_analyze, vacuum_count, \
              autovacuum_count, analyze_count, autoanalyze_count, extract(epoch FROM last_vacuum) AS last_vacuum, \
              extract(epoch FROM last_autovacuum) AS last_autovacuum, extract(epoch FROM last_analyze) AS last_analyze, \
              extract(epoch FROM last_autoanalyze) AS last_autoanalyze, pg_total_relation_size(relid) AS size_bytes \
              FROM pg_stat_user_tables",
        labels: &["datname", "schemaname", "relname"],
        values: &[
            ("seq_scan", Counter, "Sequential scans."),
            ("seq_tup_read", Counter, "Rows read by sequential scans."),
            ("idx_scan", Counter, "Scans of indexes."),
            ("idx_tup_fetch", Counter, "Rows fetched by scans of indexes."),
            ("n_tup_ins", Counter, "Rows inserted."),
            ("n_tup_upd", Counter, "Rows updated."),
            ("n_tup_del", Counter, "Rows deleted."),
            ("n_tup_hot_upd", Counter, "Rows updated without a change to an index."),
            ("n_live_tup", Gauge, "Live rows, as estimated."),
            ("n_dead_tup", Gauge, "Dead rows, as estimated."),
            ("n_mod_since_analyze", Gauge, "Rows changed since the table was analyzed, as estimated."),
            ("vacuum_count", Counter, "Times vacuumed by hand."),
            ("autovacuum_count", Counter, "Times vacuumed by the daemon."),
            ("analyze_count", Counter, "Times analyzed by hand."),
            ("autoanalyze_count", Counter, "Times analyzed by the daemon."),
            ("last_vacuum", Gauge, "When last vacuumed by hand, since the Unix epoch."),
            ("last_autovacuum", Gauge, "When last vacuumed by the daemon, since the Unix epoch."),
            ("last_analyze", Gauge, "When last analyzed by hand, since the Unix epoch."),
            ("last_autoanalyze", Gauge, "When last analyzed by the daemon, since the Unix epoch."),
            ("size_bytes", Gauge, "Disk space of the table with its indexes."),
        ],
    },
    Query {
        collector: "long_running_transactions",
        name: "pg_long_running_transactions",
        versions: ANY,
        sql: "SELECT count(*) AS transactions, coalesce(max(extract(epoch FROM now() - xact_start)), 0) AS \
              oldest_timestamp_seconds FROM pg_stat_activity WHERE state <> 'idle' AND now() - xact_start > interval '5 minutes'",
        labels: &[],
        values: &[
            ("transactions", Gauge, "Transactions that have been open for more than five minutes."),
            ("oldest_timestamp_seconds", Gauge, "Seconds that the oldest has been open."),
        ],
    },
    Query {
        collector: "postmaster",
        name: "pg_postmaster",
        versions: ANY,
        sql: "SELECT extract(epoch FROM pg_postmaster_start_time()) AS start_time_seconds",
        labels: &[],
        values: &[("start_time_seconds", Gauge, "When the server was started, since the Unix epoch.")],
    },
];

/// The settings that become `pg_settings_*`: names, values, units and kinds.
pub(crate) const SETTINGS: &str = "SELECT name, setting, coalesce(unit, '') AS unit, short_desc, vartype FROM pg_settings \
     WHERE vartype IN ('bool', 'integer', 'real') AND name <> 'sync_commit_cancel_wait'";
