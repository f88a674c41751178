//! `plugin.yaml`: what a plugin is, for languages whose own manifests do not say. Rust's does.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::sdk::Language;
use crate::yaml;

/// The kinds, by the names of their interfaces.
const KINDS: [&str; 10] = [
    "collector",
    "prober",
    "discoverer",
    "receiver",
    "detector",
    "trainer",
    "decoder",
    "function",
    "sample-processor",
    "span-processor",
];

/// What a plugin may import beyond `log` and `clock`, by the names of the interfaces.
const USES: [&str; 8] = ["http", "files", "kv", "secrets", "telemetry", "query", "net", "dns"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Also the name of the file that is built.
    pub(crate) name: String,
    pub(crate) version: String,
    /// One sentence.
    pub(crate) description: String,
    pub(crate) language: Language,
    /// What the plugin exports.
    pub(crate) kinds: Vec<String>,
    /// What it imports, beside what every plugin may. Each still needs a grant wherever the interface says so.
    #[serde(default)]
    pub(crate) uses: Vec<String>,
    /// What it would like to be granted, for operators to read.
    #[serde(default)]
    pub(crate) wishes: Vec<Wish>,
    /// JSON Schema (2020-12) of its configuration.
    #[serde(default = "no_keys")]
    pub(crate) config: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    pub(crate) capability: String,
    pub(crate) target: String,
    pub(crate) reason: String,
}

fn no_keys() -> serde_json::Value {
    serde_json::json!({"type": "object", "additionalProperties": false})
}

impl Manifest {
    pub(crate) const FILE: &'static str = "plugin.yaml";

    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let manifest: Self = yaml::parse(path, &text)?;
        manifest.check().with_context(|| path.display().to_string())?;
        Ok(manifest)
    }

    fn check(&self) -> anyhow::Result<()> {
        check_name(&self.name)?;
        ensure!(!self.kinds.is_empty(), "kinds: must name at least one of {}", KINDS.join(", "));
        let named = |key: &str, given: &[String], known: &[&str]| match given
            .iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => bail!("{key}: {name:?} is none of {}", known.join(", ")),
            None => Ok(()),
        };
        named("kinds", &self.kinds, &KINDS)?;
        named("uses", &self.uses, &USES)
    }

    /// What `describe` answers, with the names of the interfaces' fields.
    pub(crate) fn info(&self) -> Info {
        Info {
            name: self.name.clone(),
            version: self.version.clone(),
            description: self.description.clone(),
            config_schema: self.config.to_string(),
            wishes: self
                .wishes
                .iter()
                .map(|wish| [wish.capability.clone(), wish.target.clone(), wish.reason.clone()])
                .collect(),
        }
    }

    /// The world that the plugin is built for: just what it is and uses.
    pub(crate) fn world(&self, version: &str) -> String {
        let mut imports = vec!["log"];
        // Functions of queries are pure.
        if self.kinds != ["function"] {
            imports.push("clock");
        }
        imports.extend(self.uses.iter().map(String::as_str));
        let mut exports = vec!["meta", "lifecycle"];
        exports.extend(self.kinds.iter().map(String::as_str));
        let mut text = String::from("package plugin:project;\n\nworld plugin {\n");
        for import in imports {
            text += &format!("    import stormglass:host/{import}@{version};\n");
        }
        for export in exports {
            text += &format!("    export stormglass:plugin/{export}@{version};\n");
        }
        text + "}\n"
    }
}

/// What `describe` answers; wishes as capability, target and reason.
pub(crate) struct Info {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) config_schema: String,
    pub(crate) wishes: Vec<[String; 3]>,
}

/// Names are file names, crate names and module names at once.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    ensure!(
        plain
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && !name.ends_with('-')
            && name.len() <= 64,
        "{name:?} is no name for a plugin: use lower-case letters, digits and dashes, a letter first"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(yaml: &str, expected: &Expect) {
        let read = serde_saphyr::from_str::<Manifest>(yaml).map_err(anyhow::Error::from);
        let shown = match read.and_then(|manifest| manifest.check().map(|()| manifest)) {
            Ok(manifest) => manifest.world("0.1.0"),
            Err(error) => format!("{error:#}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn the_world_has_what_the_manifest_names_and_no_more() {
        check(
            "{name: a-b, version: 1.0.0, description: D., language: js, kinds: [collector, receiver], uses: [http]}",
            &expect![[r#"
                package plugin:project;

                world plugin {
                    import stormglass:host/log@0.1.0;
                    import stormglass:host/clock@0.1.0;
                    import stormglass:host/http@0.1.0;
                    export stormglass:plugin/meta@0.1.0;
                    export stormglass:plugin/lifecycle@0.1.0;
                    export stormglass:plugin/collector@0.1.0;
                    export stormglass:plugin/receiver@0.1.0;
                }
            "#]],
        );
    }

    #[test]
    fn mistakes_are_named() {
        check(
            "{name: A, version: 1.0.0, description: D., language: c, kinds: [collector]}",
            &expect![[
                r#""A" is no name for a plugin: use lower-case letters, digits and dashes, a letter first"#
            ]],
        );
        check(
            "{name: a, version: 1.0.0, description: D., language: c, kinds: [colector]}",
            &expect![[
                r#"kinds: "colector" is none of collector, prober, discoverer, receiver, detector, trainer, decoder, function, sample-processor, span-processor"#
            ]],
        );
        check(
            "{name: a, version: 1.0.0, description: D., language: c, kinds: [collector], uses: [sockets]}",
            &expect![[r#"uses: "sockets" is none of http, files, kv, secrets, telemetry, query, net, dns"#]],
        );
    }
}
