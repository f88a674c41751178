//! `stormglass plugin`: making plugins, and trying them without a server.

mod build;
mod inspect;
mod manifest;
mod project;
mod run;
mod sdk;
mod starts;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use plugin::{CompileIn, Host, HostOptions};

pub(crate) use inspect::{inspect, list};
pub(crate) use run::run;
pub(crate) use sdk::Language;
pub(crate) use starts::Start;
pub(crate) use test::test;

use project::Project;

/// Writes a new project into a folder of its name.
pub(crate) fn new(language: Language, start: Start, name: &str) -> anyhow::Result<()> {
    manifest::check_name(name)?;
    let dir = Path::new(name);
    ensure!(!dir.exists(), "{name} exists already; choose another name or remove it");
    sdk::write_project(language, start, name, dir)?;
    println!("{name}/ is a {} in {}. Now:\n", start.as_str(), language.as_str());
    println!("    cd {name}");
    println!("    stormglass plugin build    # build/{name}.wasm");
    println!("    stormglass plugin test     # the cases in tests/");
    println!("    stormglass plugin run      # call it once and print what it yields");
    Ok(())
}

/// Builds the project in a folder.
pub(crate) fn build(dir: &Path) -> anyhow::Result<()> {
    let project = Project::open(dir)?;
    let output = build::build(&project)?;
    let size = std::fs::metadata(&output).map(|metadata| metadata.len()).unwrap_or_default();
    println!("{} ({} kB)", shown(&output), size.div_ceil(1000));
    Ok(())
}

/// A path as short as it can be said from here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// The component that is meant: a file, or what the project in a folder builds, built where it is not up to date.
fn component(file: &Path) -> anyhow::Result<PathBuf> {
    if !file.is_dir() {
        return Ok(file.to_owned());
    }
    let project = Project::open(file)?;
    if project.is_built() { Ok(project.output()) } else { build::build(&project) }
}

fn host() -> anyhow::Result<Arc<Host>> {
    let registry = prometheus::Registry::new();
    let options = HostOptions {
        plugins_dir: ".".into(),
        cache_dir: cache_dir(),
        state_dir: None,
        query: None,
        compile_in: compile_in(),
        registry: &registry,
    };
    Host::new(options).context("set up the plugin host")
}

/// In a process of this very program, even where its file has been replaced since.
pub(crate) fn compile_in() -> CompileIn {
    let itself = PathBuf::from("/proc/self/exe");
    let program = if itself.exists() { itself } else { std::env::current_exe().unwrap_or_default() };
    CompileIn::Process { program, arguments: vec!["plugin".into(), "compile".into()] }
}

/// What such a process does.
pub(crate) fn compile() -> ExitCode {
    match plugin::compile_stdin() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Where compiled plugins are kept between commands: compiling Python's runtime takes ten seconds and more.
fn cache_dir() -> Option<PathBuf> {
    let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = caches.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let dir = caches.join("stormglass");
    // A home that cannot be written to is no reason not to work without.
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir.join("plugins"))
}

/// A path that the host does not take for the name of a plugin.
fn as_path(file: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(file).with_context(|| format!("find {}", file.display()))?;
    absolute.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", file.display()))
}
