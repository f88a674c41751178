//! One HTTP exchange over a connection of its own, and what happened on the way: for probes. Needs a grant as
//! [`http`](crate::http) does. Redirects are answers.

pub use crate::bindings::base::stormglass::host::http_trace::{Exchange, Options, Phases};
use crate::http::Request;
use crate::net::Family;

/// Sends a request and waits for the whole answer.
pub fn trace(request: &Request, options: &Options) -> Exchange {
    crate::host::http_trace::trace(request, options)
}

impl Default for Options {
    fn default() -> Self {
        Self { family: Family::Any, tls: None }
    }
}

impl Phases {
    /// No time at all.
    pub const ZERO: Self = Self { resolve_ns: 0, connect_ns: 0, tls_ns: 0, processing_ns: 0, transfer_ns: 0 };
}
