//! The texts of notifications: what Alertmanager's own templates yield, and what configurations build on them.

use expect_test::{Expect, expect};

use super::*;
use crate::alert::Fingerprint;

fn notification(resolved: bool) -> Notification {
    let alert = |instance: &str, over: bool| NotificationAlert {
        status: if over { Status::Resolved } else { Status::Firing },
        labels: Labels::from_pairs([
            ("alertname", "Down"),
            ("instance", instance),
            ("job", "api"),
            ("a", "x"),
        ]),
        annotations: Labels::from_pairs([("summary", format!("{instance} is down").as_str())]),
        starts_at: Some(Timestamp::from_millis(1_435_065_584_128)),
        ends_at: over.then(|| Timestamp::from_millis(1_435_065_600_000)),
        generator_url: "http://prom/graph".to_owned(),
        fingerprint: Fingerprint(7),
    };
    Notification {
        receiver: "the team".to_owned(),
        status: if resolved { Status::Resolved } else { Status::Firing },
        alerts: vec![alert("a:1", resolved), alert("b:2", true)],
        group_labels: Labels::from_pairs([("alertname", "Down")]),
        common_labels: Labels::from_pairs([("alertname", "Down"), ("job", "api"), ("a", "x")]),
        common_annotations: Labels::empty(),
        external_url: "http://am".to_owned(),
        version: "4",
        group_key: "{}:{alertname=\"Down\"}".to_owned(),
        truncated_alerts: 0,
        idempotency_key: String::new(),
        attempt: 1,
    }
}

fn render(text: &str, resolved: bool) -> Result<String, TemplateError> {
    let mut prelude = Prelude::standard()?;
    prelude.add(r#"{{ define "mine" }}<{{ .Labels.instance }}>{{ end }}"#)?;
    let data = NotificationData::new(&notification(resolved), Timestamp::from_millis(1_435_065_604_128));
    NotificationTemplate::parse(text, &prelude)?.render(&data, 10_000)
}

fn check(text: &str, expected: &str) {
    assert_eq!(render(text, false).as_deref(), Ok(expected), "{text}");
}

fn shows(text: &str, resolved: bool, expected: &Expect) {
    expected.assert_eq(&render(text, resolved).unwrap());
}

#[test]
fn the_subject_is_alertmanagers() {
    check(r#"{{ template "slack.default.title" . }}"#, "[FIRING:1] Down (x api)");
    assert_eq!(render(r#"{{ template "__subject" . }}"#, true).unwrap(), "[RESOLVED] Down (x api)");
    check(
        r#"{{ template "slack.default.fallback" . }}"#,
        "[FIRING:1] Down (x api) | http://am/#/alerts?receiver=the+team",
    );
}

#[test]
fn alerts_are_listed() {
    shows(
        r#"{{ template "pagerduty.default.instances" .Alerts.Firing }}"#,
        false,
        &expect![[r#"
            Labels:
             - alertname = Down
             - a = x
             - instance = a:1
             - job = api
            Annotations:
             - summary = a:1 is down
            Source: http://prom/graph
        "#]],
    );
    shows(
        r#"{{ template "msteams.default.text" . }}"#,
        false,
        &expect![[r##"

            # Alerts Firing:

            Labels:
              - alertname = Down
              - a = x
              - instance = a:1
              - job = api

            Annotations:
              - summary = a:1 is down

            Source: http://prom/graph

            # Alerts Resolved:

            Labels:
              - alertname = Down
              - a = x
              - instance = b:2
              - job = api

            Annotations:
              - summary = b:2 is down

            Source: http://prom/graph
        "##]],
    );
}

#[test]
fn a_mail_shows_all_there_is_and_no_label_adds_to_it() {
    let mut notification = notification(false);
    notification.receiver = "<team>".to_owned();
    notification.alerts[0].annotations = Labels::from_pairs([("summary", "<script>\"a\" & 'b'")]);
    notification.alerts[1].generator_url = "javascript:alert(1)".to_owned();
    let data = NotificationData::new(&notification, Timestamp::from_millis(0));
    let template = NotificationTemplate::parse(
        r#"{{ template "email.default.html" . }}"#,
        &Prelude::standard().unwrap(),
    );
    let shown = template.unwrap().render_html(&data, 10_000).unwrap();
    expect![[r##"
        <!DOCTYPE html>
        <html>
        <head><meta charset="UTF-8"></head>
        <body style="margin:0;padding:16px;font-family:sans-serif;font-size:15px;color:#222">
        <h2 style="margin:0 0 8px">Down</h2>
        <p style="margin:0">1 firing, 1 resolved</p>
        <div style="margin:12px 0;padding:4px 12px;border-left:5px solid #b3261e">
        <p style="margin:4px 0"><b>Down</b> since 2015-06-23 13:19:44 UTC</p>
        <p style="margin:4px 0"><span style="color:#666">summary</span>
        &lt;script&gt;&#34;a&#34; &amp; &#39;b&#39;</p>
        <table style="border-collapse:collapse;font-size:13px">
        <tr><td style="padding:1px 12px 1px 0;color:#666">alertname</td>
        <td>Down</td></tr>
        <tr><td style="padding:1px 12px 1px 0;color:#666">a</td>
        <td>x</td></tr>
        <tr><td style="padding:1px 12px 1px 0;color:#666">instance</td>
        <td>a:1</td></tr>
        <tr><td style="padding:1px 12px 1px 0;color:#666">job</td>
        <td>api</td></tr>
        </table>
        <p style="margin:4px 0"><a href="http://prom/graph">Where it comes from</a></p>
        </div>
        <div style="margin:12px 0;padding:4px 12px;border-left:5px solid #2e7d32">
        <p style="margin:4px 0"><b>Down</b> from 2015-06-23 13:19:44 UTC to 2015-06-23 13:20:00 UTC</p>
        <p style="margin:4px 0"><span style="color:#666">summary</span>
        b:2 is down</p>
        <table style="border-collapse:collapse;font-size:13px">
        <tr><td style="padding:1px 12px 1px 0;color:#666">alertname</td>
        <td>Down</td></tr>
        <tr><td style="padding:1px 12px 1px 0;color:#666">a</td>
        <td>x</td></tr>
        <tr><td style="padding:1px 12px 1px 0;color:#666">instance</td>
        <td>b:2</td></tr>
        <tr><td style="padding:1px 12px 1px 0;color:#666">job</td>
        <td>api</td></tr>
        </table>
        </div>
        <p style="font-size:13px;color:#666">Sent to &lt;team&gt; by
        <a href="http://am">http://am</a></p>
        </body>
        </html>
    "##]]
    .assert_eq(&shown);

    let check = |text: &str, expected: &str| {
        let template = NotificationTemplate::parse(text, &Prelude::standard().unwrap()).unwrap();
        assert_eq!(template.render_html(&data, 10_000).as_deref(), Ok(expected), "{text}");
    };
    check("<b>{{ .Receiver }}</b>", "<b>&lt;team&gt;</b>");
    check("{{ .Receiver | html }} {{ html .Receiver }}", "&lt;team&gt; &lt;team&gt;");
    check("{{ .Receiver | safeHtml }} {{ safeHtml \"<br>\" }}", "<team> <br>");
    check(
        "{{ with .Receiver }}{{ toUpper . }}{{ end }}{{ define \"x\" }}{{ . }}{{ end }}{{ template \"x\" .Receiver }}",
        "&lt;TEAM&gt;&lt;team&gt;",
    );
}

#[test]
fn texts_use_labels_times_and_functions() {
    check("{{ .CommonLabels.job }}{{ .CommonLabels.none }}", "api");
    check("{{ range .Alerts }}{{ template \"mine\" . }}{{ end }}", "<a:1><b:2>");
    check(
        "{{ (index .Alerts 0).StartsAt.Format \"15:04\" }} {{ (index .Alerts 0).EndsAt }}",
        "13:19 0001-01-01 00:00:00 +0000 UTC",
    );
    check("{{ (.CommonLabels.Remove (stringSlice \"a\" \"job\")).Names | join \",\" }}", "alertname");
    check(
        "{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }};{{ end }}",
        "alertname=Down;a=x;job=api;",
    );
    check("{{ since (index .Alerts 0).StartsAt | humanizeDuration }}", "20s");
    check("{{ date \"2006\" now }} {{ trimSpace \" x \" }} {{ urlUnescape \"a%20b\" }}", "2015 x a b");
    check(
        "{{ toJson .GroupLabels }} {{ toJson (dict \"a\" (list 1 \"b\")) }}",
        r#"{"alertname":"Down"} {"a":[1,"b"]}"#,
    );
    check("{{ if gt (len .Alerts.Resolved) 0 }}{{ .Alerts.Resolved | len }}{{ end }}", "1");
    check("{{ .Status | title }} {{ .CommonLabels }}", "Firing map[a:x alertname:Down job:api]");
}

#[test]
fn what_rules_have_alone_is_refused() {
    let error = |text: &str| render(text, false).unwrap_err().to_string();
    assert_eq!(error("{{ $labels.a }}"), "parse template: line 1: undefined variable \"$labels\"");
    assert_eq!(
        error("{{ query \"up\" }}"),
        "execute template: query is for rules: there is none in a notification"
    );
    assert_eq!(error("{{ .Nothing }}"), "execute template: can't evaluate field Nothing");
    assert!(super::super::Template::parse("{{ join \",\" $labels }}").is_err());
}
