//! Long looks through memory, divided among threads.
//!
//! A query over a million series waits for memory most of its time; a second core halves that. What takes less than a
//! thread does to start is done by the caller alone.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread::Builder;

/// More would only take cores from other queries.
const THREADS_MAX: usize = 4;

static THREADS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX));

/// How many threads may look, the caller among them.
pub(crate) fn threads() -> usize {
    *THREADS
}

/// Does `work` on every part, each on a thread of its own, the first one on that of the caller. Results come in the order
/// of the parts.
pub(crate) fn each<P: Sync, R: Send>(parts: &[P], work: impl Fn(&P) -> R + Sync) -> Vec<R> {
    if let [only] = parts {
        return vec![work(only)];
    }
    std::thread::scope(|scope| {
        let (work, thread) = (&work, || Builder::new().name("tsdb-look".to_owned()));
        let spawn = |part| (part, thread().spawn_scoped(scope, move || work(part)));
        let others: Vec<_> = parts.iter().skip(1).map(spawn).collect();
        let first = parts.first().map(work);
        let others = others.into_iter().map(|(part, other)| match other {
            Ok(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // The system gives no more threads.
            Err(_) => work(part),
        });
        first.into_iter().chain(others).collect()
    })
}
