//! `stormglass plugin build`: from a project to a component, with the language's own toolchain.
//!
//! What a project depends on, as its own files pin it, is installed into the project, as cargo and go do; toolchains
//! themselves are the author's to install, and an error says how.

mod c;
mod go;
mod js;
mod python;
pub(crate) mod rust;
mod tool;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::manifest::Manifest;
use super::project::{Project, Source};
use super::sdk::{self, Language};

/// The world of the interfaces that [`write_interfaces`] writes.
const WORLD: &str = "plugin";

/// Builds a project; gives the component's path.
pub(crate) fn build(project: &Project) -> anyhow::Result<PathBuf> {
    let output = project.output();
    fs::create_dir_all(project.build_dir())
        .with_context(|| format!("create {}", project.build_dir().display()))?;
    let component = match &project.source {
        Source::Crate(name) => rust::build(project, name)?,
        Source::Manifest(manifest) => match manifest.language {
            Language::Rust => rust::build(project, &rust::name(&project.dir)?)?,
            Language::Go => go::build(project, manifest)?,
            Language::Python => python::build(project, manifest)?,
            Language::Js => js::build(project, manifest)?,
            Language::C => c::build(project, manifest)?,
        },
    };
    // Under another name first: a server may be watching.
    let partial = output.with_extension("wasm.partial");
    fs::write(&partial, component).with_context(|| format!("write {}", partial.display()))?;
    fs::rename(&partial, &output).with_context(|| format!("write {}", output.display()))?;
    Ok(output)
}

/// Writes the interfaces with a world of just what the plugin is and uses; gives the folder and the interfaces' version.
fn write_interfaces(project: &Project, manifest: &Manifest) -> anyhow::Result<(PathBuf, String)> {
    let (interfaces, version) = sdk::interfaces_of(&project.dir)?;
    let wit = project.build_dir().join("wit");
    if wit.exists() {
        fs::remove_dir_all(&wit).with_context(|| format!("empty {}", wit.display()))?;
    }
    copy(&interfaces.join("deps"), &wit.join("deps"))?;
    let package = wit.join("deps/plugin");
    fs::create_dir_all(&package).with_context(|| format!("create {}", package.display()))?;
    let from = interfaces.join("plugin.wit");
    fs::copy(&from, package.join("plugin.wit")).with_context(|| format!("copy {}", from.display()))?;
    write(&wit.join("world.wit"), &manifest.world(&version))?;
    Ok((wit, version))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, &to).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Makes a component of a core module that a compiler has written.
fn componentize(project: &Project, manifest: &Manifest, module: &Path) -> anyhow::Result<Vec<u8>> {
    let (wit, _) = write_interfaces(project, manifest)?;
    plugin::componentize(&read(module)?, &wit, WORLD).map_err(anyhow::Error::msg).with_context(|| {
        format!("make a component of {}: does it have what plugin.yaml names as kinds?", module.display())
    })
}
