//! Asks an HTTP endpoint and tells whether and how it answered, under the names of blackbox_exporter. Scrape jobs ask for it
//! at `/api/v1/plugins/<name>/probe`; a target is a URL, or `host:port` for `http://host:port/`.
//!
//! The parameter `module` of the job picks one of the `modules` of the configuration; without it, the first by name.

mod config;

use stormglass_sdk::http::{self, Request, Response};
use stormglass_sdk::http_trace::{self, Exchange, Options, Phases};
use stormglass_sdk::net::{TlsOptions, TlsSession};
use stormglass_sdk::{Error, Label, Metrics, Plugin, Prober, Result, Wish, prober};

use crate::config::{Config, Module};

/// Redirects that are followed: as many as blackbox_exporter follows.
const REDIRECTS_MAX: usize = 10;

struct HttpProbe {
    config: Config,
}

impl Plugin for HttpProbe {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");

    const WISHES: &'static [Wish] =
        &[Wish { capability: "http", target: "every target of the job", reason: "ask it" }];

    fn init(config: Config) -> Result<Self> {
        for (name, module) in &config.modules {
            module.check().map_err(|error| error.context(format!("module {name}")))?;
        }
        Ok(Self { config })
    }
}

impl Prober for HttpProbe {
    fn probe(&mut self, target: &str, params: &[Label], out: &mut Metrics) -> Result<()> {
        let name = params.iter().find(|param| param.name == "module").map(|param| param.value.as_str());
        let module = match name {
            Some(name) => self.config.modules.get(name),
            None => self.config.modules.values().next(),
        };
        let module = module
            .ok_or_else(|| Error::permanent(format!("there is no module {:?}", name.unwrap_or_default())))?;
        let url = if target.contains("://") { target.to_owned() } else { format!("http://{target}/") };
        let probed = ask(module, url)?;
        let success = probed.tell(module, out);
        out.gauge("probe_success", "Whether the answer was a good one.")
            .set(&[], f64::from(u8::from(success)));
        Ok(())
    }
}

/// What came of asking, the redirects that were followed included.
struct Probed {
    /// The last exchange.
    exchange: Exchange,
    /// Of all of them together.
    phases: Phases,
    redirects: usize,
    /// Whether there was one redirect more than is followed.
    lost: bool,
}

/// Asks, and follows redirects where the module says so.
fn ask(module: &Module, mut url: String) -> Result<Probed> {
    let options = Options { family: module.family(), tls: Some(tls(module)) };
    let mut phases = Phases::ZERO;
    for redirects in 0.. {
        let method = if redirects == 0 { module.method.as_str() } else { "GET" };
        let exchange = http_trace::trace(&request(module, method, &url), &options);
        // What was denied is the operator's to mend, and nothing about the target.
        if let Err(error @ (http::Error::Denied(_) | http::Error::Invalid(_))) = exchange.response {
            return Err(error.into());
        }
        add(&mut phases, exchange.phases);
        let next = exchange.response.as_ref().ok().filter(|_| module.follow_redirects);
        let next = next.and_then(|response| location(response, &url));
        match next {
            Some(next) if redirects < REDIRECTS_MAX => url = next,
            next => return Ok(Probed { exchange, phases, redirects, lost: next.is_some() }),
        }
    }
    Err(Error::permanent("redirected without end"))
}

fn request(module: &Module, method: &str, url: &str) -> Request {
    let body = if method == module.method { module.body.clone() } else { String::new() };
    let request = Request::new(method, url).body(body);
    let request = module.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    match module.timeout {
        Some(timeout) => request.timeout(timeout.0),
        None => request,
    }
}

fn tls(module: &Module) -> TlsOptions {
    TlsOptions {
        server_name: module.tls_config.server_name.clone(),
        authorities: module.tls_config.ca.clone().into_bytes(),
        accept_invalid: module.tls_config.insecure_skip_verify,
        ..TlsOptions::SYSTEM
    }
}

/// Where a response redirects to, as an absolute URL.
fn location(response: &Response, url: &str) -> Option<String> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.header("Location")?;
    let (scheme, _) = url.split_once("://")?;
    Some(if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{}{location}", http::origin(url))
    } else {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let folder = path.rfind('/').filter(|at| *at > scheme.len() + 2).map_or(path, |at| &path[..at]);
        format!("{folder}/{location}")
    })
}

fn add(sum: &mut Phases, more: Phases) {
    sum.resolve_ns += more.resolve_ns;
    sum.connect_ns += more.connect_ns;
    sum.tls_ns += more.tls_ns;
    sum.processing_ns += more.processing_ns;
    sum.transfer_ns += more.transfer_ns;
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

impl Probed {
    /// Tells all of it, and whether the answer was a good one.
    fn tell(&self, module: &Module, out: &mut Metrics) -> bool {
        let Phases { resolve_ns, connect_ns, tls_ns, processing_ns, transfer_ns } = self.phases;
        let phases = [
            ("resolve", resolve_ns),
            ("connect", connect_ns),
            ("tls", tls_ns),
            ("processing", processing_ns),
            ("transfer", transfer_ns),
        ];
        let total = phases.iter().map(|(_, ns)| ns).sum();
        out.gauge("probe_duration_seconds", "Time until the whole answer was there.")
            .set(&[], seconds(total));
        out.gauge("probe_dns_lookup_time_seconds", "Time until names had addresses.")
            .set(&[], seconds(resolve_ns));
        let mut family = out.gauge("probe_http_duration_seconds", "Time of each phase, over all redirects.");
        for (phase, ns) in phases {
            family.set(&[("phase", phase)], seconds(ns));
        }
        out.gauge("probe_http_redirects", "Redirects that were followed.").set(&[], self.redirects as f64);
        let address = &self.exchange.address;
        let protocol = if address.is_empty() {
            0.0
        } else if address.contains(':') {
            6.0
        } else {
            4.0
        };
        out.gauge("probe_ip_protocol", "4 or 6, for the version of IP; 0 where nobody was reached.")
            .set(&[], protocol);
        out.gauge("probe_ip_addr_hash", "A hash of the address, to see it change.")
            .set(&[], f64::from(hash(address)));
        out.gauge("probe_http_ssl", "Whether TLS was spoken at last.")
            .set(&[], f64::from(u8::from(self.exchange.session.is_some())));
        if let Some(session) = &self.exchange.session {
            tell_tls(session, out);
        }
        match &self.exchange.response {
            Ok(response) => {
                let version: f64 = self.exchange.http_version.parse().unwrap_or(0.0);
                tell_response(response, version, out);
                let by_regex = module.fails_by_regex(&response.text());
                out.gauge("probe_failed_due_to_regex", "Whether the body is why the probe failed.")
                    .set(&[], f64::from(u8::from(by_regex)));
                let is_tls = self.exchange.session.is_some();
                !self.lost && !by_regex && module.is_good(response, &self.exchange.http_version, is_tls)
            }
            Err(error) => {
                let phase = if matches!(error, http::Error::Connect(_)) { "connect" } else { "transfer" };
                out.gauge("probe_failed_phase", "1 for where the probe ended.").set(&[("phase", phase)], 1.0);
                out.gauge("probe_failed_due_to_regex", "Whether the body is why the probe failed.")
                    .set(&[], 0.0);
                false
            }
        }
    }
}

fn tell_response(response: &Response, version: f64, out: &mut Metrics) {
    out.gauge("probe_http_status_code", "Status of the answer.").set(&[], f64::from(response.status));
    out.gauge("probe_http_version", "Version of HTTP.").set(&[], version);
    let declared = response.header("Content-Length").and_then(|text| text.parse::<f64>().ok());
    out.gauge(
        "probe_http_content_length",
        "Bytes of the answer's body, as it declares them; -1 where it does not.",
    )
    .set(&[], declared.unwrap_or(-1.0));
    out.gauge("probe_http_uncompressed_body_length", "Bytes of the answer's body.")
        .set(&[], response.body.len() as f64);
}

fn tell_tls(session: &TlsSession, out: &mut Metrics) {
    out.gauge("probe_tls_version_info", "1 with the version of TLS.")
        .set(&[("version", &session.version)], 1.0);
    out.gauge("probe_tls_cipher_info", "1 with the cipher.").set(&[("cipher", &session.cipher)], 1.0);
    if let Some(earliest) = session.certificates.iter().map(|certificate| certificate.not_after).min() {
        out.gauge(
            "probe_ssl_earliest_cert_expiry",
            "When the first of the certificates ends, since the Unix epoch.",
        )
        .set(&[], earliest as f64);
    }
    if let Some(until) = session.verified_until {
        let help = "Until when the chain that was verified holds, since the Unix epoch.";
        out.gauge("probe_ssl_last_chain_expiry_timestamp_seconds", help).set(&[], until as f64);
    }
    if let Some(leaf) = session.certificates.first() {
        let names = leaf.names.join(",");
        out.gauge("probe_ssl_last_chain_info", "1 with the server's certificate.").set(
            &[
                ("fingerprint_sha256", &leaf.fingerprint),
                ("subject", &leaf.subject),
                ("issuer", &leaf.issuer),
                ("subjectalternative", &names),
                ("serialnumber", &leaf.serial),
            ],
            1.0,
        );
    }
}

/// FNV-1a, 32 bits.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

prober!(HttpProbe);

#[cfg(test)]
mod tests;
