//! The modules: how a target is asked, and which answer is good.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::{Deserialize, Deserializer};
use stormglass_sdk::http::Response;
use stormglass_sdk::net::Family;
use stormglass_sdk::{ConfigDuration, Error, Result};

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) modules: BTreeMap<String, Module>,
}

/// How a target is asked, and which answer is good. Keys as in blackbox_exporter, where it has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Module {
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) timeout: Option<ConfigDuration>,
    #[serde(default = "yes")]
    pub(crate) follow_redirects: bool,
    /// Only addresses of this version of IP; any where there is none.
    #[serde(default)]
    ip_protocol: Option<IpProtocol>,
    #[serde(default)]
    pub(crate) tls_config: Tls,
    /// Statuses that are good; 200 to 299 where there is none.
    #[serde(default)]
    valid_status_codes: Vec<u16>,
    /// Versions that are good, such as `HTTP/1.1`; all where there is none.
    #[serde(default)]
    valid_http_versions: Vec<String>,
    /// A text that the body must have.
    #[serde(default)]
    body_contains: Option<String>,
    #[serde(default)]
    fail_if_body_matches_regexp: Vec<Pattern>,
    #[serde(default)]
    fail_if_body_not_matches_regexp: Vec<Pattern>,
    #[serde(default)]
    fail_if_ssl: bool,
    #[serde(default)]
    fail_if_not_ssl: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum IpProtocol {
    Ip4,
    Ip6,
}

/// How certificates are checked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    pub(crate) server_name: Option<String>,
    /// Authorities to trust in place of the system's, PEM.
    pub(crate) ca: String,
    pub(crate) insecure_skip_verify: bool,
}

/// A regular expression.
#[derive(Debug)]
struct Pattern(Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Regex::new(&text).map(Self).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn yes() -> bool {
    true
}

impl Module {
    /// Whether any answer could be good.
    pub(crate) fn check(&self) -> Result<()> {
        if self.fail_if_ssl && self.fail_if_not_ssl {
            return Err(Error::permanent("fail_if_ssl and fail_if_not_ssl leave no good answer"));
        }
        Ok(())
    }

    pub(crate) fn family(&self) -> Family {
        match self.ip_protocol {
            None => Family::Any,
            Some(IpProtocol::Ip4) => Family::Ipv4,
            Some(IpProtocol::Ip6) => Family::Ipv6,
        }
    }

    /// Whether the body is no good.
    pub(crate) fn fails_by_regex(&self, body: &str) -> bool {
        self.fail_if_body_matches_regexp.iter().any(|pattern| pattern.0.is_match(body))
            || self.fail_if_body_not_matches_regexp.iter().any(|pattern| !pattern.0.is_match(body))
    }

    /// Whether the rest of the answer is.
    pub(crate) fn is_good(&self, response: &Response, version: &str, is_tls: bool) -> bool {
        let status = if self.valid_status_codes.is_empty() {
            response.is_success()
        } else {
            self.valid_status_codes.contains(&response.status)
        };
        let versions = &self.valid_http_versions;
        let version =
            versions.is_empty() || versions.iter().any(|valid| valid.strip_prefix("HTTP/") == Some(version));
        status
            && version
            && !(is_tls && self.fail_if_ssl)
            && (is_tls || !self.fail_if_not_ssl)
            && self.body_contains.as_ref().is_none_or(|wanted| response.text().contains(wanted))
    }
}
