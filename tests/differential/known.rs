//! Where Prometheus 3.14, which we follow, differs from the 2.42 that is asked, by name and with the reason.

use benches::{Question, Times};

/// Texts in expressions whose answers have changed since.
const CHANGED: [(&str, &str); 2] = [
    ("last_over_time(duration", "2.42 makes zeros of native histograms here"),
    ("label_replace(duration", "2.42 makes zeros of native histograms here"),
];

/// Functions whose windows 2.42 lets slide with the steps of a range although `@` fixes them.
const SLIDING: [&str; 1] = ["predict_linear("];

/// Why the answer may differ.
pub(super) fn difference(text: &str) -> Option<&'static str> {
    let fixes = |window: &str| window.split(',').next().is_some_and(|window| window.contains('@'));
    if SLIDING.iter().any(|function| text.split(function).skip(1).any(fixes)) {
        return Some("2.42 lets a window slide that `@` fixes");
    }
    CHANGED.iter().find(|(changed, _)| text.contains(changed)).map(|(_, reason)| *reason)
}

/// The expression with names of today.
pub(super) fn renamed(text: &str) -> String {
    text.replace("holt_winters", "double_exponential_smoothing")
}

/// Whether the order of the answer means something.
pub(super) fn ordered(question: &Question) -> bool {
    let orders = ["sort(", "sort_desc(", "topk(", "bottomk("];
    matches!(question.times, Times::Instant { .. })
        && orders.iter().any(|start| question.text.starts_with(start))
}
