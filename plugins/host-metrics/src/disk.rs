//! `node_disk_*`: `/proc/diskstats`, whose columns the kernel's `Documentation/admin-guide/iostats.rst` lists.

use regex_lite::Regex;
use stormglass_sdk::{Context, MetricKind, Metrics, Result};

use crate::paths::{Paths, number};

/// What the kernel calls a sector here, whatever the device's own is.
const SECTOR_BYTES: f64 = 512.0;
const SECONDS_PER_MS: f64 = 1e-3;

/// Columns after the device's name, in order: metric, kind, factor, help. Older kernels end sooner.
const COLUMNS: [(&str, MetricKind, f64, &str); 17] = [
    ("node_disk_reads_completed_total", MetricKind::Counter, 1.0, "Reads completed."),
    ("node_disk_reads_merged_total", MetricKind::Counter, 1.0, "Reads merged into others."),
    ("node_disk_read_bytes_total", MetricKind::Counter, SECTOR_BYTES, "Bytes read."),
    (
        "node_disk_read_time_seconds_total",
        MetricKind::Counter,
        SECONDS_PER_MS,
        "Seconds of all reads together.",
    ),
    ("node_disk_writes_completed_total", MetricKind::Counter, 1.0, "Writes completed."),
    ("node_disk_writes_merged_total", MetricKind::Counter, 1.0, "Writes merged into others."),
    ("node_disk_written_bytes_total", MetricKind::Counter, SECTOR_BYTES, "Bytes written."),
    (
        "node_disk_write_time_seconds_total",
        MetricKind::Counter,
        SECONDS_PER_MS,
        "Seconds of all writes together.",
    ),
    ("node_disk_io_now", MetricKind::Gauge, 1.0, "Requests in flight."),
    (
        "node_disk_io_time_seconds_total",
        MetricKind::Counter,
        SECONDS_PER_MS,
        "Seconds with any request in flight.",
    ),
    (
        "node_disk_io_time_weighted_seconds_total",
        MetricKind::Counter,
        SECONDS_PER_MS,
        "Seconds in flight, times the requests that were.",
    ),
    ("node_disk_discards_completed_total", MetricKind::Counter, 1.0, "Discards completed."),
    ("node_disk_discards_merged_total", MetricKind::Counter, 1.0, "Discards merged into others."),
    ("node_disk_discarded_sectors_total", MetricKind::Counter, 1.0, "Sectors of 512 bytes discarded."),
    (
        "node_disk_discard_time_seconds_total",
        MetricKind::Counter,
        SECONDS_PER_MS,
        "Seconds of all discards together.",
    ),
    ("node_disk_flush_requests_total", MetricKind::Counter, 1.0, "Flushes completed."),
    (
        "node_disk_flush_requests_time_seconds_total",
        MetricKind::Counter,
        SECONDS_PER_MS,
        "Seconds of all flushes together.",
    ),
];

/// Which devices to leave out: by default partitions and what is not a disk, whose numbers others include.
pub(crate) struct Disks {
    exclude: Regex,
}

impl Disks {
    pub(crate) fn new(exclude: &str) -> Result<Self> {
        Ok(Self { exclude: crate::config::pattern("disk_devices_exclude", exclude)? })
    }

    pub(crate) fn collect(&self, paths: &Paths, out: &mut Metrics) -> Result<()> {
        let text = paths.proc("diskstats")?;
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace().skip(2);
            let Some(device) = fields.next().filter(|device| !self.exclude.is_match(device)) else {
                continue;
            };
            for ((name, kind, factor, help), value) in COLUMNS.iter().zip(fields) {
                let value = number(value).context(format!("device {device}"))?;
                out.family(name, *kind, help).set(&[("device", device)], value * factor);
            }
        }
        Ok(())
    }
}
