//! Files of the host. Needs a grant for a directory above the path: `read` for everything here, `stat` for
//! [`space`] alone. Paths are absolute.

pub use crate::bindings::base::stormglass::host::files::{Entry, EntryKind, Error, Volume};
use crate::host::files;

/// The whole file.
pub fn read(path: &str) -> Result<Vec<u8>, Error> {
    files::read(path)
}

/// The whole file as text; bytes that are not UTF-8 become U+FFFD.
pub fn read_to_string(path: &str) -> Result<String, Error> {
    let bytes = files::read(path)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// What a directory holds, without `.` and `..`, by name.
pub fn read_dir(path: &str) -> Result<Vec<Entry>, Error> {
    files::read_dir(path)
}

/// Where a link points, as it is written.
pub fn read_link(path: &str) -> Result<String, Error> {
    files::read_link(path)
}

/// The file system that `path` is on.
pub fn space(path: &str) -> Result<Volume, Error> {
    files::space(path)
}
