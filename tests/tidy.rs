//! The rules of `host/ARCHITECTURE.md` that a machine can check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// Who depends on whom, without dev-dependencies.
struct Graph {
    metadata: Metadata,
    direct: BTreeMap<PackageId, BTreeSet<PackageId>>,
}

impl Graph {
    fn read() -> Self {
        let metadata = MetadataCommand::new().current_dir(root()).exec().expect("cargo metadata");
        let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
        let direct = resolve
            .nodes
            .iter()
            .map(|node| {
                let normal = node
                    .deps
                    .iter()
                    .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development))
                    .map(|dep| dep.pkg.clone());
                (node.id.clone(), normal.collect())
            })
            .collect();
        Self { metadata, direct }
    }

    fn name(&self, id: &PackageId) -> &str {
        &self.metadata[id].name
    }

    /// Names of the packages that `package` names itself.
    fn direct(&self, package: &PackageId) -> BTreeSet<&str> {
        self.direct[package].iter().map(|id| self.name(id)).collect()
    }

    /// Names of everything below `package`.
    fn tree(&self, package: &PackageId) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![package];
        while let Some(id) = open.pop() {
            for next in &self.direct[id] {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().map(|id| self.name(id)).collect()
    }

    /// Our own packages with their folder below the workspace's.
    fn members(&self) -> Vec<(&PackageId, &str, PathBuf)> {
        self.metadata
            .workspace_packages()
            .into_iter()
            .map(|package| {
                let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
                let folder = folder.as_std_path().strip_prefix(root()).expect("members lie in the workspace");
                (&package.id, package.name.as_str(), folder.to_owned())
            })
            .collect()
    }
}

#[test]
fn dependencies_point_as_the_architecture_says() {
    let graph = Graph::read();
    let members = graph.members();
    let ours: BTreeSet<&str> = members.iter().map(|(_, name, _)| *name).collect();
    let guests: BTreeSet<&str> = members
        .iter()
        .filter(|(_, _, folder)| folder.starts_with("plugins") || folder.starts_with("tests/guests"))
        .map(|(_, name, _)| *name)
        .collect();
    let mut broken = Vec::new();
    for (id, name, folder) in &members {
        let direct = graph.direct(id);
        let of_ours: BTreeSet<&str> = direct.intersection(&ours).copied().collect();
        let mut only = |allowed: &[&str]| {
            for other in of_ours.iter().filter(|other| !allowed.contains(other)) {
                broken.push(format!("{name} depends on {other}"));
            }
        };
        match *name {
            "model" | "instruments" | "stormglass-sdk" | "xtask" => only(&[]),
            "tsdb" | "promql" | "formats" | "traces" | "plugin" => only(&["model"]),
            "scrape" => only(&["model", "formats", "instruments"]),
            "alerting" => only(&["model", "promql", "instruments"]),
            "storage" => only(&["model", "promql", "tsdb"]),
            "remote" => only(&["model", "formats", "promql", "scrape", "tsdb"]),
            guest if guests.contains(guest) => only(&["stormglass-sdk"]),
            _ => {}
        }
        if folder.starts_with("host") {
            for other in
                of_ours.iter().filter(|other| **other == "stormglass-sdk" || guests.contains(**other))
            {
                broken.push(format!("{name}, part of the host, depends on {other}"));
            }
        }
        if matches!(*name, "model" | "tsdb" | "promql") {
            let tree = graph.tree(id);
            for other in ["tokio", "wasmtime", "hyper", "http", "reqwest", "axum"] {
                if tree.contains(other) {
                    broken.push(format!("{name} is synchronous, but {other} is in its tree"));
                }
            }
        }
        let alone = [
            ("wasmtime", "plugin"),
            ("wasmtime-wasi", "plugin"),
            ("prost", "formats"),
            ("axum", "server"),
            ("tonic", "server"),
        ];
        for (library, owner) in alone {
            if direct.contains(library) && *name != owner {
                broken.push(format!("{name} names {library}, which is {owner}'s alone"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_member_inherits_the_lints() {
    let graph = Graph::read();
    for (_, name, folder) in graph.members() {
        let manifest = fs::read_to_string(root().join(&folder).join("Cargo.toml")).expect("read a manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{name} does not inherit the workspace's lints"
        );
    }
}

#[test]
fn the_top_level_holds_what_was_agreed() {
    let agreed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE",
        "host",
        "plugins",
        "wit",
        "sdk",
        "tests",
        "benches",
        "target",
    ]
    .into();
    // What git ignores, such as a data folder of a server that was tried out here, is nobody's business.
    let listed = Command::new("git")
        .current_dir(root())
        // Whoever owns the checkout: nothing of it is run.
        .args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("ask git what belongs to the repository");
    let files = String::from_utf8(listed.stdout).expect("git lists paths in UTF-8");
    let tops: BTreeSet<&str> = files.lines().filter_map(|path| path.split('/').next()).collect();
    assert!(tops.contains("host"), "git lists nothing: {}", String::from_utf8_lossy(&listed.stderr));
    for name in tops {
        assert!(name.starts_with('.') || agreed.contains(name), "{name} does not belong at the top level");
    }
}

#[test]
fn every_source_file_says_what_it_is_and_nothing_is_left_undone() {
    // Spelled in halves, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("#[igno", "re"),
        concat!("db", "g!("),
    ];
    let mut broken = Vec::new();
    for path in source_files() {
        let text = fs::read_to_string(&path).expect("read a source file");
        let shown = path.strip_prefix(root()).unwrap_or(&path).display();
        if !text.starts_with("//!") {
            broken.push(format!("{shown} does not begin by saying what it is"));
        }
        for (number, line) in text.lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(**mark)) {
                broken.push(format!("{shown}:{}: {mark}", number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_path_that_a_page_names_exists() {
    let mut missing = Vec::new();
    for page in ["host/ARCHITECTURE.md", "README.md", "wit/README.md", "sdk/README.md"] {
        let text =
            fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("read {page}: {error}"));
        for name in text.split('`').skip(1).step_by(2).filter(|name| is_path(name)) {
            if !root().join(name.trim_end_matches('/')).exists() {
                missing.push(format!("{page} names {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Interfaces that have been released, with a hash of what they say. A released folder never changes; what is new comes
/// in a folder of its own, and its line here is added when it is released.
const RELEASED: [(&str, u64); 3] = [
    ("wit/0.1.0", 0x62d2_eb93_9132_4f06),
    ("wit/0.1.1", 0x12a3_9ca9_0e5f_9741),
    ("wit/0.1.2", 0x8f95_a4c7_5f4b_4e2e),
];

#[test]
fn released_interfaces_never_change() {
    for (folder, released) in RELEASED {
        let mut files = files_below(&root().join(folder));
        files.sort();
        // FNV-1a, 64 bits: nobody tries to fool it.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for file in files {
            let name = file.strip_prefix(root()).unwrap_or(&file).to_string_lossy().replace('\\', "/");
            add(name.as_bytes());
            add(&fs::read(&file).expect("read an interface"));
        }
        assert_eq!(
            hash, released,
            "{folder} has changed since it was released (its hash is now {hash:#018x})"
        );
    }
}

/// Whether a piece of code in a page is a path of the repository: a top-level folder, then plain names.
fn is_path(text: &str) -> bool {
    ["host/", "plugins/", "wit/", "sdk/", "tests/", "benches/", ".ci/"]
        .iter()
        .any(|top| text.starts_with(top))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}

/// Every Rust file of ours.
fn source_files() -> Vec<PathBuf> {
    ["host", "plugins", "sdk", "tests", "benches"]
        .iter()
        .flat_map(|top| files_below(&root().join(top)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Every file below a folder, but for what was built there.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("list a folder") {
            let path = entry.expect("list a folder").path();
            if !path.is_dir() {
                files.push(path);
            } else if !path.ends_with("target") {
                open.push(path);
            }
        }
    }
    files
}
