//! Which answers are errors, and which of those pass.

use super::*;
use crate::testing::{Host, response};

#[test]
fn a_status_of_failure_says_what_the_server_said() {
    for (status, retryable) in
        [(301, false), (400, false), (404, false), (408, true), (429, true), (500, true), (503, true)]
    {
        let error = response(status, " no \n").error_for_status().unwrap_err();
        assert_eq!(error.message(), format!("server answered status {status}: no"));
        assert_eq!(error.is_retryable(), retryable, "{status}");
        assert_eq!(error.retry_after(), None);
    }
    assert_eq!(response(204, "").error_for_status().unwrap().status, 204);
}

#[test]
fn retry_after_is_heeded_where_it_is_in_seconds() {
    let wait = |value: &str| {
        let mut answer = response(503, "");
        answer.headers.push(Header { name: "retry-after".into(), value: value.into() });
        answer.error_for_status().unwrap_err().retry_after()
    };
    assert_eq!(wait("120"), Some(Duration::from_secs(120)));
    assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), None);
}

#[test]
fn a_request_reaches_the_host_as_it_was_built() {
    let host = Host::new().http(|request| {
        let header = |name: &str| request.headers.iter().find(|h| h.name == name).map(|h| h.value.as_str());
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "http://a/b"));
        assert_eq!((header("Content-Type"), header("X-Token")), (Some("application/json"), Some("t")));
        assert_eq!((request.body.as_slice(), request.timeout_ms), (&b"[1]"[..], Some(1500)));
        Ok(response(200, "{\"ok\":true}"))
    });
    let answer = host.run(|| {
        let request = Request::post("http://a/b").header("X-Token", "t").json(&[1]).unwrap();
        request.timeout(Duration::from_millis(1500)).send().unwrap()
    });
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["ok"], true);
}

#[test]
fn without_a_host_everything_is_denied() {
    assert!(matches!(get("http://a"), Err(Error::Denied(_))));
    assert!(matches!(crate::files::read("/proc/stat"), Err(crate::files::Error::Denied(_))));
}

#[test]
fn an_origin_holds_no_secret() {
    for (url, expected) in [
        ("https://hooks.example.com/services/T0/secret", "https://hooks.example.com"),
        ("http://user:secret@h:8080?token=secret", "http://h:8080"),
        ("http://user:sec@ret@[::1]:1#x", "http://[::1]:1"),
        ("nonsense", "://nonsense"),
        ("", "://"),
    ] {
        assert_eq!(origin(url), expected);
    }
}
