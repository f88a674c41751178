//! What tests of the built server share: the server as a process, HTTP, and patience.

pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod service;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::http::Client;

/// How long a step may take before the test gives up on it. Everything runs at intervals of a second; the rest is
/// patience with a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
pub(crate) fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until a query yields a value that passes.
pub(crate) fn until_value(api: &Client, query: &str, pass: impl Fn(f64) -> bool) -> f64 {
    until(&format!("{query} is as expected"), PATIENCE, || api.value(query).filter(|value| pass(*value)))
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
