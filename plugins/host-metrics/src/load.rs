//! `node_load1`, `node_load5`, `node_load15`: `/proc/loadavg`.

use stormglass_sdk::{Metrics, Result};

use crate::paths::{Paths, number};

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let text = paths.proc("loadavg")?;
    let averages = [
        ("node_load1", "Load average over 1 minute."),
        ("node_load5", "Load average over 5 minutes."),
        ("node_load15", "Load average over 15 minutes."),
    ];
    for ((name, help), value) in averages.iter().zip(text.split_ascii_whitespace()) {
        out.gauge(name, help).set(&[], number(value)?);
    }
    Ok(())
}
