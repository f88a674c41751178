//! `node_netstat_*`: node_exporter's selection from the protocol counters in `/proc/net`.

use stormglass_sdk::{MetricKind, Metrics, Result};

use crate::paths::{Paths, number};

pub(crate) fn collect(paths: &Paths, out: &mut Metrics) -> Result<()> {
    for file in ["net/netstat", "net/snmp"] {
        let text = paths.proc(file)?;
        // Lines come in pairs: `Tcp: ActiveOpens InSegs`, `Tcp: 12 3456`.
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let [names, values] = pair else { continue };
            let (Some((protocol, names)), Some((_, values))) =
                (names.split_once(':'), values.split_once(':'))
            else {
                continue;
            };
            for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
                add(out, protocol, name, value)?;
            }
        }
    }
    // `Ip6InOctets  1234`; not there without IPv6.
    for line in paths.proc_if_any("net/snmp6")?.iter().flat_map(|text| text.lines()) {
        let mut fields = line.split_ascii_whitespace();
        let (Some(field), Some(value)) = (fields.next(), fields.next()) else { continue };
        if let Some(at) = field.find('6') {
            let (protocol, name) = field.split_at(at + 1);
            add(out, protocol, name, value)?;
        }
    }
    Ok(())
}

fn add(out: &mut Metrics, protocol: &str, name: &str, value: &str) -> Result<()> {
    if is_selected(protocol, name) {
        let help = format!("The kernel's counter {name} of {protocol}.");
        out.family(&format!("node_netstat_{protocol}_{name}"), MetricKind::Unknown, &help)
            .set(&[], number(value)?);
    }
    Ok(())
}

fn is_selected(protocol: &str, name: &str) -> bool {
    if matches!(name, "InErrors" | "InErrs") {
        return true;
    }
    match protocol {
        "Ip" => name == "Forwarding",
        "Ip6" | "IpExt" => matches!(name, "InOctets" | "OutOctets"),
        "Icmp" | "Icmp6" => matches!(name, "InMsgs" | "OutMsgs"),
        "Tcp" => matches!(
            name,
            "ActiveOpens" | "CurrEstab" | "InSegs" | "OutRsts" | "OutSegs" | "PassiveOpens" | "RetransSegs"
        ),
        "TcpExt" => {
            matches!(name, "TCPOFOQueue" | "TCPRcvQDrop" | "TCPSynRetrans" | "TCPTimeouts")
                || name.starts_with("Listen")
                || name.starts_with("Syncookies")
        }
        "Udp" | "Udp6" => {
            matches!(name, "InDatagrams" | "NoPorts" | "OutDatagrams" | "RcvbufErrors" | "SndbufErrors")
        }
        _ => false,
    }
}
