//! The machine's metrics from `/proc` and `/sys`, with the names, labels and units of Prometheus' node_exporter,
//! so that its dashboards and rules work unchanged.
//!
//! Each file here is one of node_exporter's collectors. They fail one by one: `node_scrape_collector_success` says
//! which, and the rest is still yielded. Needs `read` for both directories; file systems need `stat` for their
//! mount points as well, and are left out without.

mod config;
mod cpu;
mod disk;
mod filesystem;
mod load;
mod memory;
mod netstat;
mod network;
mod paths;
mod pressure;
mod sockets;
mod stat;
mod sysctl;
mod uname;
mod vmstat;

use stormglass_sdk::{Collector, Error, Metrics, Plugin, Result, Wish, clock, collector, log};

pub use config::{Config, Part};
use paths::Paths;

/// The plugin: where to look, what for, and what has to outlive a collection.
pub struct HostMetrics {
    paths: Paths,
    parts: Vec<Part>,
    cpu: cpu::Cpu,
    disks: disk::Disks,
    filesystems: filesystem::Filesystems,
    /// The parts that failed last time, so that a lasting failure is logged once.
    failing: Vec<Part>,
}

impl Plugin for HostMetrics {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = config::SCHEMA;

    const WISHES: &'static [Wish] = &[
        Wish { capability: "files", target: "/proc", reason: "read the kernel's counters" },
        Wish { capability: "files", target: "/sys", reason: "read the state of network devices" },
        Wish { capability: "files", target: "/", reason: "ask file systems for their space (mode: stat)" },
    ];

    fn init(config: Config) -> Result<Self> {
        Ok(Self {
            disks: disk::Disks::new(&config.disk_devices_exclude)?,
            filesystems: filesystem::Filesystems::new(
                &config.mount_points_exclude,
                &config.fs_types_exclude,
            )?,
            cpu: cpu::Cpu::default(),
            paths: Paths { procfs: config.procfs, sysfs: config.sysfs },
            parts: config.collectors,
            failing: Vec::new(),
        })
    }
}

impl Collector for HostMetrics {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        let mut outcomes = Vec::new();
        for part in self.parts.clone() {
            let started_ms = clock::now_ms();
            let result = self.collect_part(part, out);
            outcomes.push((part, clock::now_ms() - started_ms, result));
        }
        self.report(&outcomes, out)
    }
}

impl HostMetrics {
    fn collect_part(&mut self, part: Part, out: &mut Metrics) -> Result<()> {
        let paths = &self.paths;
        match part {
            Part::Cpu => self.cpu.collect(paths, out),
            Part::Conntrack => sysctl::conntrack(paths, out),
            Part::Diskstats => self.disks.collect(paths, out),
            Part::Entropy => sysctl::entropy(paths, out),
            Part::Filefd => sysctl::filefd(paths, out),
            Part::Filesystem => self.filesystems.collect(paths, out),
            Part::Loadavg => load::collect(paths, out),
            Part::Meminfo => memory::collect(paths, out),
            Part::Netclass => network::collect_class(paths, out),
            Part::Netdev => network::collect_counters(paths, out),
            Part::Netstat => netstat::collect(paths, out),
            Part::Pressure => pressure::collect(paths, out),
            Part::Sockstat => sockets::collect(paths, out),
            Part::Stat => stat::collect(paths, out),
            Part::Time => {
                let seconds = clock::now_ms() as f64 / 1e3;
                out.gauge("node_time_seconds", "The server's clock, in seconds since the epoch.")
                    .set(&[], seconds);
                Ok(())
            }
            Part::Uname => uname::collect(paths, out),
            Part::Vmstat => vmstat::collect(paths, out),
        }
    }

    /// Says which parts failed. Fails itself only where nothing was found at all, most often for want of a grant.
    fn report(&mut self, outcomes: &[(Part, i64, Result<()>)], out: &mut Metrics) -> Result<()> {
        if out.is_empty()
            && let Some((part, _, Err(first))) = outcomes.iter().find(|(_, _, result)| result.is_err())
        {
            return Err(Error::permanent(format!("no collector succeeded; {part}: {first}")));
        }
        for (part, elapsed_ms, result) in outcomes {
            let labels = [("collector", part.as_str())];
            out.gauge("node_scrape_collector_duration_seconds", "How long each collector took.")
                .set(&labels, *elapsed_ms as f64 / 1e3);
            out.gauge("node_scrape_collector_success", "Whether each collector succeeded.")
                .set(&labels, if result.is_ok() { 1.0 } else { 0.0 });
            match result {
                Err(e) if !self.failing.contains(part) => log::warn!("collector {part} failed: {e}"),
                _ => {}
            }
        }
        self.failing = outcomes.iter().filter(|(_, _, r)| r.is_err()).map(|(part, _, _)| *part).collect();
        Ok(())
    }
}

collector!(HostMetrics);

#[cfg(test)]
mod tests;
