//! `node_filefd_*`, `node_entropy_*` and `node_nf_conntrack_*`: single numbers below `/proc/sys`.

use stormglass_sdk::{Metrics, Result};

use crate::paths::{Paths, number};

pub(crate) fn filefd(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let text = paths.proc("sys/fs/file-nr")?;
    // Allocated, allocated and free (0 since Linux 2.6), most.
    let mut fields = text.split_ascii_whitespace();
    if let (Some(allocated), Some(maximum)) = (fields.next(), fields.nth(1)) {
        out.gauge("node_filefd_allocated", "Open files.").set(&[], number(allocated)?);
        out.gauge("node_filefd_maximum", "The most files that may be open.").set(&[], number(maximum)?);
    }
    Ok(())
}

pub(crate) fn entropy(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let files = [
        ("entropy_avail", "node_entropy_available_bits", "Randomness in the kernel's pool."),
        ("poolsize", "node_entropy_pool_size_bits", "The size of the kernel's pool of randomness."),
    ];
    for (file, name, help) in files {
        let text = paths.proc(&format!("sys/kernel/random/{file}"))?;
        out.gauge(name, help).set(&[], number(text.trim())?);
    }
    Ok(())
}

pub(crate) fn conntrack(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let files = [
        ("nf_conntrack_count", "node_nf_conntrack_entries", "Connections that are tracked."),
        ("nf_conntrack_max", "node_nf_conntrack_entries_limit", "The most connections that may be tracked."),
    ];
    for (file, name, help) in files {
        // Not there while nothing needs the connection table.
        let Some(text) = paths.proc_if_any(&format!("sys/net/netfilter/{file}"))? else { continue };
        out.gauge(name, help).set(&[], number(text.trim())?);
    }
    Ok(())
}
