//! `node_network_*`: counters from `/proc/net/dev`, state from `/sys/class/net`.

use stormglass_sdk::{MetricKind, Metrics, Result, files};

use crate::paths::{Paths, number};

/// The columns of `/proc/net/dev`, received ones first: the middle of the metric's name, and help.
const COLUMNS: [(&str, &str); 16] = [
    ("receive_bytes", "Bytes received."),
    ("receive_packets", "Packets received."),
    ("receive_errs", "Packets received with errors."),
    ("receive_drop", "Received packets dropped."),
    ("receive_fifo", "Received packets lost to a full queue."),
    ("receive_frame", "Packets received with framing errors."),
    ("receive_compressed", "Compressed packets received."),
    ("receive_multicast", "Multicast packets received."),
    ("transmit_bytes", "Bytes sent."),
    ("transmit_packets", "Packets sent."),
    ("transmit_errs", "Packets that could not be sent."),
    ("transmit_drop", "Packets dropped before they were sent."),
    ("transmit_fifo", "Packets to send lost to a full queue."),
    ("transmit_colls", "Collisions."),
    ("transmit_carrier", "Losses of carrier while sending."),
    ("transmit_compressed", "Compressed packets sent."),
];

/// What a megabit per second is in bytes.
const BYTES_PER_MEGABIT: f64 = 1e6 / 8.0;

/// Files of `/sys/class/net/<device>` that hold one number: metric, kind, factor, help.
const ATTRIBUTES: [(&str, &str, MetricKind, f64, &str); 5] = [
    ("carrier", "node_network_carrier", MetricKind::Gauge, 1.0, "Whether the link is there."),
    (
        "carrier_changes",
        "node_network_carrier_changes_total",
        MetricKind::Counter,
        1.0,
        "Changes of the link.",
    ),
    ("mtu", "node_network_mtu_bytes", MetricKind::Gauge, 1.0, "The largest packet."),
    (
        "speed",
        "node_network_speed_bytes",
        MetricKind::Gauge,
        BYTES_PER_MEGABIT,
        "Bytes per second of the link.",
    ),
    (
        "tx_queue_len",
        "node_network_transmit_queue_length",
        MetricKind::Gauge,
        1.0,
        "The most packets that may wait.",
    ),
];

pub(crate) fn collect_counters(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let text = paths.proc("net/dev")?;
    for line in text.lines().skip(2) {
        // The device's name may hold colons itself (`eth0:1`), its values never.
        let Some((device, values)) = line.rsplit_once(':') else { continue };
        for ((column, help), value) in COLUMNS.iter().zip(values.split_ascii_whitespace()) {
            out.counter(&format!("node_network_{column}_total"), help)
                .set(&[("device", device.trim_start())], number(value)?);
        }
    }
    Ok(())
}

pub(crate) fn collect_class(paths: &Paths, out: &mut Metrics) -> Result<()> {
    let devices = files::read_dir(&format!("{}/class/net", paths.sysfs))?;
    for device in devices.iter().map(|entry| entry.name.as_str()) {
        let labels = [("device", device)];
        // Not every entry is a device: `bonding_masters` is a file.
        let Some(state) = attribute(paths, device, "operstate") else { continue };
        out.gauge("node_network_up", "Whether the device is up.").set(&labels, f64::from(state == "up"));
        for (file, name, kind, factor, help) in ATTRIBUTES {
            let value = attribute(paths, device, file).and_then(|text| text.parse::<f64>().ok());
            // A speed below zero is an unknown one.
            if let Some(value) = value.filter(|value| *value >= 0.0) {
                out.family(name, kind, help).set(&labels, value * factor);
            }
        }
    }
    Ok(())
}

/// One attribute of a device. Reading some of them fails while the device is down, which is no failure of ours.
fn attribute(paths: &Paths, device: &str, name: &str) -> Option<String> {
    let text = paths.sys_if_any(&format!("class/net/{device}/{name}")).ok()??;
    Some(text.trim().to_owned())
}
