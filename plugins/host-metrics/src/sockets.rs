//! `node_sockstat_*`: `/proc/net/sockstat` and `sockstat6`.

use stormglass_sdk::{Metrics, Result, files};

use crate::paths::{Paths, number};

/// The entry of `/proc/self/auxv` that holds the size of a page (`AT_PAGESZ`).
const PAGE_SIZE_ENTRY: u64 = 6;

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let page_bytes = page_bytes(paths);
    let texts = [Some(paths.proc("net/sockstat")?), paths.proc_if_any("net/sockstat6")?];
    for line in texts.iter().flatten().flat_map(|text| text.lines()) {
        // `TCP: inuse 4 orphan 0 tw 4 alloc 22 mem 1`
        let Some((protocol, rest)) = line.split_once(':') else { continue };
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        for pair in fields.chunks_exact(2) {
            let [field, value] = pair else { continue };
            let value = number(value)?;
            let help = format!("Sockets of {protocol}: {field}.");
            out.gauge(&format!("node_sockstat_{protocol}_{field}"), &help).set(&[], value);
            if let ("mem", Some(page_bytes)) = (*field, page_bytes) {
                let help = format!("Memory that the buffers of {protocol} take.");
                out.gauge(&format!("node_sockstat_{protocol}_mem_bytes"), &help).set(&[], value * page_bytes);
            }
        }
    }
    Ok(())
}

/// The size of a page of memory, which the kernel tells every process at its start; this one is the server's.
fn page_bytes(paths: &Paths) -> Option<f64> {
    let pairs = files::read(&format!("{}/self/auxv", paths.procfs)).ok()?;
    pairs.chunks_exact(16).find_map(|pair| {
        let (key, value) = pair.split_at(8);
        let key = u64::from_le_bytes(key.try_into().ok()?);
        (key == PAGE_SIZE_ENTRY).then_some(u64::from_le_bytes(value.try_into().ok()?) as f64)
    })
}
