//! Storage on other servers: what is stored here is sent there, and what they have is merged into answers.
//!
//! ```text
//!             reader thread        shards                        the other server
//!  log ──▶ labels, relabelling ──▶ batch, send, try again ──HTTP──▶ /api/v1/write
//!   ▲                                    │
//!   └── position on disk ◀── ledger ◀────┘  acknowledged
//! ```
//!
//! * A **queue** belongs to one entry of `remote_write`. It follows the write-ahead log ([`tsdb::LogReader`]), so that nothing
//!   is lost that the log still has: not while the other server is away, and not over a restart of this one.
//! * The samples of a series always go to the same **shard**, which keeps their order. A shard sends one batch at a time, and
//!   what a shard cannot take makes the reader wait: the log is the buffer.
//! * The **ledger** knows up to where everything has been acknowledged, or given up; that place is kept on disk, and
//!   the log is kept from there on for a bounded time.
//! * [`RemoteStorage`] asks the servers of `remote_read` and merges what they have with what is here.

mod client;
pub mod config;
mod error;
mod ledger;
mod metrics;
mod position;
mod queue;
mod read;
mod shards;
mod write;

pub use config::{RemoteReadConfig, RemoteWriteConfig};
pub use error::Error;
pub use read::{RemoteRead, RemoteStorage};
pub use write::{RemoteWrite, RemoteWriteOptions};
