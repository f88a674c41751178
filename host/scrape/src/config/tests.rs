//! What is read, and what is refused with its place.

use expect_test::{Expect, expect};

use super::*;

fn check_refused(yaml: &str, expected: &Expect) {
    let text = serde_saphyr::from_str::<ScrapeConfig>(yaml).unwrap_err().to_string();
    // The list of what would have been right grows with every release.
    let line = text.lines().next().and_then(|line| line.split(", expected one of job_name").next());
    expected.assert_eq(line.unwrap());
}

#[test]
fn a_job_needs_only_its_name() {
    let job: ScrapeConfig = serde_saphyr::from_str("job_name: api").unwrap();
    assert_eq!(job, ScrapeConfig::new("api"));
    let global = GlobalConfig::default();
    assert_eq!(job.interval(&global), Duration::from_secs(60));
    assert_eq!(job.timeout(&global), Duration::from_secs(10));
    assert_eq!(serde_saphyr::from_str::<GlobalConfig>("{}").unwrap(), global);
}

#[test]
fn everything_that_is_commonly_set_is_read() {
    let yaml = "
job_name: api
scrape_interval: 5s
scrape_timeout: 2500ms
metrics_path: /m
scheme: https
params: {module: [http_2xx], x: [a, b]}
honor_labels: true
honor_timestamps: false
body_size_limit: 10MB
sample_limit: 100
fallback_scrape_protocol: PrometheusText0.0.4
scrape_protocols: [PrometheusText0.0.4]
static_configs:
- targets: ['a:1', b]
  labels: {env: prod}
plugin_sd_configs: [{plugin: sd}]
relabel_configs:
- {source_labels: [__address__], target_label: x}
metric_relabel_configs:
- {action: labeldrop, regex: y}
authorization: {credentials: hush}
tls_config: {insecure_skip_verify: true}
follow_redirects: false
";
    let job: ScrapeConfig = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(job.static_configs[0].targets[1].as_str(), "b");
    assert_eq!(job.static_configs[0].labels.get("env"), Some("prod"));
    assert_eq!(job.body_size_limit, Some(ByteSize(10 << 20)));
    assert_eq!(job.fallback_format(), Some(Format::PrometheusText));
    assert_eq!(job.timeout(&GlobalConfig::default()), Duration::from_millis(2500));
    assert!(!format!("{job:?}").contains("hush"));
}

#[test]
fn the_default_timeout_is_cut_to_the_interval() {
    let job: ScrapeConfig = serde_saphyr::from_str("{job_name: a, scrape_interval: 3s}").unwrap();
    assert_eq!(job.timeout(&GlobalConfig::default()), Duration::from_secs(3));
    let global: GlobalConfig = serde_saphyr::from_str("scrape_interval: 2s").unwrap();
    assert_eq!(global.scrape_timeout(), Duration::from_secs(2));
}

#[test]
fn native_histograms_are_asked_for_where_they_are_wanted() {
    let check = |global: &str, job: &str, histograms, first| {
        let global: GlobalConfig = serde_saphyr::from_str(global).unwrap();
        let job: ScrapeConfig = serde_saphyr::from_str(&format!("job_name: a\n{job}")).unwrap();
        assert_eq!(job.histograms(&global), histograms);
        assert_eq!(job.resolved(&global).histograms(&GlobalConfig::default()), histograms);
        assert_eq!(job.resolved(&global).scrape_protocols.unwrap()[0], first);
    };
    use ScrapeProtocol::{OpenMetrics1_0, Protobuf, Text0_0_4};
    check("{}", "", Histograms::Classic, OpenMetrics1_0);
    check("{}", "always_scrape_classic_histograms: true", Histograms::Classic, OpenMetrics1_0);
    check("{}", "scrape_native_histograms: true", Histograms::Native, Protobuf);
    check("scrape_native_histograms: true", "", Histograms::Native, Protobuf);
    check(
        "scrape_native_histograms: true",
        "scrape_native_histograms: false",
        Histograms::Classic,
        OpenMetrics1_0,
    );
    check(
        "{scrape_native_histograms: true, scrape_protocols: [PrometheusText0.0.4]}",
        "always_scrape_classic_histograms: true",
        Histograms::NativeAndClassic,
        Text0_0_4,
    );
    check("scrape_protocols: [PrometheusProto]", "", Histograms::Classic, Protobuf);
}

#[test]
fn sections_are_checked_against_each_other() {
    let global: GlobalConfig = serde_saphyr::from_str("scrape_interval: 5s").unwrap();
    let long: ScrapeConfig = serde_saphyr::from_str("{job_name: a, scrape_timeout: 6s}").unwrap();
    let error = check(&global, &[long]).unwrap_err();
    expect![[r#"scrape config with job name "a": scrape timeout greater than scrape interval"#]]
        .assert_eq(&error.to_string());
    let error = check(&global, &[ScrapeConfig::new("a"), ScrapeConfig::new("a")]).unwrap_err();
    expect![[r#"scrape config with job name "a": found multiple scrape configs with this job name"#]]
        .assert_eq(&error.to_string());
}

#[test]
fn files_are_where_the_configuration_is() {
    let yaml = "
job_name: a
basic_auth: {password_file: secrets/password}
tls_config: {ca_file: /etc/ca.pem, cert_file: cert.pem, key_file: ''}
";
    let mut job: ScrapeConfig = serde_saphyr::from_str(yaml).unwrap();
    job.resolve_paths(Path::new("conf"));
    let password = job.http.basic_auth.as_ref().unwrap().password_file.as_deref();
    assert_eq!(password, Some(Path::new("conf/secrets/password")));
    let tls = &job.http.tls_config;
    assert_eq!(tls.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(tls.cert_file.as_deref(), Some(Path::new("conf/cert.pem")));
    assert_eq!(tls.key_file.as_deref(), Some(Path::new("")));
    let mut job: ScrapeConfig =
        serde_saphyr::from_str("{job_name: a, authorization: {credentials_file: token}}").unwrap();
    job.resolve_paths(Path::new("missing-folder"));
    let error = job.check_files().unwrap_err().to_string();
    assert!(
        error.starts_with("scrape config with job name \"a\": read missing-folder/token: No such file"),
        "{error}"
    );
}

#[test]
fn files_are_read_before_they_are_needed() {
    // Any file of this crate will do as a password; none is a certificate.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let job = |yaml: &str| {
        let mut job: ScrapeConfig = serde_saphyr::from_str(&format!("job_name: a\n{yaml}")).unwrap();
        job.resolve_paths(folder);
        job.check_files().map_err(|error| error.to_string())
    };
    assert_eq!(job("basic_auth: {password_file: Cargo.toml}"), Ok(()));
    let error = job("tls_config: {cert_file: Cargo.toml, key_file: Cargo.toml}").unwrap_err();
    assert!(
        error.starts_with("scrape config with job name \"a\": set up connections: builder error"),
        "{error}"
    );
}

#[test]
fn mistakes_are_refused_with_their_place() {
    check_refused("metrics_path: /m", &expect!["error: line 1 column 1: missing field `job_name`"]);
    check_refused("job_name: ''", &expect!["job_name is empty"]);
    check_refused(
        "{job_name: a, scrape_interval: 5s, scrape_timeout: 6s}",
        &expect![[r#"scrape timeout greater than scrape interval for scrape config with job name "a""#]],
    );
    check_refused(
        "{job_name: a, scrape_interval: 5}",
        &expect![[r#"error: line 1 column 32: not a valid duration string: "5""#]],
    );
    check_refused(
        "{job_name: a, scrape_intervall: 5s}",
        &expect!["error: line 1 column 15: unknown field `scrape_intervall`"],
    );
    check_refused(
        "{job_name: a, scheme: ftp}",
        &expect!["error: line 1 column 23: unknown variant `ftp`, expected one of http, https"],
    );
    check_refused(
        "{job_name: a, static_configs: [{targets: ['http://b/']}]}",
        &expect![[r#"error: line 1 column 43: "http://b/" is not a valid hostname"#]],
    );
    check_refused(
        "{job_name: a, static_configs: [{labels: {'': x}}]}",
        &expect![[r#"error: line 1 column 42: "" is not a valid label name"#]],
    );
    check_refused(
        "{job_name: a, body_size_limit: 10X}",
        &expect![[
            r#"error: line 1 column 32: "10X" is no size; write a whole number and a unit, as in 10MB"#
        ]],
    );
    check_refused(
        "{job_name: a, basic_auth: {username: u}, authorization: {}}",
        &expect!["at most one of basic_auth, oauth2 & authorization must be configured"],
    );
    check_refused(
        "{job_name: a, authorization: {type: Basic}}",
        &expect![[
            r#"error: line 1 column 30: authorization type cannot be set to "basic", use "basic_auth" instead"#
        ]],
    );
    check_refused(
        "{job_name: a, tls_config: {cert_file: x}}",
        &expect![[
            "error: line 1 column 27: exactly one of the certificate and its key is configured, both are needed: cert or cert_file, and key or key_file"
        ]],
    );
    let text = serde_saphyr::from_str::<GlobalConfig>("scrape_timeout: 2m").unwrap_err().to_string();
    expect!["global scrape timeout greater than scrape interval"].assert_eq(text.lines().next().unwrap());
}

#[test]
fn requests_are_configured_whole() {
    let yaml = "
job_name: a
oauth2: {client_id: me, client_secret_file: s, token_url: 'http://t/', tls_config: {ca_file: ca.pem}}
tls_config: {server_name: x, min_version: TLS13, ca: '-----'}
enable_http2: false
follow_redirects: false
proxy_url: socks5://p:1
no_proxy: 10.0.0.0/8
proxy_connect_header: {X-A: [hush]}
http_headers: {X-B: {secrets: [hush], files: [b]}}
file_sd_configs: [{files: [t/*.json]}]
http_sd_configs: [{url: 'http://sd/', refresh_interval: 5s, basic_auth: {username: u, password_file: p}}]
consul_sd_configs: [{server: 'c:8500'}]
";
    let mut job: ScrapeConfig = serde_saphyr::from_str(yaml).unwrap();
    job.resolve_paths(Path::new("conf"));
    let http = &job.http;
    assert_eq!(http.oauth2.as_ref().unwrap().client_secret_file.as_deref(), Some(Path::new("conf/s")));
    assert_eq!(http.oauth2.as_ref().unwrap().tls_config.ca_file.as_deref(), Some(Path::new("conf/ca.pem")));
    assert_eq!(
        (http.tls_config.min_version, http.tls_config.server_name.as_str()),
        (Some(TlsVersion::V1_3), "x")
    );
    assert!(!http.enable_http2 && !http.follow_redirects);
    assert_eq!(http.http_headers["X-B"].files, [Path::new("conf/b")]);
    assert_eq!(job.file_sd_configs[0].files, ["conf/t/*.json"]);
    assert_eq!(job.http_sd_configs[0].refresh_interval.0, Duration::from_secs(5));
    assert_eq!(job.sd_blocks[0].mechanism, "consul");
    let sources = ["a/file_sd_configs/0", "a/http_sd_configs/0", "a/consul_sd_configs/0"];
    assert_eq!(job.sources(), sources);
    assert!(!format!("{job:?}").contains("hush"));
    let job: ScrapeConfig = serde_saphyr::from_str("{job_name: a, bearer_token: t}").unwrap();
    assert_eq!(job.http.authorization.unwrap().scheme, "Bearer");
}

#[test]
fn what_is_said_for_all_jobs_gives_way_to_what_a_job_says() {
    let global: GlobalConfig = serde_saphyr::from_str(
        "{metric_name_escaping_scheme: allow-utf-8, convert_classic_histograms_to_nhcb: true, extra_scrape_metrics: true,
          scrape_failure_log_file: f.log}",
    )
    .unwrap();
    let job: ScrapeConfig = serde_saphyr::from_str(
        "{job_name: a, metric_name_validation_scheme: legacy, extra_scrape_metrics: false}",
    )
    .unwrap();
    check(&global, std::slice::from_ref(&job)).unwrap();
    let job = job.resolved(&global);
    assert_eq!(job.metric_name_escaping_scheme, Some(EscapingScheme::Underscores));
    assert_eq!(job.convert_classic_histograms_to_nhcb, Some(true));
    assert_eq!(job.extra_scrape_metrics, Some(false));
    assert_eq!(job.scrape_failure_log_file.as_deref(), Some("f.log"));
}

#[test]
fn more_mistakes_are_refused_with_their_place() {
    check_refused(
        "{job_name: a, scrape_protocols: []}",
        &expect![[r#"scrape_protocols cannot be empty for scrape config with job name "a""#]],
    );
    check_refused(
        "{job_name: a, scrape_protocols: [PrometheusProto, PrometheusProto]}",
        &expect![[
            r#"duplicated protocol in scrape_protocols, got PrometheusProto for scrape config with job name "a""#
        ]],
    );
    check_refused(
        "{job_name: a, http_headers: {Host: {values: [x]}}}",
        &expect![[r#"setting header "Host" is not allowed"#]],
    );
    check_refused(
        "{job_name: a, no_proxy: x}",
        &expect!["if no_proxy is configured, proxy_url must also be configured"],
    );
    check_refused(
        "{job_name: a, bearer_token: x, basic_auth: {username: u}}",
        &expect!["at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"],
    );
    for (yaml, what) in [
        ("{job_name: a, file_sd_configs: [{files: [x.txt]}]}", "is not valid for file discovery"),
        ("{job_name: a, file_sd_configs: [{files: []}]}", "must contain at least one path name"),
        ("{job_name: a, http_sd_configs: [{url: 'ftp://x/'}]}", "URL scheme must be 'http' or 'https'"),
        (
            "{job_name: a, http_sd_configs: [{url: 'http://x/', colour: red}]}",
            "line 1 column 52: unknown field `colour`",
        ),
        ("{job_name: a, tls_config: {max_version: TLS11}}", "older versions are not spoken"),
        ("{job_name: a, oauth2: {client_id: '', token_url: x}}", "oauth2 client_id must be configured"),
    ] {
        let text = serde_saphyr::from_str::<ScrapeConfig>(yaml).unwrap_err().to_string();
        assert!(text.contains(what), "{yaml}: {text}");
    }
}
