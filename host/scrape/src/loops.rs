//! The threads that scrape targets, apart from those that answer requests.
//!
//! A scrape is little work in many steps: a timer, a request, parts of an answer, a batch. On threads that share their
//! work each step wakes another one, which costs about as much as the step. Here a target keeps its thread, and every
//! step from the timer to storage happens there.
//!
//! * Storage may wait for a disk, and then holds up the other targets of that thread. Their batches would wait for the
//!   same log.
//! * What may take long goes elsewhere: plugins run on the threads of the server, and long answers are read on a thread
//!   of their own.

use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Handle, Runtime};

/// More threads than this share the work of the largest fleets with nothing left to win.
const THREADS_MAX: usize = 8;

/// See the module. Without threads of its own everything runs where it is started.
#[derive(Default)]
pub(crate) struct Loops(Vec<Runtime>);

impl Loops {
    /// Starts a thread for each core.
    ///
    /// # Errors
    /// Where the system has no threads left.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let start =
            |_| Builder::new_multi_thread().worker_threads(1).thread_name("scrape").enable_all().build();
        (0..cores.min(THREADS_MAX)).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Where the loop of a target with this hash runs.
    pub(crate) fn of(&self, hash: u64) -> Handle {
        let chosen = self.0.get((hash % self.0.len().max(1) as u64) as usize);
        chosen.map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Whether there are threads that do nothing else.
    pub(crate) const fn are_apart(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        // Nothing waits for the connections that are kept for the next scrape.
        std::mem::take(&mut self.0).into_iter().for_each(Runtime::shutdown_background);
    }
}
