//! What sections of receivers become.

use expect_test::{Expect, expect};

use super::*;

/// The plugins and grants that a configuration of Alertmanager's stands for, or what is wrong with it.
fn check(alertmanager: &str, expected: &Expect) {
    expected.assert_eq(&shown(alertmanager));
}

fn shown(alertmanager: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hook"), "https://hooks.example.com/services/T/B\n").unwrap();
    std::fs::write(folder.path().join("mine.tmpl"), r#"{{ define "mine" }}{{ .Status }}{{ end }}"#).unwrap();
    std::fs::write(folder.path().join("bad.tmpl"), "{{ define }}").unwrap();
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, format!("alertmanager:\n{alertmanager}")).unwrap();
    let shown = match super::super::load(&file) {
        Ok(loaded) => {
            let of = |config: &PluginConfig| {
                let routes = loaded.alertmanager.iter().flat_map(|a| a.receivers.values()).flatten();
                let route = routes.into_iter().find(|route| route.plugin == config.name).unwrap();
                let grants = &config.grants;
                let mut shown = vec![
                    serde_json::to_string(&config.config).unwrap(),
                    serde_json::to_string(&grants.http).unwrap(),
                    serde_json::to_string(&grants.secrets).unwrap(),
                ];
                if !grants.net.is_empty() {
                    shown.push(serde_json::to_string(&grants.net).unwrap());
                }
                format!(
                    "{} = {} resolved={}\n  {}\n",
                    config.name,
                    config.plugin,
                    route.send_resolved,
                    shown.join("\n  ")
                )
            };
            loaded.plugins.iter().map(of).collect()
        }
        Err(errors) => errors.to_string(),
    };
    shown.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn entries_are_plugins_with_grants_and_without_secrets() {
    check(
        r##"  global: {slack_api_url_file: hook, opsgenie_api_key: g3nie, http_config: {basic_auth: {username: u, password: p}}}
  route: {receiver: all}
  receivers:
    - name: all
      slack_configs:
        - {channel: "#ops", title: '{{ .Status }}'}
        - {api_url: "http://127.0.0.1:9/x", send_resolved: true, http_config: {}}
      pagerduty_configs: [{routing_key: R0UTE, severity: critical, http_config: {}}]
      opsgenie_configs: [{api_url: "https://api.eu.opsgenie.com/", http_config: {}}]
      msteamsv2_configs: [{webhook_url: "https://x.example.com/y", http_config: {}}]
      webhook_configs: [{url: "http://hook.example.com/z", timeout: 0s, max_alerts: 3}]
"##,
        &expect![[r##"
            all/webhook_configs/0 = webhook resolved=true
              {"max_alerts":3}
              ["http://hook.example.com:80"]
              [{"name":"url"},{"name":"Authorization #0","header":{"server":"http://hook.example.com:80","name":"Authorization","prefix":"","username":"u"}}]
            all/slack_configs/0 = slack resolved=false
              {"channel":"#ops","title":"{{ .Status }}"}
              ["https://hooks.example.com:443"]
              [{"name":"api_url","file":"hook"},{"name":"Authorization #0","header":{"server":"https://hooks.example.com:443","name":"Authorization","prefix":"","username":"u"}}]
            all/slack_configs/1 = slack resolved=true
              {}
              ["http://127.0.0.1:9"]
              [{"name":"api_url"}]
            all/pagerduty_configs/0 = pagerduty resolved=true
              {"severity":"critical"}
              ["https://events.pagerduty.com:443"]
              [{"name":"routing_key"}]
            all/opsgenie_configs/0 = opsgenie resolved=true
              {"api_url":"https://api.eu.opsgenie.com/"}
              ["https://api.eu.opsgenie.com:443"]
              [{"name":"api_key"}]
            all/msteamsv2_configs/0 = msteams resolved=true
              {}
              ["https://x.example.com:443"]
              [{"name":"webhook_url"}]
        "##]],
    );
}

#[test]
fn mail_goes_to_its_smarthost() {
    check(
        r#"  global: {smtp_smarthost: "mx.example.org:587", smtp_from: s@example.org, smtp_auth_username: u, smtp_auth_password: p4ss}
  route: {receiver: all}
  receivers:
    - name: all
      email_configs:
        - {to: a@example.org, headers: {Subject: '{{ .Status }}'}, text: '{{ .GroupLabels.alertname }}'}
        - {to: b@example.org, smarthost: mx, html: "", send_resolved: true, tls_config: {ca_file: hook}}
"#,
        &expect![[r#"
            all/email_configs/0 = email resolved=false
              {"auth_password_secret":"auth_password","auth_username":"u","from":"s@example.org","headers":{"Subject":"{{ .Status }}"},"smarthost":"mx.example.org:587","text":"{{ .GroupLabels.alertname }}","to":"a@example.org"}
              []
              [{"name":"auth_password"}]
              ["mx.example.org:587"]
            all/email_configs/1 = email resolved=true
              {"auth_password_secret":"auth_password","auth_username":"u","from":"s@example.org","html":"","smarthost":"mx","tls_config":{"ca":"https://hooks.example.com/services/T/B\n"},"to":"b@example.org"}
              []
              [{"name":"auth_password"}]
              ["mx:25"]
        "#]],
    );
}

#[test]
fn wrong_entries_say_why() {
    let refused = |entry: &str, expected: &str| {
        let told = shown(&format!("  route: {{receiver: a}}\n  receivers: [{{name: a, {entry}}}]\n"));
        let section = entry.split(':').next().unwrap_or_default();
        let place = format!("prometheus.yml:2:3: alertmanager.receivers.{section}: ");
        assert!(told.starts_with(&place) && told.contains(expected), "{entry}: {told}");
    };
    refused("pagerduty_configs: [{service_key: x}]", "service_key is for PagerDuty's Events API v1");
    refused("slack_configs: [{api_url: nonsense}]", "api_url is no URL of a server");
    refused(
        "slack_configs: [{api_url: 'http://a', api_url_file: b}]",
        "at most one of api_url and api_url_file",
    );
    refused("slack_configs: [{send_resolved: 3}]", "send_resolved must be true or false");
    refused("slack_configs: [{http_config: {proxy_url: 'http://p'}}]", "proxy_url is not supported");
    refused("opsgenie_configs: [{http_config: {nonsense: 1}}]", "http_config has no key nonsense");
    refused("slack_configs: [{title: '{{ .Status '}]", "text /title: parse template: line 1");
    refused("slack_configs: [{title: '{{ template \"mine\" . }}'}]", "template \"mine\" not defined");
}

#[test]
fn templates_are_read_from_files() {
    let receivers = "  route: {receiver: a}\n  receivers: [{name: a, slack_configs: [{title: '{{ template \"mine\" . }}'}]}]\n";
    check(
        &format!("  templates: ['mine.*']\n{receivers}"),
        &expect![[r#"
            a/slack_configs/0 = slack resolved=false
              {"title":"{{ template \"mine\" . }}"}
              ["https://hooks.slack.com:443","https://slack.com:443"]
              []
        "#]],
    );
    check(
        &format!("  templates: [bad.tmpl]\n{receivers}"),
        &expect![
            "prometheus.yml:2:3: alertmanager.templates: bad.tmpl: parse template: line 1: expected the name of a template in quotes"
        ],
    );
}
