//! `stormglass:host/kv`: values that outlive the instance.
//!
//! Writes happen on the blocking pool, since each is synced.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bindings::stormglass::host::kv::{Error, Host};
use crate::kv::{KvError, Store};
use crate::state::State;

impl Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.count_host_call()?;
        Ok(self.kv_store().map(|store| store.get(&key, self.now_ms())))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.count_host_call()?;
        let (limit, now) = (self.tenant.limits.kv.0, self.now_ms());
        let expires =
            ttl_ms.map_or(0, |ttl| now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)).max(1));
        self.write(move |store| store.set(&key, value, expires, limit, now)).await
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.count_host_call()?;
        self.write(move |store| store.delete(&key)).await
    }

    async fn keys(&mut self, prefix: String) -> wasmtime::Result<Result<Vec<String>, Error>> {
        self.count_host_call()?;
        Ok(self.kv_store().map(|store| store.keys(&prefix, self.now_ms())))
    }
}

impl State {
    fn kv_store(&self) -> Result<Arc<Store>, Error> {
        self.tenant.kv.clone().ok_or_else(|| Error::Other("there is no store here".to_owned()))
    }

    /// The time by which values run out: a test's own, where there is one.
    fn now_ms(&self) -> i64 {
        self.tenant.fake.as_ref().map_or_else(now_ms, |fake| fake.now_ms())
    }

    async fn write(
        &mut self,
        work: impl FnOnce(&Store) -> Result<(), KvError> + Send + 'static,
    ) -> wasmtime::Result<Result<(), Error>> {
        let store = match self.kv_store() {
            Ok(store) => store,
            Err(error) => return Ok(Err(error)),
        };
        let done = tokio::task::spawn_blocking(move || work(&store)).await?;
        Ok(done.map_err(|error| match error {
            KvError::InvalidKey => Error::InvalidKey(error.to_string()),
            KvError::Full(limit) => Error::Full(limit),
            KvError::Io { .. } => {
                tracing::warn!(plugin = &*self.tenant.name, "the plugin's store cannot be written: {error}");
                Error::Other(error.to_string())
            }
        }))
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
