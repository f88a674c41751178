//! `node_memory_*`: every line of `/proc/meminfo`, so that a new kernel's fields appear by themselves.

use stormglass_sdk::{Metrics, Result};

use crate::paths::{Paths, number};

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let text = paths.proc("meminfo")?;
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        let mut fields = rest.split_ascii_whitespace();
        let Some(value) = fields.next() else { continue };
        // `Active(anon)` is `Active_anon`.
        let key = key.replace('(', "_").replace(')', "");
        let (name, factor) = match fields.next() {
            Some(_kib) => (format!("node_memory_{key}_bytes"), 1024.0),
            None => (format!("node_memory_{key}"), 1.0),
        };
        out.gauge(&name, &format!("The field {key} of /proc/meminfo.")).set(&[], number(value)? * factor);
    }
    Ok(())
}
