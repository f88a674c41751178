//! What guests may ask of the host. Each module translates one interface and asks [`grants`](crate::grants) before
//! it touches anything.

mod clock;
mod dns;
mod files;
pub(crate) mod http;
mod http_trace;
mod kv;
pub(crate) mod log;
pub(crate) mod net;
pub(crate) mod query;
mod secrets;
pub(crate) mod stderr;
mod telemetry;
