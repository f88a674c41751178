//! Tests of the whole: the tidy test, which holds the code base to its own rules, and the end-to-end test,
//! which drives the built server as a process. `cargo xtask test` builds what they need.

mod e2e;
mod tidy;
