//! The storage engine: takes samples, keeps them, finds them again.
//!
//! The way of a sample:
//!
//! ```text
//!  Appender ──commit──► WAL ──────► head ──────cut──────► block
//!  a batch             durable     visible               immutable, mapped
//! ```
//!
//! * A batch of samples ([`model::Appender`]) is written to the **write-ahead log** ([`wal`]) as one frame, and
//!   only then applied to the **head**. Batches are committed side by side on all cores and share a write and a sync of
//!   the log. A reader sees all of a batch or nothing of it; what a commit cannot take any more, since another batch
//!   came first, it names to the sender, so that nothing acknowledged is ever dropped.
//! * Samples that are not the newest of their series are taken within [`Options::out_of_order_window`]: kept apart as
//!   **late** ones, merged by readers, and in the end written to the blocks that they belong to.
//! * The head keeps each series as sealed **chunks** (some consecutive samples, encoded bit for bit) and one open
//!   buffer. A **label index** (roaring bitmaps) finds series by [`model::Matcher`].
//! * Once the head spans one and a half **block** ranges, [`Tsdb::maintain`] cuts the oldest range to a [`block`],
//!   one immutable file with everything that a query needs, and writes a checkpoint of what is left, which it also does
//!   every few minutes, so that the log stays short. Three blocks become one of three times their range, and so on; blocks past retention are
//!   removed whole.
//! * [`Tsdb::delete`] writes **tombstones** beside blocks and into the log; what they name is not seen from then on, and is
//!   gone from disk when a block is written anew. [`Retention`] says what else goes, by age, size and matcher.
//! * Old samples become **summaries** of five minutes and of an hour where [`Downsampling`] says so, in blocks of their
//!   own, which answer when samples are gone or a query's step is long ([`Tsdb::select_for_step`]).
//! * [`Tsdb::snapshot`] makes a second directory of hard links and a checkpoint; [`verify`] and [`analyze`] read a
//!   directory that nobody has open.
//! * A [`LogReader`] follows the log while it is written, from a place that outlives the process, for those who send on
//!   what is stored. What it has not read yet stays for a while, even where no start needs it any more.
//! * [`Tsdb::select`] looks at head and blocks at one moment and gives [`SelectedSeries`], which decode their
//!   samples when they are read; [`Tsdb::latest`] gives one sample of each and does without those.
//!
//! After a restart, however it came about, everything that was acknowledged is there again: see [`WalSync`] for
//! what that means when the power fails. The file system and the clock are parameters ([`FileSystem`], [`Clock`]),
//! so that tests can fail every write and stop at every step.
//!
//! Everything here is synchronous. Whoever owns a [`Tsdb`] calls [`Tsdb::maintain`] now and then from a thread of
//! its own.

mod analyze;
pub mod block;
mod chunk;
mod clock;
mod codec;
mod db;
mod error;
mod fs;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod header;
mod index;
mod options;
mod side_by_side;
mod starts;
pub mod tombstones;
mod verify;
pub mod wal;

pub use analyze::{Analysis, BlockAnalysis, Ranked, SeriesAnalysis, analyze};
pub use clock::{Clock, SystemClock};
pub use db::{
    BlockStats, Cardinality, GroupKey, Growth, Latest, LatestBy, MaintenanceReport, Recovery, SelectedSeries,
    SeriesExemplars, Sink, Stats, SummarySink, Tsdb, snapshot_stopped,
};
pub use error::{Error, Result};
pub use fs::{File, FileBytes, FileSystem, RealFileSystem};
pub use head::RefusedSeries;
pub use options::{Downsampling, DownsamplingLevel, Options, Retention, RetentionRule, WalSync};
pub use starts::UNKNOWN_START;
pub use verify::{Verification, verify};
pub use wal::{LogFrame, LogHold, LogItems, LogPosition, LogReader, LogSamples};
