//! Samples of a stopped server as OpenMetrics.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use formats::exposition::{write_openmetrics_family, write_openmetrics_sample};
use model::staleness::is_stale;
use model::{Histogram, Matcher, Timestamp};
use tsdb::{Options, RealFileSystem, Retention, SelectedSeries, Sink, SystemClock, Tsdb};

use super::metrics_dir;

/// What is written once so much of it is there.
const PIECE_BYTES: usize = 1 << 20;

/// Prints the samples of selected series from one time to another, both in milliseconds. What says that a series has ended is
/// no sample.
pub(crate) fn dump(dir: &Path, selector: &str, min_time: i64, max_time: i64) -> anyhow::Result<()> {
    let matchers = promql::parse_selector(selector).with_context(|| format!("--match {selector}"))?;
    let from = metrics_dir(dir)?;
    // To open a database may mend it. That is done to a copy, which shares what is large.
    let copy = from.join(format!("dump-{}", std::process::id()));
    let written = tsdb::snapshot_stopped(&RealFileSystem, &from, &copy, false)
        .context("copy the metrics")
        .and_then(|()| write(&copy, &matchers, (min_time, max_time)));
    let removed = std::fs::remove_dir_all(&copy);
    let left_out = written?;
    removed.with_context(|| format!("remove {}", copy.display()))?;
    if left_out > 0 {
        eprintln!("{left_out} native histograms are left out, which OpenMetrics has no words for");
    }
    Ok(())
}

/// Tells how many histograms it has left out.
fn write(dir: &Path, matchers: &[Matcher], (min, max): (i64, i64)) -> anyhow::Result<u64> {
    let options = Options { retention: Retention::ALL, ..Options::prometheus() };
    let db = Tsdb::open(dir, options, Arc::new(RealFileSystem), Arc::new(SystemClock))?;
    let (min, max) = (Timestamp::from_millis(min), Timestamp::from_millis(max));
    let mut all = db.select(matchers, min, max)?;
    // A family has to be in one piece; the order of labels puts what comes before `__name__` first.
    all.sort_by(|a, b| a.labels().metric_name().cmp(&b.labels().metric_name()));
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut text, mut left_out) = (String::new(), 0);
    let mut family = None;
    for series in &all {
        let mut samples = Floats::default();
        series.read(min, max, &mut samples)?;
        left_out += samples.histograms;
        write_series(&mut text, series, &samples, &mut family);
        if text.len() >= PIECE_BYTES {
            out.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    text.push_str("# EOF\n");
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(left_out)
}

fn write_series<'s>(
    text: &mut String,
    series: &'s SelectedSeries,
    samples: &Floats,
    family: &mut Option<&'s str>,
) {
    let labels = series.labels();
    for &(time, value) in &samples.all {
        if *family != labels.metric_name() {
            *family = labels.metric_name();
            write_openmetrics_family(text, family.unwrap_or_default());
        }
        write_openmetrics_sample(text, labels, value, Timestamp::from_millis(time));
    }
}

#[derive(Default)]
struct Floats {
    all: Vec<(i64, f64)>,
    histograms: u64,
}

impl Sink for Floats {
    fn floats(&mut self, times: &[i64], values: &[f64], _: &[i64]) {
        let samples = times.iter().copied().zip(values.iter().copied());
        self.all.extend(samples.filter(|(_, value)| !is_stale(*value)));
    }

    fn histograms(&mut self, _: &[i64], values: &[Arc<Histogram>], _: &[i64]) {
        self.histograms += values.iter().filter(|value| !value.is_stale()).count() as u64;
    }
}
