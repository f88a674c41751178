//! C: a compiler with a C library for WASI makes a reactor, which becomes a component here.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::tool::{Tool, is_on_path};
use super::write;
use crate::plugin_command::manifest::Manifest;
use crate::plugin_command::project::Project;

const INSTALL: &str = "a C compiler for WASI builds plugins: on Debian `apt-get install clang lld wasi-libc \
    libclang-rt-dev-wasm32`, elsewhere `pip install ziglang`, or the WASI SDK with its folder in WASI_SDK_PATH";

pub(super) fn build(project: &Project, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let include = project.build_dir().join("include");
    write(&include.join("plugin_manifest.h"), &header(manifest))?;
    let module = project.build_dir().join("core.wasm");
    let mut compiler = compiler(&project.dir)
        .args(["-mexec-model=reactor", "-std=c11", "-O2", "-Wall", "-Wextra", "-Wl,--strip-all"])
        .arg("-I")
        .arg(&include)
        .args(["-I", "stormglass"]);
    for kind in &manifest.kinds {
        compiler = compiler.arg(format!("-DSG_KIND_{}", kind.to_uppercase().replace('-', "_")));
    }
    compiler
        .args(sources(&project.dir)?)
        .args(sources(&project.dir.join("stormglass"))?)
        .arg("-o")
        .arg(&module)
        .run()?;
    super::componentize(project, manifest, &module)
}

/// The first that is there: the WASI SDK, clang with Debian's wasi-libc, zig, zig from PyPI.
fn compiler(dir: &Path) -> Tool {
    if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
        return Tool::new(PathBuf::from(sdk).join("bin/clang"), dir, INSTALL).arg("--target=wasm32-wasi");
    }
    if is_on_path("clang") && Path::new("/usr/include/wasm32-wasi/stdlib.h").is_file() {
        return Tool::new("clang", dir, INSTALL).args(["--target=wasm32-wasi", "--sysroot=/usr"]);
    }
    let zig = ["cc", "--target=wasm32-wasi"];
    if is_on_path("python-zig") {
        return Tool::new("python-zig", dir, INSTALL).args(zig);
    }
    Tool::new("zig", dir, INSTALL).args(zig)
}

/// The C files of a folder, in a fixed order.
fn sources(dir: &Path) -> anyhow::Result<Vec<OsString>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            files.push(path.into_os_string());
        }
    }
    files.sort();
    Ok(files)
}

/// What plugin.yaml says, for the preprocessor.
fn header(manifest: &Manifest) -> String {
    let info = manifest.info();
    let wishes: String = info
        .wishes
        .iter()
        .map(|[capability, target, reason]| {
            format!("{{{}, {}, {}}}, ", literal(capability), literal(target), literal(reason))
        })
        .collect();
    format!(
        "/* What plugin.yaml says. Generated. */\n#define SG_NAME {}\n#define SG_VERSION {}\n#define SG_DESCRIPTION {}\n\
         #define SG_CONFIG_SCHEMA {}\n#define SG_WISHES {wishes}\n",
        literal(&info.name),
        literal(&info.version),
        literal(&info.description),
        literal(&info.config_schema),
    )
}

/// A string literal of C's.
fn literal(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' if byte != b'?' => quoted.push(char::from(byte)),
            // Three digits always, so that a digit that follows is none of them. Question marks could make trigraphs.
            _ => quoted += &format!("\\{byte:03o}"),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn literals_hold_any_text() {
        assert_eq!(literal("a\"b\\c\n1??/é"), r#""a\"b\\c\0121\077\077/\303\251""#);
    }
}
