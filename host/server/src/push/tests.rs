//! Groups as jobs push them.

use model::{AppendError, Appender, Exemplar, Histogram, Refused, SeriesRef};

use super::*;

/// Keeps texts of what was written last.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

struct Recording<'a>(&'a Recorder, Vec<String>);

impl Append for Recorder {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Recording(self, Vec::new()))
    }
}

impl Appender for Recording<'_> {
    fn append(
        &mut self,
        _: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> Result<SeriesRef, AppendError> {
        let value = if sample.value.is_nan() { "stale".to_owned() } else { sample.value.to_string() };
        self.1.push(format!("{labels} {value}"));
        Ok(SeriesRef(1))
    }

    fn append_histogram(
        &mut self,
        _: Option<SeriesRef>,
        labels: &Labels,
        _: Timestamp,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        self.1.push(format!("{labels} histogram of {}", histogram.count));
        Ok(SeriesRef(1))
    }

    fn append_exemplar(&mut self, _: SeriesRef, _: &Exemplar) -> Result<(), AppendError> {
        Ok(())
    }

    fn append_metadata(&mut self, _: &str, _: &Metadata) {}

    fn commit(self: Box<Self>) -> Result<Vec<Refused>, CommitError> {
        *self.0.0.lock() = self.1;
        Ok(Vec::new())
    }
}

/// What is written, but for the times of pushes.
fn written(gateway: &PushGateway) -> Vec<String> {
    let recorder = Recorder::default();
    gateway.write(&recorder, Timestamp::from_millis(9)).unwrap();
    let lines = std::mem::take(&mut *recorder.0.lock());
    lines.into_iter().filter(|line| !line.starts_with("push_")).collect()
}

fn push(gateway: &PushGateway, path: &str, body: &str, how: How) -> Result<(), String> {
    let labels = grouping_labels(path)?;
    gateway
        .push(&labels, Format::PrometheusText, body.as_bytes(), how, Timestamp::from_millis(5000))
        .map_err(|error| error.to_string())
}

#[test]
fn paths_name_groups() {
    let check = |path: &str, expected: Result<&str, &str>| {
        let labels = grouping_labels(path).map(|labels| labels.to_string());
        match (labels, expected) {
            (Ok(labels), Ok(expected)) => assert_eq!(labels, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{path}: {error}"),
            (labels, _) => panic!("{path}: {labels:?}"),
        }
    };
    check("job/backup", Ok("{job=\"backup\"}"));
    check("job/backup/instance/a%20b", Ok("{instance=\"a b\", job=\"backup\"}"));
    check("job/x/path@base64/L3Zhci90bXA", Ok("{job=\"x\", path=\"/var/tmp\"}"));
    check("job@base64/L3Zhci90bXA=/a/b", Ok("{a=\"b\", job=\"/var/tmp\"}"));
    check("job/x/empty@base64/=", Ok("{job=\"x\"}"));
    check("job/x/a", Err("odd number of components"));
    check("job@base64/=", Err("job name is required"));
    check("instance/x", Err("must begin with job/"));
    check("job/x/job/y", Err("must begin with job/"));
    check("job/x/__name__/y", Err("improper label name"));
    check("job/x/a@base64/!!", Err(""));
    check("job/%zz", Err("not well escaped"));
}

#[test]
fn groups_are_replaced_updated_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = PushGateway::open(dir.path().join("push"));
    push(&gateway, "job/a", "# TYPE x counter\nx{job=\"own\"} 1\ny 2\n", How::Replace).unwrap();
    push(&gateway, "job/a", "y{l=\"1\"} 3\ny{l=\"2\"} 4\n", How::Update).unwrap();
    push(&gateway, "job/b", "x 5\n", How::Replace).unwrap_err();
    push(&gateway, "job/b", "# TYPE x counter\nx 5\n", How::Replace).unwrap();
    let expected = ["x{job=\"a\"} 1", "y{job=\"a\", l=\"1\"} 3", "y{job=\"a\", l=\"2\"} 4", "x{job=\"b\"} 5"];
    assert_eq!(written(&gateway), expected);
    // After a restart all is there, and the series of a group that goes are marked stale.
    drop(gateway);
    let gateway = PushGateway::open(dir.path().join("push"));
    assert_eq!(written(&gateway), expected);
    push(&gateway, "job/a", "z 1\n", How::Replace).unwrap();
    gateway.delete(&grouping_labels("job/b").unwrap()).unwrap();
    let mut lines = written(&gateway);
    lines.sort();
    assert_eq!(
        lines,
        [
            "x{job=\"a\"} stale",
            "x{job=\"b\"} stale",
            "y{job=\"a\", l=\"1\"} stale",
            "y{job=\"a\", l=\"2\"} stale",
            "z{job=\"a\"} 1",
        ]
    );
    gateway.wipe().unwrap();
    assert_eq!(written(&gateway), ["z{job=\"a\"} stale"]);
    assert_eq!(written(&gateway), [""; 0]);
    assert_eq!(PushGateway::open(dir.path().join("push")).groups().len(), 0);
}

#[test]
fn what_contradicts_itself_or_others_is_refused_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = PushGateway::open(dir.path().join("push"));
    push(&gateway, "job/a", "# TYPE x gauge\nx 1\n", How::Replace).unwrap();
    let check = |path: &str, body: &str, expected: &str| {
        let error = push(&gateway, path, body, How::Update).unwrap_err();
        assert!(error.contains(expected), "{body}: {error}");
    };
    check("job/b", "x 1 1234\n", "must not have timestamps");
    check("job/b", "x{a=\"1\"} 1\nx{a=\"1\"} 2\n", "was collected before");
    check("job/b", "x{\n", "invalid or inconsistent");
    check("job/b", "# TYPE x counter\nx 1\n", "x is a counter here and a gauge in the group {job=\"a\"}");
    let groups = gateway.groups();
    let times: Vec<(String, i64, i64)> =
        groups.iter().map(|(labels, group)| (labels.to_string(), group.pushed_ms, group.failed_ms)).collect();
    assert_eq!(times, [("{job=\"a\"}".to_owned(), 5000, 0), ("{job=\"b\"}".to_owned(), 0, 5000)]);
    let (labels, group) = &groups[0];
    assert_eq!(
        times_text(labels, group),
        "push_failure_time_seconds{job=\"a\"} 0, push_time_seconds{job=\"a\"} 5"
    );
}

fn times_text(labels: &Labels, group: &Group) -> String {
    let texts = times(labels, group).into_values().flat_map(|family| family.series);
    texts
        .map(|series| format!("{} {}", series.labels, series.samples[0].value))
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn series_of_histograms_and_summaries_stay_with_their_family() {
    let body = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\nh_other 1\n";
    let labels = grouping_labels("job/a").unwrap();
    let families = parse::families(Format::PrometheusText, body.as_bytes(), &labels).unwrap();
    let counts: Vec<(&str, usize)> =
        families.iter().map(|(name, family)| (name.as_str(), family.series.len())).collect();
    assert_eq!(counts, [("h", 3), ("h_other", 1)]);
}
