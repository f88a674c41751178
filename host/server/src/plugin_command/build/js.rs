//! JavaScript: componentize-qjs puts QuickJS, the SDK and the plugin into one component.

use super::tool::{Tool, is_on_path};
use super::{WORLD, read, write, write_interfaces};
use crate::plugin_command::manifest::Manifest;
use crate::plugin_command::project::Project;

const TOOL: &str = "componentize-qjs";
const INSTALL: &str =
    "Node.js 18 or newer, with npm, builds plugins: https://nodejs.org, or your system's packages";

pub(super) fn build(project: &Project, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let tool = if is_on_path(TOOL) {
        TOOL.into()
    } else {
        let tool = project.dir.join("node_modules/.bin").join(TOOL);
        if !tool.is_file() {
            Tool::new("npm", &project.dir, INSTALL).args(["install", "--no-audit", "--no-fund"]).run()?;
        }
        tool
    };
    let (wit, version) = write_interfaces(project, manifest)?;
    // Beside the sources: modules are found from here, and nothing above the project is open to the tool.
    let entry = project.build_dir().join("entry.js");
    write(&entry, &entry_module(manifest, &version))?;
    let component = project.build_dir().join("js.wasm");
    Tool::new(tool, &project.dir, INSTALL)
        .args(["--sync", "--module-root", ".", "--world", WORLD, "--wit"])
        .arg(&wit)
        .arg("--js")
        .arg(&entry)
        .arg("--output")
        .arg(&component)
        .run()?;
    read(&component)
}

/// The module that the component is made of: the plugin's class, what plugin.yaml says, and the imports that it names.
fn entry_module(manifest: &Manifest, version: &str) -> String {
    let info = manifest.info();
    let json = serde_json::json!({
        "name": info.name, "version": info.version, "description": info.description,
        "configSchema": info.config_schema,
        "wishes": info.wishes.iter().map(|[capability, target, reason]| {
            serde_json::json!({"capability": capability, "target": target, "reason": reason})
        }).collect::<Vec<_>>(),
    });
    let mut uses = vec!["log"];
    if manifest.kinds != ["function"] {
        uses.push("clock");
    }
    uses.extend(manifest.uses.iter().map(String::as_str));
    let mut text = String::from("// What the component exports. Generated.\n");
    for name in &uses {
        text += &format!("import * as {name} from \"stormglass:host/{name}@{version}\";\n");
    }
    text += "import { start } from \"../stormglass/entry.js\";\nimport Plugin from \"../plugin.js\";\n";
    let exports = ["meta", "lifecycle"].into_iter().chain(manifest.kinds.iter().map(String::as_str));
    let exports: Vec<String> = exports.map(camel_case).collect();
    // Under other names in between: `function` may be exported and not declared.
    let declared: Vec<String> = exports.iter().map(|name| format!("{name}: the_{name}")).collect();
    let exported: Vec<String> = exports.iter().map(|name| format!("the_{name} as {name}")).collect();
    text += &format!(
        "const {{ {} }} = start(Plugin, {json}, {{ {} }});\nexport {{ {} }};\n",
        declared.join(", "),
        uses.join(", "),
        exported.join(", ")
    );
    text
}

/// `sample-processor` as `sampleProcessor`.
fn camel_case(interface: &str) -> String {
    let mut words = interface.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        name + &word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default()
    })
}
