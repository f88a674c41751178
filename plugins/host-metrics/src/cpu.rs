//! `node_cpu_*`: the `cpuN` lines of `/proc/stat`.

use std::collections::HashMap;

use stormglass_sdk::{Metrics, Result};

use crate::paths::{Paths, number};

/// Ticks in a second. The kernel's interface to user space has had this value on every architecture for twenty
/// years; what the kernel itself ticks at is another number.
const USER_HZ: f64 = 100.0;

/// How far idle time may fall and still be the counter's jitter rather than a cpu that was taken out and put back.
const IDLE_JITTER_SECONDS: f64 = 3.0;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
const GUEST_MODES: [&str; 2] = ["user", "nice"];

/// The highest that each counter has been. The kernel lets idle and iowait fall by a little now and then, which
/// `rate` would take for a restart.
#[derive(Default)]
pub(crate) struct Cpu {
    seen: HashMap<String, Vec<f64>>,
}

impl Cpu {
    pub(crate) fn collect(&mut self, paths: &Paths, out: &mut Metrics) -> Result<()> {
        let text = paths.proc("stat")?;
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let Some(cpu) =
                fields.next().and_then(|name| name.strip_prefix("cpu")).filter(|cpu| !cpu.is_empty())
            else {
                continue;
            };
            let seconds: Vec<f64> =
                fields.map(|ticks| Ok(number(ticks)? / USER_HZ)).collect::<Result<_>>()?;
            let seconds = self.rising(cpu, seconds);
            let mut modes =
                out.counter("node_cpu_seconds_total", "Seconds that each cpu spent in each mode.");
            for (mode, seconds) in MODES.iter().zip(&seconds) {
                modes.set(&[("cpu", cpu), ("mode", mode)], *seconds);
            }
            let mut guests = out.counter(
                "node_cpu_guest_seconds_total",
                "Seconds that each cpu spent running virtual machines.",
            );
            for (mode, seconds) in GUEST_MODES.iter().zip(seconds.iter().skip(MODES.len())) {
                guests.set(&[("cpu", cpu), ("mode", mode)], *seconds);
            }
        }
        Ok(())
    }

    fn rising(&mut self, cpu: &str, now: Vec<f64>) -> Vec<f64> {
        let seen = self.seen.entry(cpu.into()).or_default();
        let restarted =
            matches!((seen.get(IDLE), now.get(IDLE)), (Some(s), Some(n)) if n + IDLE_JITTER_SECONDS < *s);
        if restarted || seen.len() != now.len() {
            *seen = now;
        } else {
            seen.iter_mut().zip(now).for_each(|(seen, now)| *seen = seen.max(now));
        }
        seen.clone()
    }
}
