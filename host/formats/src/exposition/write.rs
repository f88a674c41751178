//! Writes Prometheus' text format. What is written here, [`parse`](super::parse) reads back unchanged.

use std::fmt::Write as _;

use model::{Labels, METRIC_NAME, Metadata, Timestamp};

/// Writes a family's `# HELP` and `# TYPE` lines; its samples follow. The help line is left out where there is
/// no help, and the unit always, for which this format has no line.
pub fn write_metadata(out: &mut String, family: &str, metadata: &Metadata) {
    if !metadata.help.is_empty() {
        out.push_str("# HELP ");
        write_name(out, family, is_metric_name(family));
        out.push(' ');
        write_escaped(out, &metadata.help, false);
        out.push('\n');
    }
    out.push_str("# TYPE ");
    write_name(out, family, is_metric_name(family));
    // The classic format has its own word for "unknown" and none for OpenMetrics' additions.
    let kind = match metadata.kind.as_str() {
        kind @ ("counter" | "gauge" | "histogram" | "summary") => kind,
        "info" | "stateset" => "gauge",
        "gaugehistogram" => "histogram",
        _ => "untyped",
    };
    let _ = writeln!(out, " {kind}");
}

/// Writes one sample as one line. A name that is no classic identifier goes into the braces, in quotes.
pub fn write_sample(out: &mut String, labels: &Labels, value: f64, timestamp: Option<Timestamp>) {
    let name = labels.metric_name().unwrap_or_default();
    let bare = is_metric_name(name);
    if bare {
        out.push_str(name);
    }
    let mut separator = '{';
    if !bare && !name.is_empty() {
        out.push(separator);
        separator = ',';
        write_name(out, name, false);
    }
    for (label, text) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
        out.push(separator);
        separator = ',';
        write_name(out, label, is_label_name(label));
        out.push_str("=\"");
        write_escaped(out, text, true);
        out.push('"');
    }
    if separator == ',' {
        out.push('}');
    }
    out.push(' ');
    crate::float::write_shortest(out, value);
    if let Some(at) = timestamp {
        let _ = write!(out, " {}", at.millis());
    }
    out.push('\n');
}

fn write_name(out: &mut String, name: &str, bare: bool) {
    if bare {
        out.push_str(name);
    } else {
        out.push('"');
        write_escaped(out, name, true);
        out.push('"');
    }
}

fn write_escaped(out: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}
