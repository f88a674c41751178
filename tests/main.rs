//! Tests of the whole: the tidy test, which holds the code base to its own rules; the end-to-end test, which drives
//! the built server as a process; the contract test, which holds its API to Prometheus'; the differential test, which
//! holds its answers to Prometheus'; the test of what becomes of stored metrics; that of downsampled ones; that of start
//! timestamps; that of servers that send to each other and read from each other; that of OTLP over restarts; and those of plugins that page people
//! and find targets. `cargo xtask test` builds what they need.

mod checks;
mod collect;
mod contract;
mod differential;
mod discovery;
mod downsampling;
mod e2e;
mod endpoints;
mod harness;
mod hostile;
mod kinds;
mod memory;
mod mixin;
mod notifications;
mod otlp;
mod paging;
mod processors;
mod queries;
mod reloads;
mod remote;
mod rule_tests;
mod sdks;
mod services;
mod starts;
mod storage;
mod tidy;
