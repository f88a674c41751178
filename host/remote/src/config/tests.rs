//! Sections as people write them.

use super::*;

fn read(yaml: &str) -> Result<RemoteWriteConfig, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_prometheus_own() {
    let config = read("url: http://a:9090/api/v1/write").unwrap();
    assert_eq!(config.remote_timeout.0, Duration::from_secs(30));
    assert_eq!(config.queue_config, QueueConfig::default());
    assert!(config.metadata_config.send && !config.send_exemplars && !config.send_native_histograms);
    assert_eq!(config.protobuf_message, ProtobufMessage::V1);
    assert_eq!(config.display_name().len(), NAME_CHARS);
    let read: RemoteReadConfig = serde_saphyr::from_str("url: http://a:9090/api/v1/read").unwrap();
    assert!(!read.read_recent && read.filter_external_labels);
    assert_eq!(read.remote_timeout.0, Duration::from_secs(60));
}

#[test]
fn all_keys_are_read() {
    let config = read(
        "
        url: https://a/w
        name: far
        remote_timeout: 5s
        headers: {X-Scope-OrgID: me}
        write_relabel_configs: [{source_labels: [__name__], regex: go_.*, action: drop}]
        send_exemplars: true
        send_native_histograms: true
        protobuf_message: io.prometheus.write.v2.Request
        basic_auth: {username: u, password: p}
        tls_config: {insecure_skip_verify: true}
        queue_config: {capacity: 5, max_shards: 3, min_shards: 2, max_samples_per_send: 4, batch_send_deadline: 1s,
            min_backoff: 1ms, max_backoff: 2s, retry_on_http_429: true, sample_age_limit: 1h}
        metadata_config: {send: false, send_interval: 2m, max_samples_per_send: 7}
        ",
    )
    .unwrap();
    assert_eq!((config.display_name().as_str(), config.protobuf_message.version()), ("far", Version::V2));
    assert_eq!((config.queue_config.capacity, config.queue_config.retry_on_http_429), (5, true));
    assert_eq!(config.write_relabel_configs.len(), 1);
    assert!(config.http.basic_auth.is_some() && config.http.tls_config.insecure_skip_verify);
    assert!(!format!("{config:?}").contains("\"p\""), "a password is shown");
}

#[test]
fn mistakes_are_named() {
    let check = |yaml: &str, expected: &str| {
        let error = read(yaml).unwrap_err();
        assert!(error.contains(expected), "{yaml}: {error}");
    };
    check("name: a", "url");
    check("url: ftp://a/b", "unsupported scheme");
    check("url: 'no url'", "is no URL");
    check("{url: http://a, headers: {Content-Type: x}}", "reserved header");
    check("{url: http://a, headers: {authorization: x}}", "basic_auth");
    check("{url: http://a, queue_config: {max_shards: 0}}", "max_shards must be greater than zero");
    check("{url: http://a, queue_config: {max_shards: 1, min_shards: 2}}", "must not be less");
    check("{url: http://a, protobuf_message: json}", "json");
}

#[test]
fn a_place_in_the_log_goes_with_the_name_or_the_url() {
    let key = |yaml: &str| read(yaml).unwrap().key();
    assert_eq!(key("{url: http://a, name: n}"), key("{url: http://b, name: n, send_exemplars: true}"));
    assert_eq!(key("{url: http://a}"), key("{url: http://a, remote_timeout: 1s}"));
    assert_ne!(key("{url: http://a}"), key("{url: http://b}"));
}

#[test]
fn ways_to_prove_who_sends_are_judged() {
    let check = |auth: &str, expected: &str| {
        let error =
            read(&format!("url: http://a/w\n{auth}")).map(|_| String::new()).unwrap_or_else(|error| error);
        let fits = if expected.is_empty() { error.is_empty() } else { error.contains(expected) };
        assert!(fits, "{auth}: {error}");
    };
    check("sigv4: {region: eu-west-1, access_key: a, secret_key: s}", "");
    check("sigv4: {}", "");
    check("sigv4: {access_key: a}", "must provide an AWS SigV4 access key and secret key");
    check("sigv4: {role_arn: a}", "roles are not assumed here");
    check("sigv4: {}\nbasic_auth: {username: u, password: p}", "at most one of basic_auth");
    check("azuread: {cloud: AzurePublic}", "Microsoft Entra");
    check("google_iam: {credentials_file: x}", "Google Cloud");
}
