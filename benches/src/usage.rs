//! What a process has used: memory and processor time, as Linux tells them under `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

/// Linux counts processor time for `/proc` in hundredths of a second on every architecture that we know of.
const TICKS_PER_SECOND: u64 = 100;

/// Where a process stood when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, pages of files included.
    pub resident_bytes: u64,
    /// The most that this has been.
    pub resident_bytes_max: u64,
    /// Resident memory that no file backs: heap and stacks. Pages of files can be given back at any time.
    pub anonymous_bytes: u64,
    /// Processor time, of the process and of the kernel on its behalf, in steps of ten milliseconds.
    pub cpu: Duration,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// Where it is gone or `/proc` is not Linux'.
    pub fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib * 1024).ok_or_else(|| missing(field))
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name of the program comes second, in parentheses, and may hold anything.
        let fields = stat.rsplit_once(") ").ok_or_else(|| missing("the program's name"))?.1;
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Self {
            resident_bytes: bytes("VmRSS:")?,
            resident_bytes_max: bytes("VmHWM:")?,
            anonymous_bytes: bytes("RssAnon:")?,
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        })
    }

    /// Looks at this process.
    ///
    /// # Errors
    /// As [`Usage::of`].
    pub fn of_this_process() -> io::Result<Self> {
        Self::of(std::process::id())
    }
}

fn missing(what: &str) -> io::Error {
    io::Error::other(format!("/proc does not tell {what}"))
}
