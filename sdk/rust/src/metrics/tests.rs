//! The columns must name each series exactly as `wit/` says that the server reads them.

use super::*;

/// Reads a batch as the server does: the labels of each series, and its value.
fn series(batch: &Batch) -> Vec<(String, f64)> {
    let mut start = 0;
    let mut rows = Vec::new();
    for (end, value) in batch.label_ends.iter().zip(&batch.values) {
        let refs = &batch.label_refs[start..*end as usize];
        start = *end as usize;
        let text = |index: u32| batch.strings[index as usize].as_str();
        let labels: Vec<_> =
            refs.chunks(2).map(|pair| format!("{}={}", text(pair[0]), text(pair[1]))).collect();
        rows.push((labels.join(","), *value));
    }
    rows
}

fn columns(metrics: Metrics) -> Batch {
    match metrics.into_payload() {
        Ok(Payload::Columns(batch)) => batch,
        other => panic!("expected columns, got {other:?}"),
    }
}

#[test]
fn each_text_crosses_once() {
    let mut out = Metrics::new();
    out.gauge("a", "A.").set(&[("x", "1")], 1.0).set(&[("x", "2")], 2.0);
    out.counter("b_total", "B.").set(&[], 3.0);
    out.gauge("a", "ignored").set(&[("a", "x")], 4.0);
    let batch = columns(out);
    let rows = [
        ("__name__=a,x=1", 1.0),
        ("__name__=a,x=2", 2.0),
        ("__name__=b_total", 3.0),
        ("__name__=a,a=x", 4.0),
    ];
    assert_eq!(series(&batch), rows.map(|(labels, value)| (labels.to_owned(), value)));
    assert_eq!(batch.strings, ["a", "__name__", "x", "1", "2", "b_total"]);
    let families: Vec<_> =
        batch.families.iter().map(|f| (f.name.as_str(), f.kind, f.help.as_str())).collect();
    assert_eq!(families, [("a", MetricKind::Gauge, "A."), ("b_total", MetricKind::Counter, "B.")]);
}

#[test]
fn text_stands_alone() {
    let mut out = Metrics::new();
    out.text("up 1\n");
    assert_eq!(out.into_payload().unwrap(), Payload::Text("up 1\n".into()));

    let mut both = Metrics::new();
    both.text("up 1\n");
    both.gauge("a", "").set(&[], 1.0);
    assert!(!both.into_payload().unwrap_err().is_retryable());
}
