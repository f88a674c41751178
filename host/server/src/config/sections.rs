//! Sections and keys of `prometheus.yml` that are understood and change nothing here. Who writes them is told, with the
//! place, rather than refused: what they ask for does not decide whether monitoring works.

use std::path::Path;

use serde::Deserialize;

use super::Written;
use crate::yaml::FileError;

/// The section `runtime`: settings of Go's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    #[serde(rename = "gogc")]
    _gogc: Option<i64>,
}

/// Says what is there and changes nothing.
pub(super) fn warn(path: &Path, written: &Written, warnings: &mut Vec<FileError>) {
    if let Some(runtime) = &written.runtime {
        let what = "there is no garbage collector to tune";
        warnings.push(FileError::at(path, runtime.referenced, "runtime", what));
    }
    for (key, why) in written.storage.idle() {
        warnings.push(FileError::whole(path, format!("{key}: {why}")));
    }
}
