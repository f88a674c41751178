//! Lines for the operator: `log::info!("{count} devices")`. Needs no grant.
//!
//! A line appears in the server's log with the plugin's name beside it. The server drops and counts the lines
//! over its limit, so log what happened, not what was measured.

pub use crate::bindings::base::stormglass::host::log::Level;
pub use crate::{__log_debug as debug, __log_error as error, __log_info as info, __log_warn as warn};

/// Writes one line; the macros of this module format it first.
pub fn write(level: Level, message: &str) {
    crate::host::log::log(level, message);
}

/// Writes a line for the developer.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($text)+)) };
}

/// Writes a line that an operator may care to read.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($text)+)) };
}

/// Writes a line that an operator should read.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($text)+)) };
}

/// Writes a line that an operator must read.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($text)+)) };
}
