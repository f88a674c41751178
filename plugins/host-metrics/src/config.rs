//! What can be configured, and the schema that says so. The names of parts are those of node_exporter's
//! collectors, and the defaults are its own.

use std::fmt;

use regex_lite::Regex;
use serde::Deserialize;
use stormglass_sdk::{Error, Result};

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where procfs is mounted.
    pub procfs: String,
    /// Where sysfs is mounted.
    pub sysfs: String,
    /// What to collect.
    pub collectors: Vec<Part>,
    /// Block devices to leave out of `diskstats`.
    pub disk_devices_exclude: String,
    /// Mount points to leave out of `filesystem`.
    pub mount_points_exclude: String,
    /// File system types to leave out of `filesystem`.
    pub fs_types_exclude: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            collectors: Part::ALL.to_vec(),
            disk_devices_exclude: r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$".into(),
            mount_points_exclude:
                r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)".into(),
            fs_types_exclude: "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs\
                |iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs\
                |sysfs|tracefs)$"
                .into(),
        }
    }
}

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = r#"{
    "type": "object",
    "additionalProperties": false,
    "properties": {
        "procfs": {"type": "string", "description": "Where procfs is mounted; /proc if absent."},
        "sysfs": {"type": "string", "description": "Where sysfs is mounted; /sys if absent."},
        "collectors": {
            "description": "What to collect, by node_exporter's names; everything if absent.",
            "type": "array",
            "uniqueItems": true,
            "items": {"enum": [
                "conntrack", "cpu", "diskstats", "entropy", "filefd", "filesystem", "loadavg", "meminfo", "netclass",
                "netdev", "netstat", "pressure", "sockstat", "stat", "time", "uname", "vmstat"
            ]}
        },
        "disk_devices_exclude": {"type": "string", "description": "Regular expression of block devices to leave out."},
        "mount_points_exclude": {"type": "string", "description": "Regular expression of mount points to leave out."},
        "fs_types_exclude": {"type": "string", "description": "Regular expression of file system types to leave out."}
    }
}"#;

macro_rules! parts {
    ($($variant:ident = $name:literal: $doc:literal,)+) => {
        /// One collector, by node_exporter's name for it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[cfg_attr(test, derive(serde::Serialize))]
        #[serde(rename_all = "lowercase")]
        pub enum Part {
            $(#[doc = $doc] $variant,)+
        }

        impl Part {
            /// Every part there is, by name.
            pub const ALL: &'static [Part] = &[$(Part::$variant,)+];

            /// node_exporter's name for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Part::$variant => $name,)+
                }
            }
        }
    };
}

parts! {
    Conntrack = "conntrack": "How full the connection table is.",
    Cpu = "cpu": "Seconds of each cpu in each mode.",
    Diskstats = "diskstats": "Reads and writes of block devices.",
    Entropy = "entropy": "The kernel's pool of randomness.",
    Filefd = "filefd": "Open files.",
    Filesystem = "filesystem": "Space of file systems.",
    Loadavg = "loadavg": "Load averages.",
    Meminfo = "meminfo": "All of `/proc/meminfo`.",
    Netclass = "netclass": "State of network devices.",
    Netdev = "netdev": "Bytes, packets and errors of network devices.",
    Netstat = "netstat": "Protocol counters.",
    Pressure = "pressure": "Pressure stall information.",
    Sockstat = "sockstat": "Sockets in use.",
    Stat = "stat": "Interrupts, context switches, forks, boot time.",
    Time = "time": "The clock.",
    Uname = "uname": "Kernel and host name.",
    Vmstat = "vmstat": "Paging counters.",
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Compiles the regular expression of a key.
pub(crate) fn pattern(key: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| Error::permanent(format!("{key} is no regular expression: {e}")))
}
