//! `stormglass plugin inspect` and `stormglass plugin list`: what plugins are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plugin::{Host, Inspection};

use super::{as_path, component, host};

/// Prints what a plugin is.
pub(crate) async fn inspect(file: &Path) -> anyhow::Result<()> {
    let found = look(&*host()?, &component(file)?).await?;
    let kinds: Vec<&str> = found.kinds.iter().map(|kind| kind.as_str()).collect();
    println!("{} {}: {}", found.info.name, found.info.version, found.info.description);
    println!("kinds:    {}", kinds.join(", "));
    println!(
        "file:     {} bytes, {}, sha256 {}",
        found.size,
        if found.is_core_module { "core module" } else { "component" },
        found.digest
    );
    println!("imports:  {}", or_none(&imports(&found)));
    println!("exports:  {}", or_none(&found.exports));
    if found.info.wishes.is_empty() {
        println!("wants:    nothing");
    }
    for wish in &found.info.wishes {
        println!("wants:    {} {} ({})", wish.capability, wish.target, wish.reason);
    }
    println!("config:   {}", found.info.config_schema.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(())
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

async fn look(host: &Host, file: &Path) -> anyhow::Result<Inspection> {
    Ok(host.inspect(&as_path(file)?).await?)
}

/// The imports that are capabilities, and one line for all of WASI, which grants none.
fn imports(found: &Inspection) -> Vec<String> {
    let (wasi, mut ours): (Vec<String>, Vec<String>) =
        found.imports.iter().cloned().partition(|name| name.starts_with("wasi:"));
    if !wasi.is_empty() {
        ours.push(format!("WASI ({} interfaces, which reach nothing here)", wasi.len()));
    }
    ours
}

/// Prints a line for each plugin in a folder; fails where one cannot be loaded.
pub(crate) async fn list(dir: &Path) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("list {}", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    files.sort();
    let host = host()?;
    let mut broken = 0;
    let mut rows = vec![["PLUGIN", "VERSION", "KINDS", "SIZE", "DESCRIPTION"].map(str::to_owned)];
    for file in &files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        rows.push(match look(&host, file).await {
            Ok(found) => [
                stem,
                found.info.version,
                found.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(","),
                format!("{} kB", found.size.div_ceil(1000)),
                found.info.description,
            ],
            Err(error) => {
                broken += 1;
                [stem, "-".to_owned(), "-".to_owned(), "-".to_owned(), format!("cannot be loaded: {error:#}")]
            }
        });
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    for [plugin, version, kinds, size, description] in &rows {
        println!(
            "{plugin:w0$}  {version:w1$}  {kinds:w2$}  {size:>w3$}  {description}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3],
        );
    }
    anyhow::ensure!(broken == 0, "{broken} of {} plugins cannot be loaded", files.len());
    Ok(())
}
