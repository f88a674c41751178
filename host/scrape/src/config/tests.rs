//! What is read, and what is refused with its place.

use expect_test::{Expect, expect};

use super::*;

fn check_refused(yaml: &str, expected: &Expect) {
    let text = serde_saphyr::from_str::<ScrapeConfig>(yaml).unwrap_err().to_string();
    expected.assert_eq(text.lines().next().unwrap());
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
    let password = job.basic_auth.as_ref().unwrap().password_file.as_deref();
    assert_eq!(password, Some(Path::new("conf/secrets/password")));
    let tls = &job.tls_config;
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
        &expect![
            "error: line 1 column 15: unknown field `scrape_intervall`, expected one of job_name, scrape_interval, scrape_timeout, scrape_protocols, fallback_scrape_protocol, scrape_native_histograms, always_scrape_classic_histograms, metrics_path, scheme, params, honor_labels, honor_timestamps, track_timestamps_staleness, enable_compression, static_configs, plugin_sd_configs, relabel_configs, metric_relabel_configs, sample_limit, label_limit, label_name_length_limit, label_value_length_limit, target_limit, body_size_limit, keep_dropped_targets, basic_auth, authorization, tls_config, follow_redirects, proxy_url"
        ],
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
        &expect!["at most one of basic_auth and authorization must be configured"],
    );
    check_refused(
        "{job_name: a, authorization: {type: Basic}}",
        &expect![[
            r#"error: line 1 column 30: authorization type cannot be set to "basic", use "basic_auth" instead"#
        ]],
    );
    check_refused(
        "{job_name: a, tls_config: {cert_file: x}}",
        &expect![
            "error: line 1 column 27: exactly one of cert_file and key_file is configured, both are needed"
        ],
    );
    let text = serde_saphyr::from_str::<GlobalConfig>("scrape_timeout: 2m").unwrap_err().to_string();
    expect!["global scrape timeout greater than scrape interval"].assert_eq(text.lines().next().unwrap());
}
