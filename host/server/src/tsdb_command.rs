//! `stormglass tsdb`: what the metrics of a stopped server are like, whether they are sound, a copy of them, and their
//! samples as text.
//!
//! Each takes the folder that the server is started on, or the folder `metrics` in it. None changes anything there, and
//! each says so where a server is running on it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use model::Timestamp;
use tsdb::{Analysis, BlockAnalysis, Ranked, RealFileSystem, SeriesAnalysis, Verification};

use crate::api::admin;

mod dump;

pub(crate) use dump::dump;

/// The folder of the metrics, given it or the one that it is in.
fn metrics_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    let inner = dir.join("metrics");
    let found = [inner, dir.to_owned()].into_iter().find(|dir| dir.join("blocks").is_dir());
    found.with_context(|| format!("{} holds no metrics: there is no folder `blocks` in it", dir.display()))
}

/// Reads everything, says what is damaged, and fails where anything is.
pub(crate) fn verify(dir: &Path) -> anyhow::Result<()> {
    let dir = metrics_dir(dir)?;
    let found = tsdb::verify(&RealFileSystem, &dir)?;
    print!("{}", verification(&found));
    if !found.is_sound() {
        bail!("{} problems in {}", found.problems.len(), dir.display());
    }
    Ok(())
}

fn verification(found: &Verification) -> String {
    let mut text = String::new();
    for problem in &found.problems {
        text += &format!("DAMAGED  {problem}\n");
    }
    for file in &found.set_aside {
        text += &format!("aside    {file}\n");
    }
    if found.torn_bytes > 0 {
        text += &format!(
            "torn     {} bytes of an interrupted write; the next start cuts them off\n",
            found.torn_bytes
        );
    }
    text += &format!(
        "read     {} blocks, {} series, {} chunks, {} samples, {} exemplars, {} sections of the log\n",
        found.blocks, found.series, found.chunks, found.samples, found.exemplars, found.log_sections
    );
    text
}

/// Prints what there is and what takes the bytes.
pub(crate) fn analyze(dir: &Path, block: Option<&str>, limit: usize) -> anyhow::Result<()> {
    let analysis = tsdb::analyze(&RealFileSystem, &metrics_dir(dir)?, block, limit)?;
    if let (Some(name), None) = (block, &analysis.series) {
        bail!("there is no block {name}");
    }
    print!("{}", report(&analysis));
    Ok(())
}

fn report(analysis: &Analysis) -> String {
    let mut text = String::from(
        "BLOCK     FROM                 TO                    SERIES    CHUNKS      SAMPLES      BYTES  B/SAMPLE\n",
    );
    let line = |name: &str, block: &BlockAnalysis| {
        format!(
            "{name:8}  {}  {}  {:>8}  {:>8}  {:>11}  {:>9}  {:>8.3}{}\n",
            time(block.min_time),
            time(block.max_time),
            block.series,
            block.chunks,
            block.samples,
            block.bytes,
            per_sample(block.bytes, block.samples),
            match block.series_with_tombstones {
                0 => String::new(),
                count => format!("  deleted in part: {count} series"),
            }
        )
    };
    for block in &analysis.blocks {
        text += &line(&block.path.file_stem().unwrap_or_default().to_string_lossy(), block);
    }
    if !analysis.downsampled.is_empty() {
        text += "\nDOWNSAMPLED: a sample is what a window comes to\n";
        for block in &analysis.downsampled {
            let folder = block.path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
            let stem = block.path.file_stem().unwrap_or_default().to_string_lossy();
            text += &line(&format!("{folder}/{stem}"), block);
        }
    }
    let samples: u64 = analysis.blocks.iter().map(|block| block.samples).sum();
    let bytes: u64 = analysis.blocks.iter().map(|block| block.bytes).sum();
    text += &format!(
        "\n{} blocks, {samples} samples, {bytes} bytes, {:.3} bytes per sample; log: {} bytes\n",
        analysis.blocks.len(),
        per_sample(bytes, samples),
        analysis.log_bytes
    );
    text += "\nBYTES BY SECTION, ALL BLOCKS\n";
    let mut sections: Vec<(String, u64)> = Vec::new();
    let parts_of = |block: &BlockAnalysis| {
        let parts = block.series_parts.iter().map(|(name, bytes)| (format!("  series: {name}"), *bytes));
        let sections = block.sections.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes));
        sections.chain(parts).chain([("index, in these".to_owned(), block.index_bytes())]).collect::<Vec<_>>()
    };
    for (name, bytes) in analysis.blocks.iter().flat_map(parts_of) {
        match sections.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += bytes,
            None => sections.push((name, bytes)),
        }
    }
    for (name, bytes_of) in sections {
        text += &format!(
            "{bytes_of:>12}  {:>5.1} %  {:.3} B/sample  {name}\n",
            bytes_of as f64 * 100.0 / bytes.max(1) as f64,
            per_sample(bytes_of, samples)
        );
    }
    if let Some(series) = &analysis.series {
        text += &series_report(series);
    }
    text
}

fn series_report(series: &SeriesAnalysis) -> String {
    let mut text = format!("\nSERIES OF {}\n", series.path.display());
    if let Some(new) = series.series_new {
        text += &format!("{new} series are not in the block before\n");
    }
    let mut list = |title: &str, ranked: &Ranked| {
        if !ranked.is_empty() {
            text += &format!("\n{title}\n");
            ranked.iter().for_each(|(name, count)| text += &format!("{count:>12}  {name}\n"));
        }
    };
    list("samples by kind of chunk", &series.samples_by_kind);
    list("series by metric name", &series.series_by_metric);
    list("series by label name", &series.series_by_label);
    list("series by label pair", &series.series_by_pair);
    list("values by label name", &series.values_by_label);
    list("bytes of values by label name", &series.value_bytes_by_label);
    list(
        "series' worth of time missing from series that come late or end early, by label name",
        &series.churn_by_label,
    );
    list("the same by label pair", &series.churn_by_pair);
    text
}

fn per_sample(bytes: u64, samples: u64) -> f64 {
    bytes as f64 / samples.max(1) as f64
}

fn time(at: Timestamp) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at.millis()).unwrap_or_default();
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Makes a copy that a server can be started on; blocks are shared with the original by hard links.
pub(crate) fn snapshot(dir: &Path, to: &Path, skip_head: bool) -> anyhow::Result<()> {
    let from = metrics_dir(dir)?;
    admin::make(to, |metrics| tsdb::snapshot_stopped(&RealFileSystem, &from, metrics, skip_head))?;
    println!("{}", to.display());
    Ok(())
}
