//! `stormglass:host/clock`: the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::bindings::stormglass::host::clock::Host;
use crate::state::State;

impl Host for State {
    async fn now_ms(&mut self) -> wasmtime::Result<i64> {
        self.count_host_call()?;
        if let Some(fake) = &self.tenant.fake {
            return Ok(fake.now_ms());
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
