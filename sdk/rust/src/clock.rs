//! Time. Needs no grant.

/// Milliseconds since the Unix epoch, by the server's clock.
pub fn now_ms() -> i64 {
    crate::host::clock::now_ms()
}
