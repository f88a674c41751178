//! A notification as a mail: its headers, and its text twice, plain and as HTML.
//!
//! No label can add a header or a part: headers have no line ends and are encoded where they are not ASCII (RFC 2047),
//! texts are quoted-printable (RFC 2045), and HTML is escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use stormglass_sdk::{Alert, AlertStatus, Label, Notification};

use crate::Html;

/// Characters of a quoted-printable line, without its end.
const LINE_CHARS: usize = 76;
/// Bytes that one encoded word of a header stands for: as many as fit its 75 characters in base 64.
const WORD_BYTES: usize = 42;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What a mail is made of, apart from the alerts.
pub(crate) struct Envelope<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    /// Headers of the operator's, which come in place of ours.
    pub(crate) headers: &'a BTreeMap<String, String>,
    /// The subject, where none of them is one; our own where there is none.
    pub(crate) subject: Option<&'a str>,
    pub(crate) now_ms: i64,
    /// The name of this side, for message ids.
    pub(crate) hello: &'a str,
    /// In place of our own text.
    pub(crate) text: Option<&'a str>,
    pub(crate) html: &'a Html,
    /// What alerts of one thread share, where there are threads.
    pub(crate) thread: Option<String>,
}

/// The whole message.
pub(crate) fn write(envelope: &Envelope<'_>, notification: &Notification) -> String {
    let mut headers: Vec<(String, String)> = Vec::new();
    // One without a text is one whose template could not be rendered.
    let own = || envelope.headers.iter().filter(|(_, value)| !value.is_empty());
    let has = |name: &str| own().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let id = hash(&notification.idempotency_key);
    let boundary = format!("=_{id}");
    for (name, value) in [
        ("Subject", envelope.subject.map_or_else(|| subject(notification), str::to_owned)),
        ("To", envelope.to.to_owned()),
        ("From", envelope.from.to_owned()),
        ("Message-Id", format!("<{id}@{}>", envelope.hello)),
        ("Date", date(envelope.now_ms)),
    ] {
        if !has(name) {
            headers.push((name.to_owned(), value));
        }
    }
    headers.extend(own().map(|(name, value)| (name.clone(), value.clone())));
    if let Some(thread) = &envelope.thread {
        // Nobody has ever sent the mail that all of a thread refer to: programs put them together all the same.
        let root = format!("<alert-{}@alertmanager>", hash(&format!("{}{thread}", notification.group_key)));
        headers.push(("References".to_owned(), root.clone()));
        headers.push(("In-Reply-To".to_owned(), root));
    }
    headers.push(("MIME-Version".to_owned(), "1.0".to_owned()));
    headers.push(("Content-Type".to_owned(), format!("multipart/alternative; boundary=\"{boundary}\"")));

    let mut message = String::new();
    for (name, value) in &headers {
        let _ = writeln!(message, "{name}: {}", encode_header(value));
    }
    let mut part = |kind: &str, text: &str| {
        let _ = write!(
            message,
            "\n--{boundary}\nContent-Type: {kind}; charset=UTF-8\nContent-Transfer-Encoding: quoted-printable\n\n{}",
            quoted_printable(text)
        );
    };
    match envelope.text {
        Some(text) => part("text/plain", text),
        None => part("text/plain", &plain(notification)),
    }
    // The last is what programs show if they can.
    match envelope.html {
        Html::Wanted(true) => part("text/html", &html(notification)),
        Html::Text(text) if !text.is_empty() => part("text/html", text),
        Html::Wanted(false) | Html::Text(_) => {}
    }
    let _ = write!(message, "\n--{boundary}--\n");
    message
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..12])
}

fn of(notification: &Notification, status: AlertStatus) -> impl Iterator<Item = &Alert> {
    notification.alerts.iter().filter(move |alert| alert.status == status)
}

/// As Alertmanager's: `[FIRING:2] HighLoad (db prod)`.
pub(crate) fn subject(notification: &Notification) -> String {
    let mut text = match notification.status {
        AlertStatus::Firing => format!("[FIRING:{}]", of(notification, AlertStatus::Firing).count()),
        AlertStatus::Resolved => "[RESOLVED]".to_owned(),
    };
    let group = sorted(&notification.group_labels);
    for label in &group {
        let _ = write!(text, " {}", label.value);
    }
    let common = sorted(&notification.common_labels);
    let rest: Vec<&str> = common
        .iter()
        .filter(|label| group.iter().all(|other| other.name != label.name))
        .map(|label| label.value.as_str())
        .collect();
    if !rest.is_empty() {
        let _ = write!(text, " ({})", rest.join(" "));
    }
    text
}

fn sorted(labels: &[Label]) -> Vec<&Label> {
    let mut labels: Vec<&Label> = labels.iter().collect();
    // The name of the alert first, as everywhere.
    labels.sort_by_key(|label| (label.name != "alertname", &label.name));
    labels
}

const SECTIONS: [(AlertStatus, &str); 2] =
    [(AlertStatus::Firing, "Firing"), (AlertStatus::Resolved, "Resolved")];

fn plain(notification: &Notification) -> String {
    let mut text = format!("{}\n", subject(notification));
    for (status, title) in SECTIONS {
        for alert in of(notification, status) {
            let _ = write!(text, "\n{title} since {}\nLabels:\n", alert.starts_at);
            for label in sorted(&alert.labels) {
                let _ = writeln!(text, " - {} = {}", label.name, label.value);
            }
            if !alert.annotations.is_empty() {
                text.push_str("Annotations:\n");
            }
            for label in sorted(&alert.annotations) {
                let _ = writeln!(text, " - {} = {}", label.name, label.value);
            }
            if !alert.generator_url.is_empty() {
                let _ = writeln!(text, "Source: {}", alert.generator_url);
            }
        }
    }
    if notification.truncated_alerts > 0 {
        let _ = writeln!(text, "\n{} more alerts", notification.truncated_alerts);
    }
    if !notification.external_url.is_empty() {
        let _ = writeln!(text, "\nSent by {}", notification.external_url);
    }
    text
}

fn html(notification: &Notification) -> String {
    let mut text = String::from("<!DOCTYPE html>\n<html><body style=\"font-family:sans-serif\">\n");
    let _ = writeln!(text, "<h2>{}</h2>", escape(&subject(notification)));
    for (status, title) in SECTIONS {
        let colour = if status == AlertStatus::Firing { "#b00020" } else { "#2e7d32" };
        for alert in of(notification, status) {
            let _ = writeln!(
                text,
                "<div style=\"border-left:4px solid {colour};padding-left:8px;margin:12px 0\">"
            );
            let _ = writeln!(text, "<p><b>{title}</b> since {}</p>\n<table>", escape(&alert.starts_at));
            let rows = sorted(&alert.labels).into_iter().chain(sorted(&alert.annotations));
            for label in rows {
                let (name, value) = (escape(&label.name), escape(&label.value));
                let _ = writeln!(text, "<tr><td><b>{name}</b></td><td>{value}</td></tr>");
            }
            text.push_str("</table>\n");
            if alert.generator_url.starts_with("http") {
                let _ = writeln!(text, "<p><a href=\"{}\">Source</a></p>", escape(&alert.generator_url));
            }
            text.push_str("</div>\n");
        }
    }
    if notification.truncated_alerts > 0 {
        let _ = writeln!(text, "<p>{} more alerts</p>", notification.truncated_alerts);
    }
    if notification.external_url.starts_with("http") {
        let url = escape(&notification.external_url);
        let _ = writeln!(text, "<p>Sent by <a href=\"{url}\">{url}</a></p>");
    }
    text.push_str("</body></html>\n");
    text
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
        escaped
    })
}

/// A header's value in one line, in encoded words where it is not plain.
fn encode_header(value: &str) -> String {
    let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if value.is_ascii() {
        return value;
    }
    let (mut words, mut word) = (Vec::new(), String::new());
    for c in value.chars() {
        if word.len() + c.len_utf8() > WORD_BYTES {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word))).collect();
    words.join("\n ")
}

fn quoted_printable(text: &str) -> String {
    let mut encoded = String::new();
    for line in text.lines() {
        let mut length = 0;
        let last = line.len().saturating_sub(1);
        for (at, byte) in line.bytes().enumerate() {
            let is_plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (byte == b' ' && at != last);
            let width = if is_plain { 1 } else { 3 };
            if length + width >= LINE_CHARS {
                encoded.push_str("=\n");
                length = 0;
            }
            length += width;
            if is_plain {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "={byte:02X}");
            }
        }
        encoded.push('\n');
    }
    encoded
}

/// Year, month from 1, and day of a day since the epoch (the proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, usize, i64) {
    // Years begin in March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

/// As RFC 5322 writes a time: `Fri, 21 Nov 1997 09:55:06 +0000`.
fn date(now_ms: i64) -> String {
    let seconds = now_ms.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {} {year} {hour:02}:{minute:02}:{second:02} +0000", MONTHS[month - 1])
}

/// The day, as threads by date have it: `2026-11-22`.
pub(crate) fn day(now_ms: i64) -> String {
    let (year, month, day) = civil(now_ms.div_euclid(86_400_000));
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(date(880_106_106_000), "Fri, 21 Nov 1997 09:55:06 +0000");
        assert_eq!(date(1_709_208_000_000), "Thu, 29 Feb 2024 12:00:00 +0000");
        assert_eq!(day(1_735_689_599_999), "2024-12-31");
    }

    #[test]
    fn nothing_breaks_out_of_its_place() {
        assert_eq!(encode_header("a\r\nBcc: x"), "a  Bcc: x");
        assert_eq!(encode_header("für"), "=?utf-8?B?ZsO8cg==?=");
        for line in encode_header(&"ü".repeat(200)).lines() {
            assert!(line.len() <= 76, "{line}");
        }
        assert_eq!(quoted_printable("a=b \nü\n"), "a=3Db=20\n=C3=BC\n");
        assert!(quoted_printable(&"x".repeat(500)).lines().all(|line| line.len() <= 76));
        assert_eq!(escape("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }
}
