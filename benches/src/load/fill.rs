//! The load appended to storage in this process, as fast as it goes: what a day of it takes on disk shows in a minute.

use std::io;
use std::time::Duration;

use model::{Labels, SeriesRef};

use super::request::{JOB, instance, stale};
use super::{Load, Recording, Target};
use crate::Database;

/// Maintenance falls due this often, in the load's time.
const MAINTENANCE: Duration = Duration::from_secs(1800);

/// A target, and its series in storage.
struct Filled {
    target: Target,
    revision: usize,
    labels: Vec<Labels>,
    refs: Vec<Option<SeriesRef>>,
}

impl Filled {
    /// The series are new from here on.
    fn begin(&mut self, recording: &Recording, number: usize, revision: usize) {
        let labels = |of: &Labels| {
            of.with("job", JOB).with("instance", &instance(number)).with("revision", &format!("r{revision}"))
        };
        self.revision = revision;
        self.labels = recording.series.iter().map(|series| labels(&series.labels)).collect();
        self.refs = vec![None; self.labels.len()];
    }
}

/// Appends a load of that duration, beginning at a time, with the maintenance that falls due.
///
/// # Errors
/// Where a sample is refused.
pub fn fill(
    database: &Database,
    recording: &Recording,
    load: &Load,
    start_ms: i64,
    duration: Duration,
) -> io::Result<()> {
    let mut targets: Vec<Filled> = (0..load.targets)
        .map(|number| {
            let target = Target::new(recording, number, load.seed);
            let mut filled = Filled { target, revision: 0, labels: Vec::new(), refs: Vec::new() };
            filled.begin(recording, number, 0);
            filled
        })
        .collect();
    let mut values = Vec::new();
    let mut maintained = Duration::ZERO;
    let steps = (duration.as_millis() / load.interval.as_millis().max(1)) as u32;
    for step in 0..steps {
        for (number, filled) in targets.iter_mut().enumerate() {
            let elapsed = load.interval * step + load.offset(number);
            let time_ms = start_ms + elapsed.as_millis() as i64;
            if step > 0 {
                filled.target.advance(recording);
            }
            let revision = load.revision(number, elapsed);
            if revision != filled.revision {
                database.append(&filled.labels, &mut filled.refs, time_ms, |_| stale())?;
                filled.begin(recording, number, revision);
            }
            filled.target.values(recording, &mut values);
            database.append(&filled.labels, &mut filled.refs, time_ms, |at| values[at])?;
        }
        let elapsed = load.interval * step;
        if elapsed - maintained >= MAINTENANCE {
            maintained = elapsed;
            database.tsdb().maintain().map_err(io::Error::other)?;
        }
    }
    Ok(())
}
