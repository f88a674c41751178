//! Servers that are played, line by line.

use stormglass_sdk::testing::{self, Host, Script};
use stormglass_sdk::{Alert, AlertStatus, Label};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(name, value)| Label::new(*name, *value)).collect()
}

fn notification() -> Notification {
    Notification {
        idempotency_key: "key".to_owned(),
        attempt: 1,
        group_key: "{}:{alertname=\"Füll\"}".to_owned(),
        status: AlertStatus::Firing,
        receiver: "mail".to_owned(),
        group_labels: labels(&[("alertname", "Full")]),
        common_labels: labels(&[("alertname", "Full"), ("job", "db")]),
        common_annotations: Vec::new(),
        external_url: "http://storm:9090".to_owned(),
        truncated_alerts: 0,
        alerts: vec![Alert {
            status: AlertStatus::Firing,
            labels: labels(&[("alertname", "Full"), ("job", "db"), ("disk", "<b>")]),
            annotations: labels(&[("summary", ".hidden\r\nBcc: evil@example.org")]),
            starts_at: "2026-11-22T12:00:00Z".to_owned(),
            ends_at: "0001-01-01T00:00:00Z".to_owned(),
            generator_url: "http://storm:9090/graph".to_owned(),
            fingerprint: "f".to_owned(),
        }],
    }
}

fn config(more: &str) -> String {
    format!(
        r#"{{"smarthost": "mx:25", "from": "Storm <storm@example.org>", "to": "a@example.org, b@example.org"{more}}}"#
    )
}

fn notify(config: &str, script: Script) -> Result<()> {
    let mut plugin: Email = testing::init(config)?;
    let host = Host::new().secret("pw", "hush").connection("mx:25", script);
    host.run(|| plugin.notify(&notification()))
}

fn greeted(extensions: &[&str]) -> Script {
    let mut answer = "250-mx\r\n".to_owned();
    for extension in extensions {
        answer.push_str(&format!("250-{extension}\r\n"));
    }
    answer.push_str("250 HELP\r\n");
    Script::new().answer("220 mx ready\r\n").expect("EHLO localhost\r\n").answer(answer)
}

fn refused(more: &str, script: Script, expected: &str, retryable: bool) {
    let error = notify(&config(more), script).unwrap_err();
    assert_eq!((error.to_string(), error.is_retryable()), (expected.to_owned(), retryable));
}

#[test]
fn without_tls_nothing_is_sent_unless_it_is_said_that_it_will_do() {
    let expected = "mail to mx:25: the server does not offer STARTTLS; set require_tls to false to send mail in plain text";
    refused("", greeted(&["PIPELINING"]), expected, false);
    let script = greeted(&["AUTH PLAIN LOGIN"]);
    let expected = "mail to mx:25: a password is not sent without TLS: the server has to offer STARTTLS, or listen on port 465";
    let login = r#", "require_tls": false, "auth_username": "u", "auth_password_secret": "pw""#;
    refused(login, script, expected, false);
    // What was sent in plain text ahead of TLS must not pass for an answer.
    let script = greeted(&["STARTTLS"]).expect("STARTTLS\r\n").answer("220 go\r\n250 AUTH NONE\r\n");
    refused("", script, "mail to mx:25: STARTTLS: the server went on in plain text", false);
}

#[test]
fn servers_are_believed_about_what_passes() {
    let script = || greeted(&[]).expect("MAIL FROM:<storm@example.org>\r\n");
    let open = r#", "require_tls": false"#;
    let busy = script().answer("451-try\r\n451 later\r\n");
    refused(open, busy, "mail to mx:25: MAIL: the server answered 451 try later", true);
    let never = script().answer("250 ok\r\n").expect("RCPT TO:<a@example.org>\r\n").answer("550 who?\r\n");
    refused(open, never, "mail to mx:25: RCPT a@example.org: the server answered 550 who?", false);
    refused(open, Script::new().answer("hello\r\n"), "mail to mx:25: the server does not speak SMTP", true);
    let endless = Script::new().answer("2".repeat(10_000));
    refused(open, endless, "mail to mx:25: the server does not speak SMTP: a line has no end", true);
}

#[test]
fn logins_are_made_by_the_best_way_that_there_is() {
    let login = r#", "auth_username": "u", "auth_password_secret": "pw""#;
    let encrypted = |offer: &str| {
        let after = format!("250-mx\r\n250 {offer}\r\n");
        greeted(&["STARTTLS"])
            .expect("STARTTLS\r\n")
            .answer("220 go\r\n")
            .start_tls()
            .expect("EHLO localhost\r\n")
            .answer(after)
    };
    let wrong = "mail to mx:25: AUTH PLAIN: the server answered 535 no";
    let plain = encrypted("AUTH PLAIN LOGIN").expect("AUTH PLAIN AHUAaHVzaA==\r\n").answer("535 no\r\n");
    refused(login, plain, wrong, false);
    let by_login = encrypted("AUTH=LOGIN")
        .expect("AUTH LOGIN\r\n")
        .answer("334 VXNlcm5hbWU6\r\n")
        .expect("dQ==\r\n")
        .answer("334 UGFzc3dvcmQ6\r\n")
        .expect("aHVzaA==\r\n")
        .answer("454 later\r\n");
    refused(login, by_login, "mail to mx:25: AUTH LOGIN: the server answered 454 later", true);
    let cram = encrypted("AUTH LOGIN CRAM-MD5").expect("AUTH CRAM-MD5\r\n").answer("334 !\r\n");
    refused(login, cram, "mail to mx:25: AUTH CRAM-MD5: a broken challenge", false);
    refused(
        login,
        encrypted("AUTH GSSAPI"),
        "mail to mx:25: no way to log in: the server offers \"GSSAPI\"",
        false,
    );
}

#[test]
fn a_message_has_what_was_asked_for_and_nothing_that_labels_add() {
    let notification = notification();
    let headers = BTreeMap::from([("X-Team".to_owned(), "über\r\nBcc: x".to_owned())]);
    let envelope = Envelope {
        from: "Storm <storm@example.org>",
        to: "a@example.org",
        headers: &headers,
        subject: None,
        now_ms: 0,
        hello: "localhost",
        text: None,
        html: &Html::Wanted(true),
        thread: Some("1970-01-01".to_owned()),
    };
    let text = message::write(&envelope, &notification);
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(head.contains("Subject: [FIRING:1] Full (db)\n"), "{head}");
    assert!(head.contains("Date: Thu, 01 Jan 1970 00:00:00 +0000\n"));
    assert!(head.contains("\nReferences: <alert-") && head.contains("@alertmanager>\nIn-Reply-To: <alert-"));
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    assert!(body.contains("Content-Type: text/plain; charset=UTF-8"));
    assert!(body.contains("Content-Type: text/html; charset=UTF-8"));
    assert!(body.contains("&lt;b&gt;") && !body.contains("<td><b></td>"));
    assert_eq!(text, message::write(&envelope, &notification), "an attempt again is the same mail");
}

#[test]
fn texts_are_those_of_templates() {
    let templates =
        r#", "text": "{{ .t }}", "html": "{{ .h }}", "headers": {"Subject": "{{ .s }}", "X-Team": "db"}"#;
    let plugin: Email = testing::init(&config(templates)).unwrap();
    let mut notification = notification();
    let written =
        |notification: &Notification| plugin.config.render(notification).unwrap().message(notification, 0);
    // Of what could not be rendered there is our own.
    let text = written(&notification);
    assert!(text.contains("Labels:\n - alertname") && text.contains("<table"), "{text}");
    assert!(text.contains("Subject: [FIRING:1] Full (db)\n"), "{text}");
    notification.common_annotations = labels(&[
        ("__text__/text", "disk full"),
        ("__text__/html", "<p>full</p>"),
        ("__text__/headers/Subject", "db: full\nBcc: x"),
    ]);
    let text = written(&notification);
    assert!(text.contains("\ndisk full") && text.contains("\n<p>full</p>"), "{text}");
    assert!(!text.contains("Labels:") && text.contains("X-Team: db\n"), "{text}");
    // A header comes before the subject.
    notification.common_annotations.extend(labels(&[("__text__/subject", "by default")]));
    assert!(!written(&notification).contains("by default"));
    assert!(text.contains("Subject: ") && !text.lines().any(|line| line.starts_with("Bcc")), "{text}");
}

#[test]
fn addresses_and_headers_that_smuggle_are_refused() {
    for text in ["a@b\r\nRCPT TO:<x@y>", "a b@c", "a", "<a@b", "@b", "a@", "a@b>c"] {
        assert!(address(text).is_err(), "{text:?}");
    }
    assert_eq!(address(" Storm <storm@example.org> ").unwrap(), "storm@example.org");
    for name in ["Content-Type", "a:b", "a b", ""] {
        let more = format!(r#", "headers": {{"{name}": "x"}}"#);
        assert!(testing::init::<Email>(&config(&more)).is_err(), "{name}");
    }
    let more = r#", "auth_username": "u""#;
    assert!(testing::init::<Email>(&config(more)).is_err());
}
