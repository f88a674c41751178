//! Secrets of the operator, by name. Needs a grant for each.
//!
//! A secret that the configuration sends as a header needs nothing here: the server sets it in each request.

pub use crate::bindings::base::stormglass::host::secrets::Error;

/// The secret as it is now. Ask each time it is needed, so that a changed one is used.
pub fn get(name: &str) -> Result<String, Error> {
    crate::host::secrets::get(name)
}
