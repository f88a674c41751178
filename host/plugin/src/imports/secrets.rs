//! `stormglass:host/secrets`: secrets by name, where granted and not kept for the host's own use.

use crate::bindings::stormglass::host::secrets::{Error, Host};
use crate::grants::secret::SecretError;
use crate::state::State;

impl Host for State {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        self.count_host_call()?;
        if let Some(fake) = self.tenant.fake.clone() {
            let given = fake.secret(&name).inspect(|secret| self.tenant.hidden.add(secret));
            return Ok(given.map_err(|denied| Error::Denied(self.deny(denied))));
        }
        let grants = std::sync::Arc::clone(&self.tenant.grants);
        // Reading a file may hang.
        let read = tokio::task::spawn_blocking(move || grants.read_secret(&name)).await?;
        Ok(read.inspect(|secret| self.tenant.hidden.add(secret)).map_err(|error| match error {
            SecretError::Denied(denied) => Error::Denied(self.deny(denied)),
            SecretError::Unavailable(what) => Error::Unavailable(what),
        }))
    }
}
