//! Series and values as a fleet of node_exporters gives them.
//!
//! One in two series never changes. The others are what the kernel counts: seconds in hundredths and thousandths,
//! bytes, pages, events, and a few gauges.

use model::Labels;

/// The first sample's time: aligned to two hours, as blocks are.
pub const FIRST_TIME_MS: i64 = 1_700_006_400_000;
/// The time between two samples of a series.
pub const STEP_MS: i64 = 15_000;

/// How the values of a series move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Never.
    Constant,
    /// A whole number that grows once in a while.
    RareEvents,
    /// Seconds with two decimals: a counter of processor time.
    CpuSeconds,
    /// Seconds with three decimals: a counter of disk time.
    DiskSeconds,
    /// Bytes: a counter of traffic.
    Traffic,
    /// A whole number that grows a little each time.
    Events,
    /// Bytes in pages: memory in use.
    MemoryBytes,
    /// A load average: two decimals, up and down.
    Load,
    /// A duration in nanoseconds, told in seconds: no two alike.
    Duration,
}

/// Which kinds a target's series have, in turn, with the metric's name.
const SERIES: [(Kind, &str); 20] = [
    (Kind::Constant, "node_filesystem_size_bytes"),
    (Kind::Constant, "node_network_info"),
    (Kind::CpuSeconds, "node_cpu_seconds_total"),
    (Kind::Constant, "node_cpu_guest_seconds_total"),
    (Kind::RareEvents, "node_netstat_Tcp_AttemptFails"),
    (Kind::Constant, "node_scrape_collector_success"),
    (Kind::Traffic, "node_network_receive_bytes_total"),
    (Kind::Constant, "node_network_receive_errs_total"),
    (Kind::MemoryBytes, "node_memory_Active_bytes"),
    (Kind::Constant, "node_memory_HugePages_Total"),
    (Kind::Events, "node_softirqs_total"),
    (Kind::Constant, "node_network_mtu_bytes"),
    (Kind::CpuSeconds, "node_cpu_seconds_total"),
    (Kind::DiskSeconds, "node_disk_io_time_seconds_total"),
    (Kind::Constant, "node_disk_discards_completed_total"),
    (Kind::Load, "node_load1"),
    (Kind::Constant, "node_vmstat_oom_kill"),
    (Kind::RareEvents, "node_vmstat_pgmajfault"),
    (Kind::Constant, "node_sockstat_TCP_mem"),
    (Kind::Duration, "node_scrape_collector_duration_seconds"),
];

/// Many targets with the same number of series each.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// How many series one target has.
    pub series_per_target: usize,
}

/// The values of one series, without end.
#[derive(Debug, Clone)]
pub struct Values {
    kind: Kind,
    random: u64,
    /// In the smallest unit of the kind.
    count: i64,
}

impl Fleet {
    /// Labels of the series of that number. Numbers below `series_per_target` belong to the first target.
    pub fn labels(&self, number: usize) -> Labels {
        let (target, series) = (number / self.series_per_target, number % self.series_per_target);
        Labels::from_pairs([
            ("__name__", SERIES[series % SERIES.len()].1),
            ("device", &format!("dev{}", series / SERIES.len())),
            ("instance", &format!("host-{target}.example.net:9100")),
            ("job", "node"),
            ("slot", if series % SERIES.len() == 12 { "second" } else { "first" }),
        ])
    }

    /// Values of the series of that number.
    pub fn values(&self, number: usize) -> Values {
        Values::new(SERIES[number % self.series_per_target % SERIES.len()].0, number as u64)
    }
}

impl Values {
    /// Values of a kind; the same seed gives the same ones.
    pub fn new(kind: Kind, seed: u64) -> Self {
        let mut values = Self { kind, random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), count: 0 };
        values.count = match kind {
            Kind::Constant => [0, 0, 0, 1, 1500, 68_719_476_736][values.below(6) as usize],
            Kind::Load => 150,
            Kind::MemoryBytes => 400_000 + values.below(100_000),
            Kind::Duration => 0,
            _ => values.below(10_000_000),
        };
        values
    }

    /// A random number below `bound`, by splitmix64.
    fn below(&mut self, bound: i64) -> i64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.unsigned_abs()).cast_signed()
    }

    /// The next value.
    pub fn next_value(&mut self) -> f64 {
        match self.kind {
            Kind::Constant => {}
            Kind::RareEvents => self.count += i64::from(self.below(40) == 0),
            Kind::CpuSeconds => self.count += 1200 + self.below(250),
            Kind::DiskSeconds => self.count += self.below(900),
            Kind::Traffic => self.count += 20_000 + self.below(400_000),
            Kind::Events => self.count += self.below(120),
            Kind::MemoryBytes => self.count += self.below(800) - 400,
            Kind::Load => self.count = (self.count + self.below(41) - 20).max(0),
            Kind::Duration => self.count = 400_000 + self.below(200_000),
        }
        match self.kind {
            Kind::CpuSeconds | Kind::Load => self.count as f64 / 100.0,
            Kind::DiskSeconds => self.count as f64 / 1000.0,
            Kind::MemoryBytes => (self.count * 4096) as f64,
            Kind::Duration => self.count as f64 / 1e9,
            _ => self.count as f64,
        }
    }
}
