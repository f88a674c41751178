//! `node_intr_total` and its neighbours: what `/proc/stat` says of the machine as a whole.

use stormglass_sdk::{MetricKind, Metrics, Result};

use crate::paths::{Paths, number};

/// Line of the file, metric, kind, help.
const LINES: [(&str, &str, MetricKind, &str); 6] = [
    ("intr", "node_intr_total", MetricKind::Counter, "Interrupts served since boot."),
    ("ctxt", "node_context_switches_total", MetricKind::Counter, "Context switches since boot."),
    ("processes", "node_forks_total", MetricKind::Counter, "Processes and threads created since boot."),
    (
        "btime",
        "node_boot_time_seconds",
        MetricKind::Gauge,
        "When the machine booted, in seconds since the epoch.",
    ),
    ("procs_running", "node_procs_running", MetricKind::Gauge, "Threads that run or could run."),
    ("procs_blocked", "node_procs_blocked", MetricKind::Gauge, "Threads that wait for a disk."),
];

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let text = paths.proc("stat")?;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(key), Some(value)) = (fields.next(), fields.next()) else { continue };
        if let Some((_, name, kind, help)) = LINES.iter().find(|(line, ..)| *line == key) {
            out.family(name, *kind, help).set(&[], number(value)?);
        }
    }
    Ok(())
}
