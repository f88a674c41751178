//! What the machine has, and what this process takes of it. Linux tells; elsewhere nothing is known.

use std::fs;

/// The part of the memory of a machine or container that the server takes where nobody says otherwise: the rest is for
/// the pages of blocks, which make queries fast.
const SHARE_PERCENT: u64 = 80;

/// The budget where none is given; `None` where the machine does not say what it has.
pub(crate) fn default_budget() -> Option<u64> {
    machine_bytes().map(|bytes| bytes / 100 * SHARE_PERCENT)
}

/// What the machine has, or its container may take.
pub(crate) fn machine_bytes() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let limits = [
        read("/proc/meminfo").and_then(|text| total_bytes(&text)),
        read("/sys/fs/cgroup/memory.max").and_then(|text| limit_bytes(&text)),
        read("/sys/fs/cgroup/memory/memory.limit_in_bytes").and_then(|text| limit_bytes(&text)),
    ];
    limits.into_iter().flatten().min()
}

/// `MemTotal` of `/proc/meminfo`.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A limit of a control group, which may be the word `max`.
fn limit_bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The process' resident memory without what is mapped from files.
pub(super) fn used_bytes() -> Option<u64> {
    let pages = own_pages(&fs::read_to_string("/proc/self/statm").ok()?)?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Resident pages less shared ones, of `/proc/self/statm`.
fn own_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        assert_eq!(total_bytes("MemTotal:       24689764 kB\nMemFree: 1 kB\n"), Some(24_689_764 * 1024));
        assert_eq!(total_bytes("MemFree: 1 kB\n"), None);
        assert_eq!((limit_bytes("max\n"), limit_bytes("1073741824\n")), (None, Some(1 << 30)));
        assert_eq!(own_pages("5000 1200 200 10 0 900 0\n"), Some(1000));
        assert_eq!(own_pages("5000 x\n"), None);
    }
}
