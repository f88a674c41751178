//! The state file: alerts and the notification log, as JSON.
//!
//! Written to a neighbouring file that is synced and then renamed over the old one, so that a crash leaves
//! either the old state or the new one. Version history: 1, the first.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::log::Entry;
use crate::alert::{Alert, optional_millis};
use crate::error::Error;

/// The version this code writes and the only one it reads.
const FORMAT_VERSION: u32 = 1;

/// What survives a restart.
#[derive(Default)]
pub(super) struct State {
    /// When it was written; none in an empty state.
    pub(super) saved_at: Option<Timestamp>,
    pub(super) alerts: Vec<Alert>,
    pub(super) notifications: Vec<Entry>,
}

#[derive(Deserialize)]
struct Stored {
    version: u32,
    #[serde(default, with = "optional_millis")]
    saved_at: Option<Timestamp>,
    alerts: Vec<Alert>,
    notifications: Vec<Entry>,
}

#[derive(Serialize)]
struct Storing<'a> {
    version: u32,
    #[serde(with = "optional_millis")]
    saved_at: Option<Timestamp>,
    alerts: &'a [Alert],
    notifications: &'a [Entry],
}

impl State {
    /// Leaves out the time since it was written: what fired then is to fire for as long as it would have, since its
    /// sender could not repeat it to a server that was down. Told at once that it is over, people would be told soon
    /// after that it fires.
    pub(super) fn resume(&mut self, now: Timestamp) {
        let Some(saved_at) = self.saved_at else { return };
        let down_ms = now.since(saved_at).max(0);
        for alert in &mut self.alerts {
            alert.ends_at = alert.ends_at.map(|end| if end > saved_at { end.offset(down_ms) } else { end });
        }
    }
}

/// Reads the file. One that is not there is an empty state; one that makes no sense is moved aside, since a
/// damaged log must not keep alerts from being sent.
pub(super) fn load(path: &Path) -> Result<State, Error> {
    let failed = |source| Error::State { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(failed(error)),
    };
    let reason = match serde_json::from_slice::<Stored>(&bytes) {
        Ok(stored) if stored.version == FORMAT_VERSION => {
            let Stored { saved_at, alerts, notifications, .. } = stored;
            return Ok(State { saved_at, alerts, notifications });
        }
        Ok(stored) => format!("version {} is not known", stored.version),
        Err(error) => error.to_string(),
    };
    let aside = path.with_extension("damaged");
    fs::rename(path, &aside).map_err(failed)?;
    tracing::warn!(path = %path.display(), kept = %aside.display(), reason, "alert state is damaged: starting without it");
    Ok(State::default())
}

/// Replaces the file.
pub(super) fn save(path: &Path, state: &State) -> Result<(), Error> {
    let failed = |source| Error::State { path: path.to_owned(), source };
    let State { saved_at, alerts, notifications } = state;
    let stored = Storing { version: FORMAT_VERSION, saved_at: *saved_at, alerts, notifications };
    let bytes = serde_json::to_vec(&stored).map_err(|error| failed(error.into()))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let next = path.with_extension("next");
    let mut file = File::create(&next).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&next, path).map_err(failed)?;
    // The rename itself is durable once the folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
