//! Collections over a small machine written down here, against what node_exporter would yield for it.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use stormglass_sdk::files::Volume;
use stormglass_sdk::testing::{Host, init, logged, render};

use super::*;

const STAT: &str = "\
cpu  300 0 100 4000 50 0 10 0 0 0
cpu0 100 1 50 2000 25 2 5 3 7 8
cpu1 200 0 50 2000 25 0 5 0 0 0
intr 123456 0 9 0
ctxt 654321
btime 1700000000
processes 4242
procs_running 3
procs_blocked 1
softirq 99 1 2
";

const MEMINFO: &str = "\
MemTotal:       16000000 kB
MemAvailable:    8000000 kB
Active(anon):       1024 kB
HugePages_Total:       2
";

const DISKSTATS: &str = "   8       0 sda 100 5 2048 1500 200 10 4096 2500 1 3000 4000 7 1 16 20 9 30
   8       1 sda1 1 0 8 1 0 0 0 0 0 1 1
 259       0 nvme0n1 10 0 80 5 0 0 0 0 0 5 5
   7       0 loop0 1 0 8 1 0 0 0 0 0 1 1
";

const NET_DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1000      10    0    0    0     0          0         0     1000      10    0    0    0     0       0          0
eth0:1: 5000 50 1 2 3 4 5 6 7000 70 8 9 10 11 12 13
";

const MOUNTS: &str = r"/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
tmpfs /run/lock tmpfs rw,nosuid 0 0
/dev/sdb1 /mnt/usb\040stick vfat ro 0 0
/dev/sda1 / ext4 rw,relatime 0 0
";

fn volume() -> Volume {
    Volume {
        size_bytes: 1000,
        free_bytes: 500,
        available_bytes: 400,
        inodes: 64,
        inodes_free: 32,
        read_only: false,
    }
}

fn machine() -> Host {
    let auxv: Vec<u8> = [6u64, 4096, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    Host::new()
        .now_ms(1_700_000_123_500)
        .file("/proc/stat", STAT)
        .file("/proc/meminfo", MEMINFO)
        .file("/proc/loadavg", "0.25 1.5 2.75 3/400 12345\n")
        .file("/proc/diskstats", DISKSTATS)
        .file("/proc/net/dev", NET_DEV)
        .file(
            "/proc/net/netstat",
            "TcpExt: SyncookiesSent ListenDrops Other\nTcpExt: 1 2 3\nIpExt: InOctets\nIpExt: 99\n",
        )
        .file("/proc/net/snmp", "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: MaxConn CurrEstab\nTcp: -1 5\n")
        .file("/proc/net/snmp6", "Ip6InOctets 77\nUdp6InErrors 8\nIp6InReceives 1\n")
        .file("/proc/net/sockstat", "sockets: used 290\nTCP: inuse 4 orphan 0 tw 1 alloc 22 mem 3\n")
        .file("/proc/self/auxv", auxv)
        .file("/proc/vmstat", "nr_free_pages 1\npgpgin 2\npswpout 3\npgmajfault 4\noom_kill 5\n")
        .file(
            "/proc/pressure/cpu",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0 total=7\n",
        )
        .file("/proc/pressure/io", "some avg10=0.00 total=1000000\nfull avg10=0.00 total=500000\n")
        .file("/proc/sys/fs/file-nr", "1024\t0\t9223372036854775807\n")
        .file("/proc/sys/kernel/random/entropy_avail", "256\n")
        .file("/proc/sys/kernel/random/poolsize", "256\n")
        .file("/proc/sys/kernel/ostype", "Linux\n")
        .file("/proc/sys/kernel/osrelease", "6.1.0\n")
        .file("/proc/sys/kernel/version", "#1 SMP\n")
        .file("/proc/sys/kernel/hostname", "storm\n")
        .file("/proc/sys/kernel/domainname", "(none)\n")
        .file("/proc/sys/kernel/arch", "x86_64\n")
        .file("/proc/1/mounts", MOUNTS)
        .file("/sys/class/net/bonding_masters", "\n")
        .file("/sys/class/net/eth0/operstate", "up\n")
        .file("/sys/class/net/eth0/mtu", "1500\n")
        .file("/sys/class/net/eth0/speed", "1000\n")
        .file("/sys/class/net/eth0/carrier", "1\n")
        .file("/sys/class/net/lo/operstate", "unknown\n")
        .file("/sys/class/net/lo/speed", "-1\n")
        .file("/proc/sys/net/netfilter/nf_conntrack_count", "17\n")
        .file("/proc/sys/net/netfilter/nf_conntrack_max", "65536\n")
        .volume("/", volume())
        .volume("/mnt/usb stick", volume())
}

fn collect(part: &str, host: Host) -> String {
    host.run(|| {
        let mut plugin: HostMetrics = init(&format!(r#"{{"collectors": ["{part}"]}}"#)).unwrap();
        let mut out = Metrics::new();
        plugin.collect(&mut out).unwrap();
        render(&out).lines().filter(|l| !l.starts_with("node_scrape_")).map(|l| format!("{l}\n")).collect()
    })
}

#[expect(clippy::needless_pass_by_value, reason = "as the macro yields it")]
fn check(part: &str, expected: Expect) {
    expected.assert_eq(&collect(part, machine()));
}

#[test]
fn conntrack() {
    check(
        "conntrack",
        expect![[r#"
        node_nf_conntrack_entries 17
        node_nf_conntrack_entries_limit 65536
    "#]],
    );
}

#[test]
fn cpu() {
    check(
        "cpu",
        expect![[r#"
        node_cpu_seconds_total{cpu="0",mode="user"} 1
        node_cpu_seconds_total{cpu="0",mode="nice"} 0.01
        node_cpu_seconds_total{cpu="0",mode="system"} 0.5
        node_cpu_seconds_total{cpu="0",mode="idle"} 20
        node_cpu_seconds_total{cpu="0",mode="iowait"} 0.25
        node_cpu_seconds_total{cpu="0",mode="irq"} 0.02
        node_cpu_seconds_total{cpu="0",mode="softirq"} 0.05
        node_cpu_seconds_total{cpu="0",mode="steal"} 0.03
        node_cpu_guest_seconds_total{cpu="0",mode="user"} 0.07
        node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.08
        node_cpu_seconds_total{cpu="1",mode="user"} 2
        node_cpu_seconds_total{cpu="1",mode="nice"} 0
        node_cpu_seconds_total{cpu="1",mode="system"} 0.5
        node_cpu_seconds_total{cpu="1",mode="idle"} 20
        node_cpu_seconds_total{cpu="1",mode="iowait"} 0.25
        node_cpu_seconds_total{cpu="1",mode="irq"} 0
        node_cpu_seconds_total{cpu="1",mode="softirq"} 0.05
        node_cpu_seconds_total{cpu="1",mode="steal"} 0
        node_cpu_guest_seconds_total{cpu="1",mode="user"} 0
        node_cpu_guest_seconds_total{cpu="1",mode="nice"} 0
    "#]],
    );
}

#[test]
fn diskstats() {
    check(
        "diskstats",
        expect![[r#"
        node_disk_reads_completed_total{device="sda"} 100
        node_disk_reads_merged_total{device="sda"} 5
        node_disk_read_bytes_total{device="sda"} 1048576
        node_disk_read_time_seconds_total{device="sda"} 1.5
        node_disk_writes_completed_total{device="sda"} 200
        node_disk_writes_merged_total{device="sda"} 10
        node_disk_written_bytes_total{device="sda"} 2097152
        node_disk_write_time_seconds_total{device="sda"} 2.5
        node_disk_io_now{device="sda"} 1
        node_disk_io_time_seconds_total{device="sda"} 3
        node_disk_io_time_weighted_seconds_total{device="sda"} 4
        node_disk_discards_completed_total{device="sda"} 7
        node_disk_discards_merged_total{device="sda"} 1
        node_disk_discarded_sectors_total{device="sda"} 16
        node_disk_discard_time_seconds_total{device="sda"} 0.02
        node_disk_flush_requests_total{device="sda"} 9
        node_disk_flush_requests_time_seconds_total{device="sda"} 0.03
        node_disk_reads_completed_total{device="nvme0n1"} 10
        node_disk_reads_merged_total{device="nvme0n1"} 0
        node_disk_read_bytes_total{device="nvme0n1"} 40960
        node_disk_read_time_seconds_total{device="nvme0n1"} 0.005
        node_disk_writes_completed_total{device="nvme0n1"} 0
        node_disk_writes_merged_total{device="nvme0n1"} 0
        node_disk_written_bytes_total{device="nvme0n1"} 0
        node_disk_write_time_seconds_total{device="nvme0n1"} 0
        node_disk_io_now{device="nvme0n1"} 0
        node_disk_io_time_seconds_total{device="nvme0n1"} 0.005
        node_disk_io_time_weighted_seconds_total{device="nvme0n1"} 0.005
    "#]],
    );
}

#[test]
fn entropy() {
    check(
        "entropy",
        expect![[r#"
        node_entropy_available_bits 256
        node_entropy_pool_size_bits 256
    "#]],
    );
}

#[test]
fn filefd() {
    check(
        "filefd",
        expect![[r#"
        node_filefd_allocated 1024
        node_filefd_maximum 9223372036854776000
    "#]],
    );
}

#[test]
fn filesystem() {
    check(
        "filesystem",
        expect![[r#"
            node_filesystem_device_error{device="/dev/sda1",fstype="ext4",mountpoint="/"} 0
            node_filesystem_readonly{device="/dev/sda1",fstype="ext4",mountpoint="/"} 0
            node_filesystem_size_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 1000
            node_filesystem_free_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 500
            node_filesystem_avail_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 400
            node_filesystem_files{device="/dev/sda1",fstype="ext4",mountpoint="/"} 64
            node_filesystem_files_free{device="/dev/sda1",fstype="ext4",mountpoint="/"} 32
            node_filesystem_device_error{device="/dev/sdb1",fstype="vfat",mountpoint="/mnt/usb stick"} 0
            node_filesystem_readonly{device="/dev/sdb1",fstype="vfat",mountpoint="/mnt/usb stick"} 1
            node_filesystem_size_bytes{device="/dev/sdb1",fstype="vfat",mountpoint="/mnt/usb stick"} 1000
            node_filesystem_free_bytes{device="/dev/sdb1",fstype="vfat",mountpoint="/mnt/usb stick"} 500
            node_filesystem_avail_bytes{device="/dev/sdb1",fstype="vfat",mountpoint="/mnt/usb stick"} 400
            node_filesystem_files{device="/dev/sdb1",fstype="vfat",mountpoint="/mnt/usb stick"} 64
            node_filesystem_files_free{device="/dev/sdb1",fstype="vfat",mountpoint="/mnt/usb stick"} 32
        "#]],
    );
}

#[test]
fn loadavg() {
    check(
        "loadavg",
        expect![[r#"
        node_load1 0.25
        node_load5 1.5
        node_load15 2.75
    "#]],
    );
}

#[test]
fn meminfo() {
    check(
        "meminfo",
        expect![[r#"
        node_memory_MemTotal_bytes 16384000000
        node_memory_MemAvailable_bytes 8192000000
        node_memory_Active_anon_bytes 1048576
        node_memory_HugePages_Total 2
    "#]],
    );
}

#[test]
fn netclass() {
    check(
        "netclass",
        expect![[r#"
        node_network_up{device="eth0"} 1
        node_network_carrier{device="eth0"} 1
        node_network_mtu_bytes{device="eth0"} 1500
        node_network_speed_bytes{device="eth0"} 125000000
        node_network_up{device="lo"} 0
    "#]],
    );
}

#[test]
fn netdev() {
    check(
        "netdev",
        expect![[r#"
        node_network_receive_bytes_total{device="lo"} 1000
        node_network_receive_packets_total{device="lo"} 10
        node_network_receive_errs_total{device="lo"} 0
        node_network_receive_drop_total{device="lo"} 0
        node_network_receive_fifo_total{device="lo"} 0
        node_network_receive_frame_total{device="lo"} 0
        node_network_receive_compressed_total{device="lo"} 0
        node_network_receive_multicast_total{device="lo"} 0
        node_network_transmit_bytes_total{device="lo"} 1000
        node_network_transmit_packets_total{device="lo"} 10
        node_network_transmit_errs_total{device="lo"} 0
        node_network_transmit_drop_total{device="lo"} 0
        node_network_transmit_fifo_total{device="lo"} 0
        node_network_transmit_colls_total{device="lo"} 0
        node_network_transmit_carrier_total{device="lo"} 0
        node_network_transmit_compressed_total{device="lo"} 0
        node_network_receive_bytes_total{device="eth0:1"} 5000
        node_network_receive_packets_total{device="eth0:1"} 50
        node_network_receive_errs_total{device="eth0:1"} 1
        node_network_receive_drop_total{device="eth0:1"} 2
        node_network_receive_fifo_total{device="eth0:1"} 3
        node_network_receive_frame_total{device="eth0:1"} 4
        node_network_receive_compressed_total{device="eth0:1"} 5
        node_network_receive_multicast_total{device="eth0:1"} 6
        node_network_transmit_bytes_total{device="eth0:1"} 7000
        node_network_transmit_packets_total{device="eth0:1"} 70
        node_network_transmit_errs_total{device="eth0:1"} 8
        node_network_transmit_drop_total{device="eth0:1"} 9
        node_network_transmit_fifo_total{device="eth0:1"} 10
        node_network_transmit_colls_total{device="eth0:1"} 11
        node_network_transmit_carrier_total{device="eth0:1"} 12
        node_network_transmit_compressed_total{device="eth0:1"} 13
    "#]],
    );
}

#[test]
fn netstat() {
    check(
        "netstat",
        expect![[r#"
        node_netstat_TcpExt_SyncookiesSent 1
        node_netstat_TcpExt_ListenDrops 2
        node_netstat_IpExt_InOctets 99
        node_netstat_Ip_Forwarding 1
        node_netstat_Tcp_CurrEstab 5
        node_netstat_Ip6_InOctets 77
        node_netstat_Udp6_InErrors 8
    "#]],
    );
}

#[test]
fn pressure() {
    check(
        "pressure",
        expect![[r#"
        node_pressure_cpu_waiting_seconds_total 2.5
        node_pressure_io_waiting_seconds_total 1
        node_pressure_io_stalled_seconds_total 0.5
    "#]],
    );
}

#[test]
fn sockstat() {
    check(
        "sockstat",
        expect![[r#"
        node_sockstat_sockets_used 290
        node_sockstat_TCP_inuse 4
        node_sockstat_TCP_orphan 0
        node_sockstat_TCP_tw 1
        node_sockstat_TCP_alloc 22
        node_sockstat_TCP_mem 3
        node_sockstat_TCP_mem_bytes 12288
    "#]],
    );
}

#[test]
fn stat() {
    check(
        "stat",
        expect![[r#"
        node_intr_total 123456
        node_context_switches_total 654321
        node_boot_time_seconds 1700000000
        node_forks_total 4242
        node_procs_running 3
        node_procs_blocked 1
    "#]],
    );
}

#[test]
fn time() {
    check(
        "time",
        expect![[r#"
        node_time_seconds 1700000123.5
    "#]],
    );
}

#[test]
fn uname() {
    check(
        "uname",
        expect![[r##"
        node_uname_info{domainname="(none)",machine="x86_64",nodename="storm",release="6.1.0",sysname="Linux",version="#1 SMP"} 1
    "##]],
    );
}

#[test]
fn vmstat() {
    check(
        "vmstat",
        expect![[r#"
        node_vmstat_pgpgin 2
        node_vmstat_pswpout 3
        node_vmstat_pgmajfault 4
        node_vmstat_oom_kill 5
    "#]],
    );
}

#[test]
fn a_jittering_idle_counter_never_falls_but_a_new_cpu_starts_over() {
    let mut plugin: HostMetrics = init(r#"{"collectors": ["cpu"]}"#).unwrap();
    let mut idle = |ticks: u32| {
        let stat = format!("cpu0 100 0 0 {ticks} 0 0 0 0 0 0\n");
        Host::new().file("/proc/stat", stat).run(|| {
            let mut out = Metrics::new();
            plugin.collect(&mut out).unwrap();
            let text = render(&out);
            let line = text.lines().find(|line| line.contains("idle")).unwrap();
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        })
    };
    assert_eq!([2000, 1990, 2001, 300].map(&mut idle), [20.0, 20.0, 20.01, 3.0]);
}

#[test]
fn a_missing_grant_for_space_is_logged_once() {
    machine().run(|| {
        let mut plugin: HostMetrics = init(r#"{"collectors": ["filesystem"]}"#).unwrap();
        for _ in 0..2 {
            plugin.collect(&mut Metrics::new()).unwrap();
        }
        assert_eq!(
            logged(),
            ["file systems such as /run/lock are left out; grant {path: /run/lock, mode: stat} to have them"]
        );
    });
}

#[test]
fn a_failing_part_leaves_the_others() {
    Host::new().file("/proc/loadavg", "1 2 3").run(|| {
        let mut plugin: HostMetrics = init(r#"{"collectors": ["loadavg", "meminfo"]}"#).unwrap();
        for _ in 0..2 {
            let mut out = Metrics::new();
            plugin.collect(&mut out).unwrap();
            let text = render(&out);
            assert!(text.contains("node_load1 1\n"), "{text}");
            assert!(text.contains("node_scrape_collector_success{collector=\"loadavg\"} 1\n"), "{text}");
            assert!(text.contains("node_scrape_collector_success{collector=\"meminfo\"} 0\n"), "{text}");
        }
        assert_eq!(logged(), ["collector meminfo failed: /proc/meminfo: no such file"]);
    });
}

#[test]
fn nothing_at_all_is_an_error_that_says_why() {
    Host::new().run(|| {
        let mut plugin: HostMetrics = init(r#"{"collectors": ["loadavg"]}"#).unwrap();
        let error = plugin.collect(&mut Metrics::new()).unwrap_err();
        assert_eq!(error.message(), "no collector succeeded; loadavg: /proc/loadavg: no such file");
    });
}

#[test]
fn the_schema_knows_every_key_and_part() {
    let schema: serde_json::Value = serde_json::from_str(HostMetrics::CONFIG_SCHEMA).unwrap();
    let config = serde_json::to_value(Config::default()).unwrap();
    let keys =
        |object: &serde_json::Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&schema["properties"]), keys(&config));
    assert_eq!(schema["properties"]["collectors"]["items"]["enum"], config["collectors"]);
    let names: Vec<_> = Part::ALL.iter().map(|part| part.as_str()).collect();
    assert_eq!(config["collectors"], serde_json::to_value(names).unwrap());
}

#[test]
fn a_wrong_pattern_names_its_key() {
    let error = init::<HostMetrics>(r#"{"mount_points_exclude": "("}"#).map(drop).unwrap_err();
    assert!(error.message().starts_with("mount_points_exclude is no regular expression"), "{error}");
}
