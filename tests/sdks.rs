//! The SDKs and `stormglass plugin`: in every language, a new project builds, passes its test and runs; the conformance
//! plugins pass the same cases; and one server runs a plugin of each language, all yielding the same series.
//!
//! Toolchains come from `cargo xtask test`, which installs them under `target/toolchains`.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::harness::server::{Ports, Server, binary, test_plugin};
use crate::harness::{PATIENCE, until};

/// The repository's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The languages, with a tool that each cannot be built without.
const LANGUAGES: [(&str, &str); 5] =
    [("rust", "cargo"), ("go", "go"), ("python", "python3"), ("js", "npm"), ("c", "zig")];

/// A folder for all of this file's tests: what is compiled is compiled once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// The path with the toolchains in front.
fn path() -> OsString {
    std::env::var_os("STORMGLASS_TOOLCHAINS").unwrap_or_else(|| {
        let toolchains = root().join("target/toolchains");
        assert!(toolchains.is_dir(), "no toolchains: run `cargo xtask test`, which installs them");
        let mut path = vec![
            toolchains.join("rust"),
            toolchains.join("python/bin"),
            toolchains.join("js/node_modules/.bin"),
        ];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        std::env::join_paths(path).unwrap()
    })
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("plugin")
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .env("PATH", path())
        .env("XDG_CACHE_HOME", folder().join("cache"))
        // Not the one of the tests themselves, which others may be building in.
        .env("CARGO_TARGET_DIR", folder().join("target"))
        .env_remove("CARGO");
    command
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs `stormglass plugin` and gives what it printed.
fn plugin(dir: &Path, arguments: &[&str]) -> String {
    let output = command(dir, arguments).output().unwrap();
    assert!(output.status.success(), "plugin {} failed:\n{}", arguments.join(" "), shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it where it has to fail, and gives what it printed.
fn plugin_fails(dir: &Path, arguments: &[&str]) -> String {
    let output = command(dir, arguments).output().unwrap();
    assert!(!output.status.success(), "plugin {} succeeded:\n{}", arguments.join(" "), shown(&output));
    shown(&output)
}

/// The component of a new project in a language, made once.
fn hello(language: &'static str) -> PathBuf {
    static BUILT: [OnceLock<PathBuf>; 5] = [const { OnceLock::new() }; 5];
    let index = LANGUAGES.iter().position(|(name, _)| *name == language).unwrap();
    BUILT[index]
        .get_or_init(|| {
            let dir = folder().join(language);
            fs::create_dir_all(&dir).unwrap();
            plugin(&dir, &["new", "--lang", language, "hello-storm"]);
            let project = dir.join("hello-storm");
            let built = plugin(&project, &["build"]);
            assert!(built.starts_with("build/hello-storm.wasm ("), "{built}");
            project.join("build/hello-storm.wasm")
        })
        .clone()
}

/// A new project: what its README says works, command by command.
fn check_project(language: &'static str) {
    let wasm = hello(language);
    let project = wasm.parent().and_then(Path::parent).unwrap();

    let tested = plugin(project, &["test"]);
    assert!(tested.contains("ok    it answers") && tested.ends_with("1 passed, 0 failed\n"), "{tested}");

    let yielded = plugin(project, &["run"]);
    assert!(yielded.contains("\nhello_answer{planet=\"earth\"} 42"), "{yielded}");

    let inspected = plugin(project, &["inspect"]);
    assert!(
        inspected.starts_with("hello-storm 0.1.0: Yields the answer.\nkinds:    collector\n"),
        "{inspected}"
    );
    let imports = inspected.lines().find(|line| line.starts_with("imports:")).unwrap();
    for not in ["http", "files"] {
        assert!(!imports.contains(not), "{language} imports more than it uses: {imports}");
    }

    // A case that expects something else is told from what is yielded.
    let case = project.join("wrong.yaml");
    fs::write(&case, "- {name: wrong, expect: {metrics: 'hello_answer 41'}}\n").unwrap();
    let told = plugin_fails(project, &["test", "--cases", "wrong.yaml"]);
    assert!(
        told.contains("- hello_answer 41") && told.contains("+ hello_answer{planet=\"earth\"} 42"),
        "{told}"
    );
}

/// The conformance plugins of a language's SDK pass the cases that all of them pass.
fn check_conformance(language: &'static str) {
    let sources = root().join("sdk").join(language).join("conformance");
    let project = build(language, "conformance", &sources);
    check_cases(&project, ".", "cases");
    let project = build(language, "functions", &sources.join("functions"));
    check_cases(&project, ".", "functions");
}

/// Makes a project in a language, of the files in a folder, and builds it.
fn build(language: &'static str, name: &str, sources: &Path) -> PathBuf {
    let dir = folder().join(language);
    fs::create_dir_all(&dir).unwrap();
    plugin(&dir, &["new", "--lang", language, name]);
    let project = dir.join(name);
    let files = fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
    for from in files.filter(|path| path.is_file()) {
        let name = from.file_name().unwrap().to_str().unwrap();
        fs::copy(&from, project.join(name.strip_suffix(".in").unwrap_or(name))).unwrap();
    }
    plugin(&project, &["build"]);
    project
}

fn check_cases(dir: &Path, component: &str, cases: &str) {
    let cases = root().join(format!("sdk/conformance/{cases}.yaml"));
    let tested = plugin(dir, &["test", component, "--cases", cases.to_str().unwrap()]);
    assert!(tested.ends_with(" passed, 0 failed\n"), "{tested}");
}

/// A new project of every kind builds, passes its cases and runs. Where the runtime is so large that a debug build of the server takes
/// long over it, the cases of some kinds stand for all.
fn check_kinds(language: &'static str, tried: &[&str]) {
    let dir = folder().join(language);
    fs::create_dir_all(&dir).unwrap();
    let kinds = [
        ("prober", "a server calls it"),
        ("discoverer", "127.0.0.1:9100 {planet=\"earth\"}"),
        ("receiver", "delivered a notification"),
        ("detector", "1.00"),
        ("trainer", "a server calls it"),
        ("decoder", "a server calls it"),
        ("function", "a server calls it"),
        ("sample-processor", "a server calls it"),
        ("span-processor", "a server calls it"),
    ];
    for (kind, told) in kinds {
        let name = format!("hello-{kind}");
        let made = plugin(&dir, &["new", "--lang", language, "--kind", kind, &name]);
        assert!(made.starts_with(&format!("{name}/ is a {kind} in {language}.")), "{made}");
        let project = dir.join(&name);
        plugin(&project, &["build"]);
        if tried.is_empty() || tried.contains(&kind) {
            let tested = plugin(&project, &["test"]);
            assert!(tested.ends_with(" passed, 0 failed\n"), "{language}, {kind}: {tested}");
            let yielded = plugin(&project, &["run"]);
            assert!(yielded.contains(told), "{language}, {kind}: {yielded}");
        }
    }
}

#[test]
fn a_project_of_every_kind_begins_in_rust() {
    check_kinds("rust", &[]);
}

#[test]
fn a_project_of_every_kind_begins_in_go() {
    check_kinds("go", &["discoverer", "trainer", "decoder"]);
}

#[test]
fn a_project_of_every_kind_begins_in_python() {
    check_kinds("python", &["trainer"]);
}

#[test]
fn a_project_of_every_kind_begins_in_javascript() {
    check_kinds("js", &[]);
}

#[test]
fn a_project_of_every_kind_begins_in_c() {
    check_kinds("c", &[]);
}

#[test]
fn a_new_project_in_rust_works() {
    check_project("rust");
}

#[test]
fn a_new_project_in_go_works() {
    check_project("go");
}

#[test]
fn a_new_project_in_python_works() {
    check_project("python");
}

#[test]
fn a_new_project_in_javascript_works() {
    check_project("js");
}

#[test]
fn a_new_project_in_c_works() {
    check_project("c");
}

#[test]
fn rust_conforms() {
    check_cases(folder(), test_plugin("conformance").to_str().unwrap(), "cases");
    check_cases(folder(), test_plugin("conformance-functions").to_str().unwrap(), "functions");
}

#[test]
fn go_conforms() {
    check_conformance("go");
}

#[test]
fn python_conforms() {
    check_conformance("python");
}

#[test]
fn javascript_conforms() {
    check_conformance("js");
}

#[test]
fn c_conforms() {
    check_conformance("c");
}

#[test]
fn a_server_runs_a_plugin_of_every_language_and_all_yield_the_same_series() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    fs::create_dir_all(&plugins).unwrap();
    let mut config = String::from("plugins:\n");
    for (language, _) in LANGUAGES {
        fs::copy(hello(language), plugins.join(format!("{language}.wasm"))).unwrap();
        config += &format!("  - {{name: {language}, plugin: {language}, interval: 1s}}\n");
    }
    fs::write(dir.path().join("prometheus.yml"), config).unwrap();

    let listed = plugin(dir.path(), &["list"]);
    for (language, _) in LANGUAGES {
        let row = listed.lines().find(|line| line.starts_with(language)).unwrap();
        assert!(row.contains(" 0.1.0 ") && row.contains(" collector "), "{listed}");
    }

    // A debug build takes a minute over Python's runtime; what `list` compiled is the same to a server.
    let cache = dir.path().join("data/plugin-cache");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache).unwrap();
    for entry in fs::read_dir(folder().join("cache/stormglass/plugins")).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, cache.join(from.file_name().unwrap())).unwrap();
    }

    let server = Server::start(dir.path(), Ports::free());
    until("every language's series is there", PATIENCE, || {
        server.api.value("count(hello_answer{planet=\"earth\"} == 42)").filter(|count| *count == 5.0)
    });
    for (language, _) in LANGUAGES {
        assert_eq!(server.api.value(&format!("up{{job=\"{language}\"}}")), Some(1.0));
    }
    assert_eq!(server.unexpected(&[]), [""; 0]);
}

#[test]
fn a_toolchain_that_is_missing_is_named_with_how_to_install_it() {
    for (language, tool) in LANGUAGES {
        let dir = tempfile::tempdir().unwrap();
        plugin(dir.path(), &["new", "--lang", language, "bare"]);
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let output = command(&dir.path().join("bare"), &["build"])
            .env("PATH", &empty)
            .env_remove("WASI_SDK_PATH")
            .output()
            .unwrap();
        let told = shown(&output);
        assert!(!output.status.success(), "{language}: built without a toolchain:\n{told}");
        let missing = format!("stormglass: {tool} is not installed: ");
        assert!(told.contains(&missing), "{language}: {told}");
    }
}

#[test]
fn mistakes_in_a_project_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let told = plugin_fails(dir.path(), &["new", "--lang", "js", "Not A Name"]);
    assert!(told.contains("is no name for a plugin"), "{told}");
    let told = plugin_fails(dir.path(), &["build"]);
    assert!(told.contains("neither plugin.yaml nor Cargo.toml"), "{told}");

    plugin(dir.path(), &["new", "--lang", "js", "storm"]);
    let told = plugin_fails(dir.path(), &["new", "--lang", "js", "storm"]);
    assert!(told.contains("storm exists already"), "{told}");
    let project = dir.path().join("storm");
    fs::write(project.join("plugin.yaml"), "name: storm\ncolour: blue\n").unwrap();
    let told = plugin_fails(&project, &["build"]);
    assert!(told.contains("plugin.yaml") && told.contains("colour"), "{told}");
}

#[test]
fn a_folder_with_a_file_that_is_no_plugin_is_listed_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(test_plugin("hello"), dir.path().join("hello.wasm")).unwrap();
    fs::write(dir.path().join("torn.wasm"), b"\0asm").unwrap();
    let told = plugin_fails(dir.path(), &["list", "."]);
    assert!(told.contains("hello") && told.contains("torn") && told.contains("cannot be loaded"), "{told}");
    assert!(told.contains("1 of 2 plugins cannot be loaded"), "{told}");
}

#[test]
fn a_plugin_that_is_watched_runs_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("watched.wasm");
    fs::copy(test_plugin("hello"), &file).unwrap();
    let mut child = command(dir.path(), &["run", "--watch", "watched.wasm"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("hello_answer")));
    fs::copy(test_plugin("conformance"), dir.path().join("next.wasm")).unwrap();
    fs::rename(dir.path().join("next.wasm"), &file).unwrap();
    // Its configuration lacks what the schema requires, which is an error; then the first comes back.
    fs::copy(test_plugin("hello"), dir.path().join("next.wasm")).unwrap();
    fs::rename(dir.path().join("next.wasm"), &file).unwrap();
    assert!(lines.any(|line| line.starts_with("hello_answer")));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_sdks_pass_their_own_tests() {
    let sdk = root().join("sdk");
    for (language, program, arguments) in [
        ("python", "python3", ["-B", "tests/test_sdk.py"]),
        ("js", "node", ["--test", "tests/"]),
        ("go", "go", ["test", "./..."]),
    ] {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(sdk.join(language))
            .env("PATH", path())
            .env("PYTHONPATH", ".")
            .output()
            .unwrap_or_else(|error| panic!("start {program}: {error}"));
        assert!(output.status.success(), "{language}:\n{}", shown(&output));
    }
}

#[test]
fn the_pages_show_the_templates() {
    let sdk = root().join("sdk");
    for (language, file, fence) in [
        ("go", "plugin.go.in", "go"),
        ("python", "plugin.py", "python"),
        ("js", "plugin.js", "js"),
        ("c", "plugin.c", "c"),
        ("rust", "src/lib.rs", "rust"),
    ] {
        let template = fs::read_to_string(sdk.join(language).join("template").join(file)).unwrap();
        let readme = fs::read_to_string(sdk.join(language).join("README.md")).unwrap();
        let example = readme
            .split(&format!("```{fence}\n"))
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .unwrap_or_else(|| panic!("sdk/{language}/README.md has no example"));
        assert!(template.contains(example), "sdk/{language}/README.md shows another example:\n{example}");
    }
}

/// A hello-world plugin is about 15 lines: of code, without blank ones, comments and lone brackets.
#[test]
fn a_hello_world_is_about_15_lines() {
    let sdk = root().join("sdk");
    for (file, most) in [
        ("rust/template/src/lib.rs", 15),
        ("go/template/plugin.go.in", 15),
        ("python/template/plugin.py", 15),
        ("js/template/plugin.js", 15),
        ("c/template/plugin.c", 15),
    ] {
        let text = fs::read_to_string(sdk.join(file)).unwrap();
        let is_code = |line: &&str| line.chars().any(char::is_alphanumeric) && !line.starts_with("//");
        let lines = text.lines().map(str::trim).filter(is_code).count();
        assert!((3..=most).contains(&lines), "sdk/{file} has {lines} lines of code");
    }
}

/// The example of each kind's page is a project that builds and passes the cases beside it.
#[test]
fn the_examples_of_the_kinds_work() {
    let dir = folder().join("kinds");
    fs::create_dir_all(&dir).unwrap();
    let pages = fs::read_dir(root().join("sdk/kinds")).unwrap().map(|entry| entry.unwrap().path());
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let blocks = |fence: &str| -> Vec<String> {
            let opening = format!("```{fence}\n");
            let opened = text.split(&opening).skip(1);
            opened.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
        };
        let ([program], [manifest, cases, server]) = (&blocks("js")[..], &blocks("yaml")[..]) else {
            panic!("{} has other than a program, a manifest, cases and a configuration", page.display());
        };
        let name = manifest.lines().next().unwrap().strip_prefix("name: ").unwrap();
        assert!(server.contains(&format!("plugin: {name}\n")), "{}: {server}", page.display());
        plugin(&dir, &["new", "--lang", "js", name]);
        let project = dir.join(name);
        fs::write(project.join("plugin.js"), program).unwrap();
        fs::write(project.join("plugin.yaml"), manifest).unwrap();
        fs::write(project.join("tests/answers.yaml"), cases).unwrap();
        let tested = plugin(&project, &["test"]);
        assert!(tested.ends_with(" passed, 0 failed\n"), "{}:\n{tested}", page.display());
    }
}
