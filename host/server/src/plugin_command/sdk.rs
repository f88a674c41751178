//! The SDKs, their project templates and the interfaces, as they are in the repository, carried in the binary: `plugin
//! new` needs nothing but the binary, and what it writes fits the server that wrote it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use include_dir::{Dir, File, include_dir};
use serde::Deserialize;

use super::starts::Start;

static SDKS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sdk");

static ALL_INTERFACES: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../wit");

/// The interfaces that the SDKs are written for.
const INTERFACES: &str = "0.1.2";

/// The manifest of our own workspace: the Rust SDK inherits from it.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// A language that plugins are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    Rust,
    Go,
    Python,
    Js,
    C,
}

impl Language {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
            Self::Js => "js",
            Self::C => "c",
        }
    }

    /// The file that is the plugin's program, in a project.
    fn program(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Go => "plugin.go",
            Self::Python => "plugin.py",
            Self::Js => "plugin.js",
            Self::C => "plugin.c",
        }
    }

    /// Where the SDK's own files are below `sdk/`, and where they go below a project.
    fn source(self) -> (&'static str, &'static str) {
        match self {
            // As deep as in the repository: the bindings name the interfaces by a relative path.
            Self::Rust => ("rust", "stormglass/sdk/rust"),
            Self::Go => ("go", "stormglass"),
            Self::Python => ("python/stormglass", "stormglass"),
            Self::Js => ("js/stormglass", "stormglass"),
            Self::C => ("c/src", "stormglass"),
        }
    }
}

/// Writes a new project: the language's template with the name and the kind filled in, its SDK, and the interfaces.
pub(crate) fn write_project(language: Language, start: Start, name: &str, dir: &Path) -> anyhow::Result<()> {
    let template = format!("{}/template", language.as_str());
    let (program, cases) = match start {
        Start::Collector => (None, None),
        other => {
            let extension = language.program().rsplit_once('.').map_or("", |(_, extension)| extension);
            let kinds = format!("{template}/kinds/{}.{extension}", other.as_str());
            let cases = format!("conformance/starts/{}.yaml", other.as_str());
            let found = |path: String| {
                let plain = SDKS.get_file(&path).or_else(|| SDKS.get_file(format!("{path}.in")));
                plain.and_then(File::contents_utf8).with_context(|| format!("find {path}"))
            };
            (Some(found(kinds)?), Some(found(cases)?))
        }
    };
    let fill = |text: &str| {
        let (entry, elsewhere) = start.entry();
        text.replace("{{kinds}}", start.kinds())
            .replace("{{description}}", start.description())
            .replace("{{entry}}", entry)
            .replace("{{elsewhere}}", elsewhere)
            .replace("{{name}}", name)
    };
    let (source, to) = language.source();
    for (file, path) in files(&SDKS) {
        if let Ok(below) = path.strip_prefix(&template) {
            let text = file.contents_utf8().with_context(|| format!("read {}", path.display()))?;
            // Under their real names they would mean something in our own repository.
            let below = match below.to_str() {
                Some("gitignore") => ".gitignore",
                Some(other) => other.strip_suffix(".in").unwrap_or(other),
                None => continue,
            };
            if below.starts_with("kinds/") {
                continue;
            }
            let text = match (below, program, cases) {
                (below, Some(program), _) if below == language.program() => program,
                ("tests/answers.yaml", _, Some(cases)) => cases,
                _ => text,
            };
            let text = fill(text);
            write(&dir.join(below), format!("{}\n", text.trim_end()).as_bytes())?;
        } else if let Ok(below) = path.strip_prefix(source)
            && is_source(below)
        {
            write(&dir.join(to).join(below), file.contents())?;
        }
    }
    if language == Language::Rust {
        write(&dir.join("stormglass/Cargo.toml"), workspace_of_sdk().as_bytes())?;
    }
    for (file, path) in files(&ALL_INTERFACES) {
        if path.starts_with(INTERFACES) {
            write(&dir.join("stormglass/wit").join(path), file.contents())?;
        }
    }
    Ok(())
}

/// Every file below a folder.
fn files<'a>(dir: &'a Dir<'a>) -> Vec<(&'a File<'a>, &'a Path)> {
    let mut found: Vec<_> = dir.files().map(|file| (file, file.path())).collect();
    for below in dir.dirs() {
        found.extend(files(below));
    }
    found
}

/// Whether a file of an SDK is part of it, rather than of its tests, its pages, or what tools leave behind.
fn is_source(below: &Path) -> bool {
    const NOT_SOURCES: [&str; 5] = ["template", "conformance", "tests", "tests.rs", "README.md"];
    const EXTENSIONS: [&str; 8] = ["rs", "toml", "go", "mod", "py", "js", "c", "h"];
    let name = below.file_name().unwrap_or_default().to_string_lossy();
    below.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
        && !below.iter().any(|part| NOT_SOURCES.iter().any(|not| part == *not))
        && !name.ends_with("_test.go")
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

/// What the Rust SDK inherits, as a workspace of its own: our manifest without our members and without the crates that the
/// SDK does not name.
fn workspace_of_sdk() -> String {
    let mut text = String::from(
        "# The workspace that the SDK inherits from; part of the SDK, like everything in this folder.\n\n\
         [workspace]\nresolver = \"3\"\nmembers = [\"sdk/rust\"]\n",
    );
    let mut section = "";
    for line in WORKSPACE.lines() {
        if line.starts_with('[') {
            section = line;
            if keeps(section) {
                text.push('\n');
                text.push_str(line);
                text.push('\n');
            }
        } else if keeps(section) && !line.is_empty() && !line.starts_with('#') {
            let name = line.split_whitespace().next().unwrap_or_default();
            if section != "[workspace.dependencies]" || ["wit-bindgen", "serde", "serde_json"].contains(&name)
            {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

fn keeps(section: &str) -> bool {
    section == "[workspace.package]"
        || section == "[workspace.dependencies]"
        || section.starts_with("[workspace.lints")
}

/// The interfaces that a project carries: their folder and version.
pub(crate) fn interfaces_of(project: &Path) -> anyhow::Result<(PathBuf, String)> {
    let folder = project.join("stormglass/wit");
    let versions = fs::read_dir(&folder).with_context(|| {
        format!(
            "list {}; the folder comes from `stormglass plugin new` and is part of the project",
            folder.display()
        )
    })?;
    let newest = versions.flatten().filter_map(|entry| entry.file_name().into_string().ok()).max();
    let version = newest.with_context(|| format!("no interfaces in {}", folder.display()))?;
    Ok((folder.join(&version), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_template_an_sdk_and_interfaces() {
        for (language, start) in Language::value_variants()
            .iter()
            .flat_map(|language| Start::value_variants().iter().map(move |start| (language, *start)))
        {
            let dir = tempfile::tempdir().unwrap();
            write_project(*language, start, "storm", dir.path()).unwrap();
            assert!(!dir.path().join("kinds").exists());
            if *language != Language::Rust {
                let manifest = dir.path().join(crate::plugin_command::manifest::Manifest::FILE);
                let manifest = crate::plugin_command::manifest::Manifest::read(&manifest).unwrap();
                assert_eq!(manifest.kinds.join(", "), start.kinds());
            }
            for file in ["README.md", ".gitignore", "tests/answers.yaml"] {
                assert!(dir.path().join(file).is_file(), "{language:?} has no {file}");
            }
            let (_, version) = interfaces_of(dir.path()).unwrap();
            assert_eq!(version, INTERFACES);
            let readme = fs::read_to_string(dir.path().join("README.md")).unwrap();
            assert!(readme.contains("storm") && !readme.contains("{{"), "{readme}");
        }
    }
}
