//! `node_uname_info`: kernel and host name, from `/proc/sys/kernel`.

use stormglass_sdk::{Metrics, Result};

use crate::paths::Paths;

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let read =
        |name: &str| -> Result<String> { Ok(paths.proc(&format!("sys/kernel/{name}"))?.trim().to_owned()) };
    let (sysname, release, version) = (read("ostype")?, read("osrelease")?, read("version")?);
    let (nodename, domainname) = (read("hostname")?, read("domainname")?);
    // Linux tells its architecture in a file since 6.1.
    let machine = paths.proc_if_any("sys/kernel/arch")?.unwrap_or_default();
    let labels = [
        ("domainname", domainname.as_str()),
        ("machine", machine.trim()),
        ("nodename", nodename.as_str()),
        ("release", release.as_str()),
        ("sysname", sysname.as_str()),
        ("version", version.as_str()),
    ];
    out.gauge("node_uname_info", "Kernel and host name; always 1.").set(&labels, 1.0);
    Ok(())
}
