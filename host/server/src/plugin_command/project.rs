//! A plugin's project: the folder that `plugin new` made, or a crate that uses the Rust SDK.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};

use super::manifest::Manifest;

/// What is built where.
pub(crate) struct Project {
    pub(crate) dir: PathBuf,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    /// A crate that needs no plugin.yaml; its name.
    Crate(String),
    Manifest(Box<Manifest>),
}

impl Project {
    /// Opens the project in a folder.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let dir = std::path::absolute(dir).with_context(|| format!("find {}", dir.display()))?;
        let manifest = dir.join(Manifest::FILE);
        let source = if manifest.is_file() {
            Source::Manifest(Box::new(Manifest::read(&manifest)?))
        } else if dir.join("Cargo.toml").is_file() {
            Source::Crate(super::build::rust::name(&dir)?)
        } else {
            bail!(
                "{} has neither plugin.yaml nor Cargo.toml; `stormglass plugin new --lang LANGUAGE NAME` makes a project",
                dir.display()
            )
        };
        Ok(Self { dir, source })
    }

    pub(crate) fn name(&self) -> &str {
        match &self.source {
            Source::Crate(name) => name,
            Source::Manifest(manifest) => &manifest.name,
        }
    }

    /// Where everything that is built goes.
    pub(crate) fn build_dir(&self) -> PathBuf {
        self.dir.join("build")
    }

    /// The component.
    pub(crate) fn output(&self) -> PathBuf {
        self.build_dir().join(format!("{}.wasm", self.name()))
    }

    /// When a source was last changed.
    pub(crate) fn changed_in(dir: &Path) -> Option<SystemTime> {
        /// Folders of tools and of what is built.
        const NOT_SOURCES: [&str; 5] = ["build", "target", "node_modules", "__pycache__", "tests"];
        let mut newest = None;
        let mut open = vec![dir.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with('.') || NOT_SOURCES.contains(&&*name) {
                    continue;
                }
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                    Ok(metadata) => newest = newest.max(metadata.modified().ok()),
                    // Gone between the two calls, as when an editor replaces it.
                    Err(_) => {}
                }
            }
        }
        newest
    }

    /// Whether what is built is as new as the sources.
    pub(crate) fn is_built(&self) -> bool {
        let built = fs::metadata(self.output()).and_then(|metadata| metadata.modified()).ok();
        built.is_some() && built >= Self::changed_in(&self.dir)
    }
}
