//! An instance's life as the server drives it, from `describe` to calls.

use std::cell::Cell;

use serde::Deserialize;

use super::*;
use crate::Wish;

#[derive(Deserialize)]
struct Config {
    start: u32,
}

/// Counts its collections; fails the third.
struct Counter {
    count: u32,
}

thread_local! {
    static STARTED: Cell<u32> = const { Cell::new(0) };
}

impl Plugin for Counter {
    type Config = Config;
    const WISHES: &'static [Wish] = &[Wish { capability: "files", target: "/etc", reason: "look" }];

    fn init(config: Config) -> Result<Self> {
        STARTED.set(STARTED.get() + 1);
        match config.start {
            0 => Err(Error::retryable("not yet")),
            count => Ok(Self { count }),
        }
    }
}

impl Collector for Counter {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        assert_eq!(out.deadline(), Some(Duration::from_secs(2)));
        self.count += 1;
        if self.count == 3 {
            return Err(Error::permanent("three is too many").after(Duration::from_millis(1500)));
        }
        out.gauge("count", "").set(&[], f64::from(self.count));
        Ok(())
    }
}

fn values(slot: &Slot<Counter>) -> Result<Vec<f64>, PluginError> {
    match call(slot, |plugin| collect(plugin, 2000))? {
        Payload::Columns(batch) => Ok(batch.values),
        other => panic!("expected columns, got {other:?}"),
    }
}

#[test]
fn describing_starts_nothing() {
    let info = describe::<Counter>("counter", "1.2.3", "Counts.");
    assert_eq!(
        (info.name.as_str(), info.version.as_str(), info.description.as_str()),
        ("counter", "1.2.3", "Counts.")
    );
    assert_eq!(info.config_schema, r#"{"type":"object","additionalProperties":false}"#);
    assert_eq!((info.wishes[0].capability.as_str(), info.wishes[0].target.as_str()), ("files", "/etc"));
    assert_eq!(STARTED.get(), 0);
}

#[test]
fn state_lasts_from_call_to_call() {
    let slot = Slot::default();
    init::<Counter>(&slot, r#"{"start": 1}"#).unwrap();
    assert_eq!(values(&slot).unwrap(), [2.0]);
    let error = values(&slot).unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.retryable, error.retry_after_ms),
        ("three is too many", true, Some(1500))
    );
    assert_eq!(values(&slot).unwrap(), [4.0]);
}

#[test]
fn without_init_there_is_nothing_to_call() {
    let slot = Slot::default();
    assert_eq!(values(&slot).unwrap_err().message, "plugin was called before init");
    let refused = init::<Counter>(&slot, r#"{"start": 0}"#).unwrap_err();
    assert_eq!((refused.message.as_str(), refused.retryable), ("not yet", true));
    let unreadable = init::<Counter>(&slot, "{}").unwrap_err();
    assert_eq!(unreadable.message, "configuration does not fit: missing field `start` at line 1 column 2");
    assert!(!unreadable.retryable);
    assert_eq!(values(&slot).unwrap_err().message, "plugin was called before init");
}
