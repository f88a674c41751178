//! What came beside what was expected, as promtool compares and writes them.

use std::fmt;

use model::{Labels, Value};

use crate::template::exponent;

/// A sample, comparable: histograms by their text, so that equal ones are those that are written alike.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) histogram: String,
}

impl Observed {
    pub(super) fn new(labels: Labels, value: &Value) -> Self {
        match value {
            Value::Float(value) => Self { labels, value: *value, histogram: String::new() },
            Value::Histogram(histogram) => {
                Self { labels, value: 0.0, histogram: promql::script::write_histogram(histogram) }
            }
        }
    }

    fn equals(&self, other: &Self, fuzzy: bool) -> bool {
        let (a, b) = (self.value, other.value);
        let close = || fuzzy && (a.next_down() == b || a.next_up() == b);
        self.labels == other.labels && self.histogram == other.histogram && (a == b || close())
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.histogram.is_empty() {
            write!(f, "{} {}", label_text(&self.labels), exponent(self.value).replace('e', "E"))
        } else {
            write!(f, "{} {}", label_text(&self.labels), self.histogram)
        }
    }
}

/// Labels with the name among them, as Go's `String` writes them.
fn label_text(labels: &Labels) -> String {
    let bare = |name: &str| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let pairs = labels.iter().map(|(name, value)| {
        let name = if bare(name) { name.to_owned() } else { crate::template::quote(name) };
        format!("{name}={}", crate::template::quote(value))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// Puts both in order and says whether they are the same.
pub(super) fn same_samples(expected: &mut [Observed], got: &mut [Observed], fuzzy: bool) -> bool {
    expected.sort_by(|a, b| a.labels.cmp(&b.labels));
    got.sort_by(|a, b| a.labels.cmp(&b.labels));
    expected.len() == got.len() && expected.iter().zip(&*got).all(|(a, b)| a.equals(b, fuzzy))
}

pub(super) fn samples(samples: &[Observed]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    samples.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Alerts as labels and annotations.
pub(super) fn alerts(alerts: &[(Labels, Labels)]) -> String {
    let text = |(labels, annotations): &(Labels, Labels)| {
        format!("Labels:{}\nAnnotations:{}", label_text(labels), label_text(annotations))
    };
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let items = alerts
        .iter()
        .enumerate()
        .map(|(at, alert)| format!("{at}:{}", indent(&format!("\n{}", text(alert)), "  ")));
    format!("[\n{}\n]", items.collect::<Vec<_>>().join(",\n"))
}

/// Every line but the first one, moved to the right.
pub(super) fn indent(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

/// Lines that are only expected (`-`), only there (`+`), or both, in the order of both texts.
pub(super) fn diff(expected: &str, got: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    // The longest common subsequence; texts of alerts are short.
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] =
                if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(format!("  {}", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(format!("- {}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", b[j]));
            j += 1;
        }
    }
    lines.join("\n")
}
