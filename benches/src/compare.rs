//! Servers side by side: each is started in a folder of its own, gets the same load, and is measured from outside.
//!
//! * [`Server`]: one of them, and when it has nothing to do any more; its answers.
//! * [`Disk`]: what its files are for.
//! * [`Table`]: what was measured, a row per measure and a column per server.

mod disk;
mod server;
mod table;

#[cfg(test)]
mod tests;

pub use disk::Disk;
pub use server::Server;
pub use table::Table;
