//! Durations as Prometheus reads them.

use super::*;

#[test]
fn durations() {
    for (text, ms) in [
        ("10s", Some(10_000)),
        ("1m30s", Some(90_000)),
        ("500ms", Some(500)),
        ("1m5ms", Some(60_005)),
        ("1y2w3d4h", Some((365 * 24 + 14 * 24 + 72 + 4) * 3_600_000)),
        ("0s", Some(0)),
        ("", None),
        ("10", None),
        ("s", None),
        ("1.5s", None),
        ("-1s", None),
        ("1s1m", None),
        ("1s1s", None),
        ("1é", None),
        ("99999999999999999999s", None),
        ("18446744073709551615s", None),
    ] {
        assert_eq!(parse(text), ms.map(Duration::from_millis), "{text:?}");
    }
}

#[test]
fn an_object_without_keys_is_no_config() {
    assert!(serde_json::from_str::<NoConfig>("{}").is_ok());
    assert!(serde_json::from_str::<NoConfig>(r#"{"interval": 1}"#).is_err());
}
