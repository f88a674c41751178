//! Being written.
pub mod read;
