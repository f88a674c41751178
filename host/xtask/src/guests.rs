//! Building the guests: every crate in a folder becomes a WebAssembly module under `target/`.
//!
//! The Rust target comes by the first of three ways that works: it is installed; `rustup target add` installs
//! it; Debian's `rustc-web` builds the standard library for it from source.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process::{Run, say};
use crate::target_dir;

const TARGET: &str = "wasm32-unknown-unknown";

/// Set to `debian` to build with Debian's compiler even where rustup's would do.
const TOOLCHAIN_VARIABLE: &str = "STORMGLASS_WASM_TOOLCHAIN";

/// Debian's packages that build for WebAssembly.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// The compiler that builds for WebAssembly.
enum Toolchain {
    /// The one that builds the server.
    Own,
    /// Debian's, which builds the standard library first; holds the linker.
    Debian { linker: PathBuf },
}

/// Builds every crate in the folder `sources` and puts its module into `target/<into>/<crate>.wasm`.
pub(crate) fn build(root: &Path, sources: &str, into: &str) -> Result<()> {
    let crates = crates_in(&root.join(sources))?;
    say(&format!("building {} to {into}/*.wasm under the target folder", crates.join(", ")));
    let toolchain = toolchain(root)?;
    let target = target_dir(root);
    let built = match &toolchain {
        Toolchain::Own => target.clone(),
        Toolchain::Debian { .. } => target.join("debian"),
    };
    let mut run = match &toolchain {
        Toolchain::Own => Run::cargo(root),
        // Cargo's own variables would lead Debian's cargo back to the compiler that lacks the target.
        Toolchain::Debian { linker } => Run::new("/usr/bin/cargo", root)
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", "/usr/bin/rustc")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
            .env("CARGO_TARGET_DIR", &built)
            .arg("-Zbuild-std=std,panic_abort"),
    };
    run = run.args(["build", "--profile", "guest", "--target", TARGET]);
    for name in &crates {
        run = run.args(["--package", name]);
    }
    run.check()?;
    let directory = target.join(into);
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    for name in &crates {
        let from = built.join(TARGET).join("guest").join(format!("{}.wasm", name.replace('-', "_")));
        publish(&from, &directory.join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Copies under another name and renames, so that a running server never loads half a file; leaves an equal
/// file alone, so that it sees no change where there is none.
fn publish(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let partial = to.with_extension("wasm.partial");
    fs::write(&partial, bytes).with_context(|| format!("write {}", partial.display()))?;
    fs::rename(&partial, to).with_context(|| format!("rename to {}", to.display()))
}

/// The crates directly below a folder; a crate is named as its folder is.
fn crates_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("no crates in {}", folder.display());
    }
    Ok(names)
}

fn toolchain(root: &Path) -> Result<Toolchain> {
    let debian = || {
        debian(root).with_context(|| {
            format!("no compiler for {TARGET}; `rustup target add {TARGET}` is the simplest way to have one")
        })
    };
    if std::env::var(TOOLCHAIN_VARIABLE).is_ok_and(|which| which == "debian") {
        return debian();
    }
    if has_target(root) {
        return Ok(Toolchain::Own);
    }
    say(&format!("the Rust target {TARGET} is not installed; asking rustup for it"));
    match Run::new("rustup", root).args(["target", "add", TARGET]).check() {
        Ok(()) if has_target(root) => Ok(Toolchain::Own),
        Ok(()) => debian(),
        Err(error) => {
            say(&format!("{error:#}"));
            debian()
        }
    }
}

/// A cargo that builds for WebAssembly, as a shell script; `None` where the one on the path does.
pub(crate) fn cargo_script(root: &Path) -> Result<Option<String>> {
    let Toolchain::Debian { linker } = toolchain(root)? else { return Ok(None) };
    Ok(Some(format!(
        "#!/bin/sh\nunset RUSTUP_TOOLCHAIN CARGO\nexport RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc\n\
         export CARGO_UNSTABLE_BUILD_STD=std,panic_abort\n\
         export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='{}'\nexec /usr/bin/cargo \"$@\"\n",
        linker.display()
    )))
}

fn has_target(root: &Path) -> bool {
    Run::new("rustc", root)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .is_some_and(|libdir| fs::read_dir(libdir).is_ok_and(|mut entries| entries.next().is_some()))
}

/// Debian's compiler, installed where it is missing. It has no linker for WebAssembly; rustup's brings one.
fn debian(root: &Path) -> Result<Toolchain> {
    install_debian(root, &PACKAGES)?;
    let ask = |what: &str| {
        let answer = Run::new("rustc", root).args(["--print", what]).output();
        answer.with_context(|| format!("ask rustc for its {what}"))
    };
    let linker =
        Path::new(&ask("sysroot")?).join("lib/rustlib").join(ask("host-tuple")?).join("bin/rust-lld");
    if !linker.is_file() {
        bail!("no rust-lld beside rustc: expected {}", linker.display());
    }
    Ok(Toolchain::Debian { linker })
}

/// Installs packages of Debian's, where they are not there yet and we may.
pub(crate) fn install_debian(root: &Path, names: &[&str]) -> Result<()> {
    let packages = names.join(" ");
    if Run::new("dpkg-query", root).arg("--version").output().is_none() {
        bail!("this is no Debian, which would have {packages}");
    }
    let installed = names.iter().all(|package| {
        Run::new("dpkg-query", root)
            .args(["--show", "--showformat=${Status}", package])
            .output()
            .is_some_and(|status| status.ends_with("ok installed"))
    });
    if installed {
        return Ok(());
    }
    if Run::new("id", root).arg("-u").output().is_none_or(|user| user != "0") {
        bail!("only root can install Debian's: `sudo apt-get install --no-install-recommends {packages}`");
    }
    say(&format!("installing Debian's {packages}"));
    Run::new("apt-get", root).args(["update"]).check()?;
    Run::new("apt-get", root)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // As in single-user mode: what is a service is not started.
        .env("RUNLEVEL", "1")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(names)
        .check()
}
