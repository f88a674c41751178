//! Where calls of the host go: across the boundary in a component, to [`testing`](crate::testing) anywhere else.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::base::stormglass::host::{
    clock, dns, files, http, http_trace, kv, log, net, query, secrets, telemetry,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{
    clock, dns, files, http, http_trace, kv, log, net, query, secrets, telemetry,
};
