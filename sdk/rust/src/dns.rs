//! Look-ups in the DNS. Needs a grant of the name in `grants.dns`, and of a server other than the system's in `grants.net`.

use std::time::Duration;

pub use crate::bindings::base::stormglass::host::dns::{Data, Entry, Error, Exchange, RecordType, Service};

/// Asks the system's servers; a name without a dot at its end is tried with the system's search list.
pub fn lookup(name: &str, record_type: RecordType) -> Result<Vec<Entry>, Error> {
    lookup_at(name, record_type, None, None)
}

/// Asks this server, `host:port`, where one is given, and gives up after this long.
pub fn lookup_at(
    name: &str,
    record_type: RecordType,
    server: Option<&str>,
    timeout: Option<Duration>,
) -> Result<Vec<Entry>, Error> {
    let timeout_ms = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    crate::host::dns::lookup(name, record_type, server, timeout_ms)
}
