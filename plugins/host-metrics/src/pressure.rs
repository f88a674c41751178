//! `node_pressure_*`: how long tasks waited for a resource, from `/proc/pressure`.

use stormglass_sdk::{Metrics, Result};

use crate::paths::{Paths, number};

const US_PER_SECOND: f64 = 1e6;

/// File, line of the file, metric, help. With `some` any task waited, with `full` all that were not idle.
const LINES: [(&str, &str, &str, &str); 6] = [
    ("cpu", "some", "node_pressure_cpu_waiting_seconds_total", "Seconds in which a task waited for a cpu."),
    ("io", "some", "node_pressure_io_waiting_seconds_total", "Seconds in which a task waited for a disk."),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Seconds in which no task could go on for a disk.",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Seconds in which a task waited for memory.",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Seconds in which no task could go on for memory.",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Seconds in which interrupts held up every task.",
    ),
];

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    for resource in ["cpu", "io", "memory", "irq"] {
        // Kernels may be built or booted without any of these.
        let Some(text) = paths.proc_if_any(&format!("pressure/{resource}"))? else { continue };
        for line in text.lines() {
            // `some avg10=0.00 avg60=0.00 avg300=0.00 total=123456`
            let Some((kind, rest)) = line.split_once(' ') else { continue };
            let total = rest.split_ascii_whitespace().find_map(|field| field.strip_prefix("total="));
            let wanted = LINES.iter().find(|(file, line, ..)| *file == resource && *line == kind);
            if let (Some(total), Some((_, _, name, help))) = (total, wanted) {
                out.counter(name, help).set(&[], number(total)? / US_PER_SECOND);
            }
        }
    }
    Ok(())
}
