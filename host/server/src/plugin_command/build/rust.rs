//! Rust: cargo makes a core module that carries its component type; the host makes it a component when it loads it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::tool::Tool;
use crate::plugin_command::project::Project;

const TARGET: &str = "wasm32-unknown-unknown";
const INSTALL: &str = "https://rustup.rs installs Rust";

fn cargo(dir: &Path) -> Tool {
    Tool::new("cargo", dir, INSTALL)
}

/// What cargo knows of the crate in a folder.
fn metadata(dir: &Path) -> anyhow::Result<serde_json::Value> {
    let text = cargo(dir).args(["metadata", "--no-deps", "--format-version=1"]).output()?;
    serde_json::from_str(&text).context("read what cargo metadata printed")
}

/// The name of the crate in a folder.
pub(crate) fn name(dir: &Path) -> anyhow::Result<String> {
    let metadata = metadata(dir)?;
    let manifest = dir.join("Cargo.toml");
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let package = packages.iter().find(|package| {
        package["manifest_path"].as_str().is_some_and(|path| same_file(Path::new(path), &manifest))
    });
    let name = package.and_then(|package| package["name"].as_str());
    name.map(str::to_owned).with_context(|| format!("{} is no crate", manifest.display()))
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

pub(super) fn build(project: &Project, name: &str) -> anyhow::Result<Vec<u8>> {
    let built = cargo(&project.dir).args(["build", "--release", "--target", TARGET, "--package", name]).run();
    if let Err(error) = built {
        if !has_target(&project.dir) {
            bail!(
                "{error:#}; the Rust target {TARGET} is not installed: `rustup target add {TARGET}` installs it"
            );
        }
        return Err(error);
    }
    let metadata = metadata(&project.dir)?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    let file = format!("{}.wasm", name.replace('-', "_"));
    super::read(&PathBuf::from(target).join(TARGET).join("release").join(file))
}

fn has_target(dir: &Path) -> bool {
    let libdir = Tool::new("rustc", dir, INSTALL)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .unwrap_or_default();
    std::fs::read_dir(libdir.trim()).is_ok_and(|mut entries| entries.next().is_some())
}
