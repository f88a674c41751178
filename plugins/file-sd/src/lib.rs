//! Scrape targets from files that somebody else writes, in the format of Prometheus' `file_sd_configs`, JSON or YAML.
//!
//! The server has `file_sd_configs` built in, which sees changes at once and needs no grant. This plugin is for files that
//! only a plugin is to read, under its grant and its limits, and an example of a discoverer that needs no network.
//! A file that cannot be read keeps what the server knows of all of them: the poll fails.

use serde::Deserialize;
use stormglass_sdk::{
    ConfigDuration, Context, Discoverer, Error, Plugin, Result, Snapshot, StaticGroup, TargetGroup, Wish,
    discoverer, files,
};

/// The label by which relabelling can tell the file.
const META_FILEPATH: &str = "__meta_filepath";

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Absolute paths; the last part may have one `*`.
    files: Vec<String>,
    refresh_interval: Option<ConfigDuration>,
}

/// The plugin.
pub struct FileSd {
    config: Config,
}

impl Plugin for FileSd {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["files"],
        "properties": {
            "files": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": "^/([^*]*/)?[^*/]*[*]?[^*/]*[.](json|yml|yaml)$"},
                "description": "Absolute paths, ending in .json, .yml or .yaml; the last part may have one *."
            },
            "refresh_interval": {
                "type": "string",
                "pattern": "^([0-9]+(ms|[ywdhms]))+$",
                "description": "How often the files are read; the entry's interval if absent."
            }
        }
    }"#;

    const WISHES: &'static [Wish] =
        &[Wish { capability: "files", target: "the folders of `files`, to read", reason: "read targets" }];

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Discoverer for FileSd {
    fn poll(&mut self) -> Result<Snapshot> {
        let mut paths = Vec::new();
        for pattern in &self.config.files {
            paths.extend(expand(pattern)?);
        }
        paths.sort();
        paths.dedup();
        let mut groups = Vec::new();
        for path in &paths {
            groups.extend(read(path).context(format!("read targets from {path}"))?);
        }
        let snapshot = Snapshot::new(groups);
        Ok(match self.config.refresh_interval {
            Some(interval) => snapshot.poll_after(interval.0),
            None => snapshot,
        })
    }
}

/// The files that a pattern names now. One that names a single file may be there later.
fn expand(pattern: &str) -> Result<Vec<String>> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let there = match files::read_dir(if folder.is_empty() { "/" } else { folder }) {
        Ok(entries) => entries,
        Err(files::Error::NotFound(_)) => return Ok(Vec::new()),
        Err(error) => return Err(Error::from(error).context(format!("list {folder}"))),
    };
    let matches = |found: &str| match name.split_once('*') {
        None => found == name,
        // What a star stands for may not begin with a dot, as in a shell.
        Some((before, after)) => {
            found.len() >= before.len() + after.len()
                && found.starts_with(before)
                && found.ends_with(after)
                && !(before.is_empty() && found.starts_with('.'))
        }
    };
    let named = there.into_iter().filter(|entry| entry.kind != files::EntryKind::Directory);
    Ok(named.filter(|entry| matches(&entry.name)).map(|entry| format!("{folder}/{}", entry.name)).collect())
}

/// A group's source is its file and its place there.
fn read(path: &str) -> Result<Vec<TargetGroup>> {
    let text = files::read_to_string(path)?;
    let groups: Vec<StaticGroup> = if path.ends_with(".json") {
        serde_json::from_str(&text)?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| Error::permanent(error.to_string()))?
    };
    Ok(StaticGroup::discovered(groups, path, META_FILEPATH))
}

discoverer!(FileSd);

#[cfg(test)]
mod tests {
    use stormglass_sdk::testing::{Host, init};

    use super::*;

    fn poll(patterns: &str, host: Host) -> Result<Vec<String>> {
        let mut plugin: FileSd =
            init(&format!(r#"{{"files": {patterns}, "refresh_interval": "10s"}}"#)).unwrap();
        let snapshot = host.run(|| plugin.poll())?;
        assert_eq!(snapshot.next_poll_ms, Some(10_000));
        let line = |group: TargetGroup| {
            let targets: Vec<_> = group.targets.into_iter().map(|target| target.address).collect();
            let labels: Vec<_> = group.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
            format!("{} {} {}", group.source, targets.join(","), labels.join(","))
        };
        Ok(snapshot.groups.into_iter().map(line).collect())
    }

    fn host() -> Host {
        Host::new()
            .file(
                "/t/a.json",
                r#"[{"targets": ["a:1", "b:2"], "labels": {"env": "prod"}}, {"targets": ["c:3"]}]"#,
            )
            .file("/t/b.yml", "- targets: ['d:4']\n  labels: {x: y}\n")
            .file("/t/.hidden.json", "[]")
            .file("/t/notes.txt", "nonsense")
    }

    #[test]
    fn files_are_read_in_either_format() {
        assert_eq!(
            poll(r#"["/t/*.json", "/t/b.yml", "/t/later.json", "/none/x.json"]"#, host()).unwrap(),
            [
                "/t/a.json:0 a:1,b:2 env=prod,__meta_filepath=/t/a.json",
                "/t/a.json:1 c:3 __meta_filepath=/t/a.json",
                "/t/b.yml:0 d:4 x=y,__meta_filepath=/t/b.yml",
            ]
        );
    }

    #[test]
    fn a_broken_file_is_told() {
        let broken = host().file("/t/c.json", r#"[{"target": 1}]"#);
        let error = poll(r#"["/t/*.json"]"#, broken).unwrap_err();
        assert!(
            error.message().starts_with("read targets from /t/c.json: unknown field `target`"),
            "{error}"
        );
        let broken = Host::new().file("/t/c.yaml", "{");
        assert!(
            poll(r#"["/t/c.yaml"]"#, broken)
                .unwrap_err()
                .message()
                .starts_with("read targets from /t/c.yaml")
        );
    }
}
