//! Writes Prometheus' text format, and samples of OpenMetrics. What is written here, [`parse`](super::parse) reads back
//! unchanged.

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
    write_value(out, labels, value);
    if let Some(at) = timestamp {
        let _ = write!(out, " {}", at.millis());
    }
    out.push('\n');
}

/// Begins a family of samples in OpenMetrics, of which no more is known than its name.
pub fn write_openmetrics_family(out: &mut String, family: &str) {
    out.push_str("# TYPE ");
    write_name(out, family, is_metric_name(family));
    out.push_str(" unknown\n");
}

/// Writes one sample as OpenMetrics has it: its time in seconds.
pub fn write_openmetrics_sample(out: &mut String, labels: &Labels, value: f64, at: Timestamp) {
    write_value(out, labels, value);
    let millis = at.millis();
    let sign = if millis < 0 { "-" } else { "" };
    let _ = writeln!(out, " {sign}{}.{:03}", millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
}

fn write_value(out: &mut String, labels: &Labels, value: f64) {
    let mut series = SeriesWriter::begin(out, labels.metric_name().unwrap_or_default());
    for (label, text) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
        series.label(label, |out| write_escaped(out, text, true));
    }
    series.finish();
    out.push(' ');
    crate::float::write_shortest(out, value);
}

/// Writes the text that names a series, or without a name a set of labels.
pub(super) struct SeriesWriter<'o> {
    out: &'o mut String,
    /// Whether the brace is open.
    open: bool,
}

impl<'o> SeriesWriter<'o> {
    pub(super) fn begin(out: &'o mut String, name: &str) -> Self {
        let bare = is_metric_name(name);
        if bare {
            out.push_str(name);
        }
        let mut series = Self { out, open: false };
        if !bare && !name.is_empty() {
            series.separate();
            write_name(series.out, name, false);
        }
        series
    }

    /// Goes on with what was written before, whose brace is open or not.
    pub(super) const fn resume(out: &'o mut String, open: bool) -> Self {
        Self { out, open }
    }

    /// Adds a label; `value` writes its value, escaped.
    pub(super) fn label(&mut self, name: &str, value: impl FnOnce(&mut String)) {
        self.separate();
        write_name(self.out, name, is_label_name(name));
        self.out.push_str("=\"");
        value(self.out);
        self.out.push('"');
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn finish(self) {
        if self.open {
            self.out.push('}');
        }
    }

    fn separate(&mut self) {
        self.out.push(if self.open { ',' } else { '{' });
        self.open = true;
    }
}

pub(super) fn write_name(out: &mut String, name: &str, bare: bool) {
    if bare {
        out.push_str(name);
    } else {
        out.push('"');
        write_escaped(out, name, true);
        out.push('"');
    }
}

pub(super) fn write_escaped(out: &mut String, text: &str, quoted: bool) {
    if memchr::memchr3(b'\\', b'\n', b'"', text.as_bytes()).is_none() {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

pub(super) fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}
