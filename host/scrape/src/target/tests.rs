//! What becomes of discovered labels.

use expect_test::{Expect, expect};

use super::*;
use crate::config::GlobalConfig;

fn check(job: &str, group: &[(&str, &str)], own: &[(&str, &str)], expected: &Expect) {
    let job: ScrapeConfig = serde_saphyr::from_str(job).unwrap();
    let job = job.resolved(&GlobalConfig::default());
    let group = TargetGroup { labels: Labels::from_pairs(group.iter().copied()), ..TargetGroup::default() };
    let own = Labels::from_pairs(own.iter().copied());
    expected.assert_eq(&match Target::resolve(&job, &group, &own) {
        Ok(Resolved::Active(t)) => format!("{} {} {:?} {:?}", t.labels, t.url, t.interval, t.timeout),
        Ok(Resolved::Dropped(labels)) => format!("dropped {labels}"),
        Err(error) => format!("error {error}"),
    });
}

#[test]
fn labels_of_the_group_are_joined_and_the_address_is_the_instance() {
    check(
        "job_name: api",
        &[("env", "prod"), ("zone", "a")],
        &[("__address__", "h:9100"), ("zone", "b")],
        &expect![[r#"{env="prod", instance="h:9100", job="api", zone="b"} http://h:9100/metrics 60s 10s"#]],
    );
    check(
        "{job_name: api, scheme: https}",
        &[],
        &[("__address__", "h"), ("job", "mine"), ("instance", "i")],
        &expect![[r#"{instance="i", job="mine"} https://h/metrics 60s 10s"#]],
    );
    check(
        "job_name: v6",
        &[],
        &[("__address__", "[::1]:80")],
        &expect![[r#"{instance="[::1]:80", job="v6"} http://[::1]/metrics 60s 10s"#]],
    );
}

#[test]
fn control_labels_steer_the_scrape() {
    check(
        "{job_name: api, params: {module: [m, n], x: ['1 2']}}",
        &[],
        &[
            ("__address__", "h:1"),
            ("__metrics_path__", "/probe me"),
            ("__scheme__", "https"),
            ("__param_module", "other"),
            ("__param_target", "t"),
            ("__scrape_interval__", "5s"),
            ("__scrape_timeout__", "1500ms"),
            ("__meta_x", "gone"),
        ],
        &expect![[
            r#"{instance="h:1", job="api"} https://h:1/probe%20me?module=other&module=n&target=t&x=1+2 5s 1.5s"#
        ]],
    );
}

#[test]
fn relabelling_moves_and_drops() {
    let probe = "{job_name: probe, relabel_configs: [
        {source_labels: [__address__], target_label: __param_target},
        {source_labels: [__param_target], target_label: instance},
        {target_label: __address__, replacement: 'prober:9115'}]}";
    check(
        probe,
        &[],
        &[("__address__", "example.com")],
        &expect![[
            r#"{instance="example.com", job="probe"} http://prober:9115/metrics?target=example.com 60s 10s"#
        ]],
    );
    let drop = "{job_name: a, relabel_configs: [{source_labels: [__meta_x], regex: y, action: drop}]}";
    check(
        drop,
        &[],
        &[("__address__", "h:1"), ("__meta_x", "y")],
        &expect![[
            r#"dropped {__address__="h:1", __meta_x="y", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="1m", __scrape_timeout__="10s", job="a"}"#
        ]],
    );
}

#[test]
fn what_cannot_be_scraped_is_named() {
    check("job_name: a", &[], &[("x", "y")], &expect!["error no address"]);
    check(
        "job_name: a",
        &[],
        &[("__address__", "h:1/metrics")],
        &expect![[r#"error "h:1/metrics" is not a valid hostname"#]],
    );
    check(
        "job_name: a",
        &[],
        &[("__address__", "h:port")],
        &expect![[r#"error "http://h:port" is no URL: invalid port number"#]],
    );
    check(
        "job_name: a",
        &[],
        &[("__address__", "h"), ("__scrape_interval__", "0s")],
        &expect!["error scrape interval cannot be 0"],
    );
    check(
        "job_name: a",
        &[],
        &[("__address__", "h"), ("__scrape_interval__", "often")],
        &expect![[r#"error error parsing scrape interval: not a valid duration string: "often""#]],
    );
    check(
        "job_name: a",
        &[],
        &[("__address__", "h"), ("__scrape_timeout__", "2m")],
        &expect![[r#"error scrape timeout cannot be greater than scrape interval ("2m" > "1m")"#]],
    );
    check(
        "job_name: a",
        &[],
        &[("__address__", "h"), ("__scheme__", "ftp")],
        &expect![[r#"error scheme "ftp" is neither http nor https"#]],
    );
}
