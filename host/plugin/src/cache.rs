//! Compiled components on disk, so that a restart does not compile again: Python takes fifteen seconds.
//!
//! ```text
//! <folder>/<sha256 of the component>-<compatibility of the engine>.artifact
//!   sha256 of the rest (32 bytes) | what `Component::serialize` gave
//! ```
//!
//! What is loaded from here runs as native code with the server's rights. So the folder is private (0700, owned by
//! the server's user, or it is not used at all), what is in it is only ever derived from a component, and plugins are
//! never loaded from it. The checksum is against torn writes and rot, not against attackers: who can write to the
//! folder is the server's user already.
#![allow(
    unsafe_code,
    reason = "wasmtime cannot prove that native code is what it compiled; `load` argues it"
)]

use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::PluginError;

/// Bytes of the checksum in front of an artifact.
const CHECKSUM_BYTES: usize = 32;

/// The folder of compiled components.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Differs between engines that cannot load each other's code.
    compatibility: u64,
}

impl Cache {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// Where it cannot be made, or others could write to it.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, PluginError> {
        let io = |source| PluginError::Io { path: folder.to_path_buf(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let metadata = std::fs::symlink_metadata(folder).map_err(io)?;
        let owned = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !owned || metadata.mode() & 0o077 != 0 {
            return Err(PluginError::Host(format!(
                "{}: compiled plugins must be in a folder of mode 0700 that the server's user owns",
                folder.display()
            )));
        }
        // Fixed keys: the same engine must find its artifacts again after a restart.
        #[expect(deprecated, reason = "the only hasher of std that is the same in every process")]
        let mut hasher = std::hash::SipHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.to_path_buf(), compatibility: hasher.finish() })
    }

    /// The compiled form of the component with this digest, if it is here and whole.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let stored = std::fs::read(self.path(digest)).ok()?;
        let (checksum, artifact) = stored.split_at_checked(CHECKSUM_BYTES)?;
        if Sha256::digest(artifact).as_slice() != checksum {
            tracing::warn!(digest, "a compiled plugin is damaged and will be compiled again");
            return None;
        }
        // SAFETY: `deserialize` asks that the bytes come from `serialize` unchanged. They come from a file in a folder
        // into which only the server's user can write (`open` checked owner and mode), under a name that only `store`
        // gives, and `store` writes nothing but what the compiler returned. The checksum shows that it is whole.
        // An artifact of another engine or version has another name, and wasmtime checks that again.
        let component = unsafe { Component::deserialize(engine, artifact) };
        component
            .inspect_err(|error| tracing::warn!(digest, "a compiled plugin cannot be used: {error:#}"))
            .ok()
    }

    /// Keeps the compiled form of a component. Failing to is no reason not to run it.
    pub(crate) fn store(&self, digest: &str, artifact: &[u8]) {
        if let Err(error) = self.try_store(digest, artifact) {
            tracing::warn!(digest, folder = %self.folder.display(), "a compiled plugin cannot be kept: {error}");
        }
    }

    fn try_store(&self, digest: &str, artifact: &[u8]) -> std::io::Result<()> {
        let path = self.path(digest);
        // Its own name while it is written, in case another server shares the folder.
        let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&Sha256::digest(artifact))?;
        file.write_all(artifact)?;
        std::fs::rename(&unfinished, &path)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{:016x}.artifact", self.compatibility))
    }
}

/// What the compiler has just made, as a component.
pub(crate) fn fresh(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks that the bytes come from `serialize` unchanged. They come from our own compiler: from this
    // process or, through a pipe that nobody else has, from one that runs the same program. Wasmtime checks that its engine
    // is of the same version and settings.
    unsafe { Component::deserialize(engine, artifact) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "(component)";

    #[test]
    fn damaged_artifacts_are_not_loaded() {
        let (engine, _) = crate::engine::start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("compiled"), &engine).unwrap();
        let component = Component::new(&engine, wat::parse_str(EMPTY).unwrap()).unwrap();
        assert!(cache.load(&engine, "digest").is_none());
        cache.store("digest", &component.serialize().unwrap());
        assert!(cache.load(&engine, "digest").is_some());

        let mut bytes = std::fs::read(cache.path("digest")).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(cache.path("digest"), &bytes).unwrap();
        assert!(cache.load(&engine, "digest").is_none());
        std::fs::write(cache.path("digest"), b"short").unwrap();
        assert!(cache.load(&engine, "digest").is_none());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (engine, _) = crate::engine::start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Cache::open(folder.path(), &engine), Err(PluginError::Host(_))));
    }
}
