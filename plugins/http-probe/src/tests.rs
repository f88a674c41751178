//! Exchanges as probes tell them.

use stormglass_sdk::http::Header;
use stormglass_sdk::net::Certificate;
use stormglass_sdk::testing;

use super::*;

const CONFIG: &str = r#"{"modules": {
    "http_2xx": {},
    "login": {"body_contains": "Log in", "valid_status_codes": [401]},
    "patterns": {"fail_if_body_matches_regexp": ["err(or)?"], "fail_if_body_not_matches_regexp": ["^ok"]},
    "secure": {"fail_if_not_ssl": true, "valid_http_versions": ["HTTP/1.1"]},
    "stay": {"follow_redirects": false, "valid_status_codes": [302]}
}}"#;

fn exchange(response: Result<Response, http::Error>) -> Exchange {
    let phases = Phases {
        resolve_ns: 1_000_000,
        connect_ns: 2_000_000,
        tls_ns: 0,
        processing_ns: 3_000_000,
        transfer_ns: 4_000_000,
    };
    let reached = response.is_ok();
    let (http_version, address) =
        if reached { ("1.1".to_owned(), "192.0.2.1".to_owned()) } else { Default::default() };
    Exchange { response, http_version, phases, address, session: None }
}

fn probe(target: &str, module: &str, exchanges: Vec<(&'static str, Exchange)>) -> Result<Vec<String>> {
    let mut plugin: HttpProbe = testing::init(CONFIG).unwrap();
    let mut out = Metrics::new();
    let mut exchanges = exchanges.into_iter();
    let host = testing::Host::new().trace(move |request| {
        let (url, exchange) = exchanges.next().unwrap();
        assert_eq!(request.url, url);
        exchange
    });
    host.run(|| plugin.probe(target, &[Label::new("module", module)], &mut out))?;
    Ok(testing::render(&out).lines().map(str::to_owned).collect())
}

fn check(module: &str, exchange: Exchange, expected: &[&str]) {
    let lines = probe("shop:80", module, vec![("http://shop:80/", exchange)]).unwrap();
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
    }
}

fn answer(status: u16, body: &str) -> Exchange {
    exchange(Ok(testing::response(status, body)))
}

#[test]
fn answers_are_judged_by_the_module() {
    let good = [
        "probe_duration_seconds 0.01",
        "probe_dns_lookup_time_seconds 0.001",
        "probe_http_duration_seconds{phase=\"processing\"} 0.003",
        "probe_http_redirects 0",
        "probe_ip_protocol 4",
        "probe_http_ssl 0",
        "probe_http_version 1.1",
        "probe_http_status_code 200",
        "probe_http_content_length -1",
        "probe_http_uncompressed_body_length 2",
        "probe_failed_due_to_regex 0",
        "probe_success 1",
    ];
    check("http_2xx", answer(200, "ok"), &good);
    check("login", answer(200, "ok"), &["probe_success 0"]);
    check("login", answer(401, "Log in"), &["probe_success 1"]);
    check("patterns", answer(200, "ok"), &["probe_failed_due_to_regex 0", "probe_success 1"]);
    check("patterns", answer(200, "ok, error"), &["probe_failed_due_to_regex 1", "probe_success 0"]);
    check("patterns", answer(200, "fine"), &["probe_failed_due_to_regex 1", "probe_success 0"]);
    check("secure", answer(200, "ok"), &["probe_success 0"]);
}

#[test]
fn certificates_are_told() {
    let certificate = |not_after| Certificate {
        subject: "CN=shop".to_owned(),
        issuer: "CN=ca".to_owned(),
        names: vec!["shop".to_owned(), "www.shop".to_owned()],
        serial: "2a".to_owned(),
        not_before: 0,
        not_after,
        fingerprint: "ff".to_owned(),
    };
    let mut exchange = answer(200, "ok");
    exchange.session = Some(TlsSession {
        version: "TLS 1.3".to_owned(),
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        protocol: "http/1.1".to_owned(),
        certificates: vec![certificate(2_000), certificate(1_000)],
        verified_until: Some(1_000),
        problem: None,
    });
    check(
        "secure",
        exchange,
        &[
            "probe_http_ssl 1",
            "probe_tls_version_info{version=\"TLS 1.3\"} 1",
            "probe_ssl_earliest_cert_expiry 1000",
            "probe_ssl_last_chain_expiry_timestamp_seconds 1000",
            "probe_ssl_last_chain_info{fingerprint_sha256=\"ff\",subject=\"CN=shop\",issuer=\"CN=ca\",\
             subjectalternative=\"shop,www.shop\",serialnumber=\"2a\"} 1",
            "probe_success 1",
        ],
    );
}

#[test]
fn redirects_are_followed_where_the_module_says_so() {
    let moved = |to: &str| {
        let mut response = testing::response(302, "");
        response.headers.push(Header { name: "Location".to_owned(), value: to.to_owned() });
        exchange(Ok(response))
    };
    let hops = vec![
        ("http://shop/a/b?c", moved("d")),
        ("http://shop/a/d", moved("/e")),
        ("http://shop/e", moved("https://other/")),
        ("https://other/", moved("//third/x")),
        ("https://third/x", answer(200, "ok")),
    ];
    let lines = probe("http://shop/a/b?c", "http_2xx", hops).unwrap();
    assert!(lines.contains(&"probe_http_redirects 4".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"probe_duration_seconds 0.05".to_owned()), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "probe_success 1");
    check("stay", moved("/x"), &["probe_http_redirects 0", "probe_http_status_code 302", "probe_success 1"]);
    let circle = (0..=REDIRECTS_MAX).map(|_| ("http://shop/", moved("/"))).collect();
    let lines = probe("http://shop/", "http_2xx", circle).unwrap();
    assert_eq!(lines.last().unwrap(), "probe_success 0");
}

#[test]
fn a_target_that_does_not_answer_is_an_answer() {
    check(
        "http_2xx",
        exchange(Err(http::Error::Connect("refused".to_owned()))),
        &["probe_failed_phase{phase=\"connect\"} 1", "probe_ip_protocol 0", "probe_success 0"],
    );
}

#[test]
fn what_the_operator_must_mend_is_an_error() {
    let mut plugin: HttpProbe = testing::init(CONFIG).unwrap();
    let error = testing::Host::new().run(|| plugin.probe("shop:80", &[], &mut Metrics::new()));
    assert!(error.unwrap_err().to_string().contains("not granted"));
    let error = probe("shop:80", "none", Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "there is no module \"none\"");
    let config = r#"{"modules": {"a": {"fail_if_ssl": true, "fail_if_not_ssl": true}}}"#;
    assert!(testing::init::<HttpProbe>(config).is_err());
    let config = r#"{"modules": {"a": {"fail_if_body_matches_regexp": ["("]}}}"#;
    assert!(testing::init::<HttpProbe>(config).is_err());
}
