//! State that outlives the instance: it is there again after a trap, a reload, a new version of the plugin and a restart
//! of the server. Needs no grant; `limits.kv` says how much there may be.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::base::stormglass::host::kv::Error;
use crate::host::kv;

/// The value, if there is one.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    kv::get(key)
}

/// Stores a value; when this returns, it outlives a crash of the server.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    kv::set(key, value, None)
}

/// Stores a value that is gone after this long.
pub fn set_for(key: &str, value: &[u8], ttl: Duration) -> Result<(), Error> {
    kv::set(key, value, Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
}

/// Removes a value; one that is not there is no error.
pub fn delete(key: &str) -> Result<(), Error> {
    kv::delete(key)
}

/// The keys that begin with `prefix`, sorted.
pub fn keys(prefix: &str) -> Result<Vec<String>, Error> {
    kv::keys(prefix)
}

/// The value, read as JSON.
pub fn get_json<T: DeserializeOwned>(key: &str) -> crate::Result<Option<T>> {
    Ok(get(key)?.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
}

/// Stores a value as JSON.
pub fn set_json(key: &str, value: &impl Serialize) -> crate::Result<()> {
    Ok(set(key, &serde_json::to_vec(value)?)?)
}
