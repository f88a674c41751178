//! `node_vmstat_*`: node_exporter's selection from `/proc/vmstat`.

use stormglass_sdk::{MetricKind, Metrics, Result};

use crate::paths::{Paths, number};

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let text = paths.proc("vmstat")?;
    for line in text.lines() {
        let Some((field, value)) = line.split_once(' ') else { continue };
        if is_selected(field) {
            let help = format!("The field {field} of /proc/vmstat.");
            out.family(&format!("node_vmstat_{field}"), MetricKind::Unknown, &help)
                .set(&[], number(value.trim())?);
        }
    }
    Ok(())
}

/// Paging, swapping, page faults and the out-of-memory killer.
fn is_selected(field: &str) -> bool {
    let is_fault = field.starts_with("pg") && field.contains("fault");
    is_fault || ["oom_kill", "pgpg", "pswp"].iter().any(|prefix| field.starts_with(prefix))
}
