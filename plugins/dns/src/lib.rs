//! Scrape targets out of the DNS, as Prometheus' `dns_sd_configs`: SRV records have host and port, of the others the
//! configuration has the port. One group for each name; a name that cannot be asked about keeps the group it had.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use stormglass_sdk::dns::{self, Data, Entry, RecordType};
use stormglass_sdk::{
    ConfigDuration, Discoverer, Error, Label, Plugin, Result, Snapshot, Target, TargetGroup, Wish,
    discoverer, log,
};

/// How long one look-up may take.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The `config:` of the plugin's entry, or an entry of `dns_sd_configs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    names: Vec<String>,
    #[serde(default, rename = "type")]
    kind: Kind,
    #[serde(default)]
    port: Option<u16>,
    /// `host:port` of a server to ask rather than the system's.
    #[serde(default)]
    server: Option<String>,
    /// How often; by the server's interval where there is none.
    #[serde(default)]
    refresh_interval: Option<ConfigDuration>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Srv,
    A,
    Aaaa,
    Mx,
    Ns,
}

impl<'de> Deserialize<'de> for Kind {
    /// In any case, as Prometheus takes them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.to_ascii_uppercase().as_str() {
            "SRV" => Self::Srv,
            "A" => Self::A,
            "AAAA" => Self::Aaaa,
            "MX" => Self::Mx,
            "NS" => Self::Ns,
            _ => {
                let what =
                    format!("invalid DNS-SD records type {text}: SRV, A, AAAA, MX and NS are asked for");
                return Err(serde::de::Error::custom(what));
            }
        })
    }
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::Srv => RecordType::Srv,
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::Aaaa,
            Self::Mx => RecordType::Mx,
            Self::Ns => RecordType::Ns,
        }
    }
}

/// The plugin.
pub struct Dns {
    config: Config,
    /// What each name had when it was last asked about.
    known: BTreeMap<String, TargetGroup>,
}

impl Plugin for Dns {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["names"],
        "properties": {
            "names": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
            "type": {"type": "string", "description": "SRV, A, AAAA, MX or NS; SRV if absent."},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "Of all but SRV records."},
            "server": {"type": "string", "description": "host:port of a server to ask rather than the system's."},
            "refresh_interval": {"type": "string", "pattern": "^([0-9]+(ms|[ywdhms]))+$"}
        }
    }"#;

    const WISHES: &'static [Wish] = &[
        Wish { capability: "dns", target: "all of `names`", reason: "look them up" },
        Wish { capability: "net", target: "`server`, where there is one", reason: "ask it" },
    ];

    fn init(config: Config) -> Result<Self> {
        if config.kind != Kind::Srv && config.port.is_none() {
            return Err(Error::permanent(
                "a port is required in DNS-SD configs for all record types except SRV",
            ));
        }
        Ok(Self { config, known: BTreeMap::new() })
    }
}

impl Discoverer for Dns {
    fn poll(&mut self) -> Result<Snapshot> {
        let mut failed = None;
        for name in &self.config.names {
            let server = self.config.server.as_deref();
            let found = match dns::lookup_at(name, self.config.kind.record_type(), server, Some(TIMEOUT)) {
                Ok(found) => found,
                // As Prometheus has it: whoever asks for a name that is gone wants no targets of it.
                Err(dns::Error::NoSuchName) => Vec::new(),
                Err(error @ (dns::Error::Denied(_) | dns::Error::Invalid(_))) => return Err(error.into()),
                Err(error) => {
                    failed = Some(Error::from(error).context(format!("look up {name}")));
                    continue;
                }
            };
            let targets = found.iter().filter_map(|entry| target(name, entry, self.config.port)).collect();
            let group = TargetGroup { source: name.clone(), targets, labels: Vec::new() };
            self.known.insert(name.clone(), group);
        }
        match failed {
            // Nothing is known of a name: the server keeps what it had from before this instance.
            Some(error) if self.known.len() < self.config.names.len() => return Err(error),
            Some(error) => log::warn!("{error}; its targets stay as they were"),
            None => {}
        }
        let snapshot = Snapshot::new(self.known.values().cloned().collect());
        Ok(match self.config.refresh_interval {
            Some(interval) => snapshot.poll_after(interval.0),
            None => snapshot,
        })
    }
}

/// The target that a record stands for. All labels are there, as in Prometheus, and those of other types empty.
fn target(name: &str, entry: &Entry, port: Option<u16>) -> Option<Target> {
    let port = port.unwrap_or_default();
    let (mut srv_target, mut srv_port, mut mx, mut ns) = ("", String::new(), "", "");
    let (host, port) = match &entry.data {
        Data::Srv(service) => {
            (srv_target, srv_port) = (service.target.as_str(), service.port.to_string());
            (service.target.as_str(), service.port)
        }
        Data::Address(address) => (address.as_str(), port),
        Data::Mx(exchange) => {
            mx = exchange.host.as_str();
            (mx, port)
        }
        Data::Name(server) => {
            ns = server.as_str();
            (ns, port)
        }
        Data::Txt(_) => return None,
    };
    let host = host.trim_end_matches('.');
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let labels = [
        ("__meta_dns_name", name),
        ("__meta_dns_srv_record_target", srv_target),
        ("__meta_dns_srv_record_port", srv_port.as_str()),
        ("__meta_dns_mx_record_target", mx),
        ("__meta_dns_ns_record_target", ns),
    ];
    Some(Target { address, labels: labels.map(|(name, value)| Label::new(name, value)).to_vec() })
}

discoverer!(Dns);

#[cfg(test)]
mod tests;
