//! Python: componentize-py puts CPython, the SDK and the plugin into one component.

use std::path::PathBuf;

use super::tool::{Tool, is_on_path};
use super::{WORLD, read, write, write_interfaces};
use crate::plugin_command::manifest::Manifest;
use crate::plugin_command::project::Project;

const TOOL: &str = "componentize-py";
const INSTALL: &str =
    "Python 3.10 or newer, with pip and venv, builds plugins: your system's packages have it";

pub(super) fn build(project: &Project, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let tool = tool(project)?;
    let (wit, _) = write_interfaces(project, manifest)?;
    let generated = project.build_dir().join("python");
    let info = manifest.info();
    let json = serde_json::json!({
        "name": info.name, "version": info.version, "description": info.description,
        "config_schema": info.config_schema,
        "wishes": info.wishes.iter().map(|[capability, target, reason]| {
            serde_json::json!({"capability": capability, "target": target, "reason": reason})
        }).collect::<Vec<_>>(),
    });
    // A JSON text, written as JSON once more, is a string of Python's.
    let text = serde_json::Value::String(json.to_string());
    write(
        &generated.join("stormglass_manifest.py"),
        &format!(
            "\"\"\"What plugin.yaml says. Generated.\"\"\"\n\nimport json\n\nINFO = json.loads({text})\n"
        ),
    )?;
    write(
        &generated.join("stormglass_entry.py"),
        &format!("\"\"\"What the component exports. Generated.\"\"\"\n\n{}", entry(manifest)),
    )?;
    let component = project.build_dir().join("python.wasm");
    Tool::new(tool, &project.dir, INSTALL)
        .args(["-q", "-w", WORLD, "-d"])
        .arg(&wit)
        .args(["componentize", "stormglass_entry", "-p"])
        .arg(&generated)
        .args(["-p", ".", "-o"])
        .arg(&component)
        .run()?;
    read(&component)
}

/// Takes from the SDK the classes that the world's exports are looked up as.
fn entry(manifest: &Manifest) -> String {
    let exports = ["meta", "lifecycle"].into_iter().chain(manifest.kinds.iter().map(String::as_str));
    let classes: Vec<String> = exports.map(class).collect();
    format!("from stormglass._entry import {}\n", classes.join(", "))
}

/// `sample-processor` as `SampleProcessor`.
fn class(interface: &str) -> String {
    interface
        .split('-')
        .map(|word| word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default())
        .collect()
}

/// The tool on the path, or the one of the project's own environment, made where there is none.
fn tool(project: &Project) -> anyhow::Result<PathBuf> {
    if is_on_path(TOOL) {
        return Ok(TOOL.into());
    }
    let environment = project.dir.join(".venv");
    let tool = environment.join("bin").join(TOOL);
    if !tool.is_file() {
        Tool::new("python3", &project.dir, INSTALL).args(["-m", "venv", ".venv"]).run()?;
        Tool::new(environment.join("bin/pip"), &project.dir, INSTALL)
            .args(["install", "--quiet", "--requirement", "requirements.txt"])
            .run()?;
    }
    Ok(tool)
}
