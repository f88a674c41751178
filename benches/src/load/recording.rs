//! What one exporter answered, again and again.
//!
//! The file is gzip around text: the first page as it was, then for each later page the line `# page` and the samples
//! that had changed, each as the number of its series in the first page and its new value. Series that are not in the
//! first page are left out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use formats::exposition::{Entry, Format, ParseError, parse, write_sample};
use model::{Labels, METRIC_NAME};

/// The line between two pages.
const PAGE: &str = "# page";

/// More decimals than any exporter of the kernel's counters has.
const DECIMALS_MAX: usize = 9;

/// Whole numbers up to here are exact in a float.
const EXACT_MAX: f64 = (1u64 << 53) as f64;

/// Pages of one exporter.
#[derive(Debug)]
pub struct Recording {
    pub(super) series: Vec<RecordedSeries>,
    /// Numbers of the series that are not the same on all pages.
    pub(super) moving: Vec<usize>,
    /// How many steps there are from one page to the next.
    pub(super) steps: usize,
}

/// One series of the page.
#[derive(Debug)]
pub(super) struct RecordedSeries {
    /// The comments that stand before it.
    pub(super) comments: String,
    /// The labels as the page has them.
    pub(super) labels: Labels,
    pub(super) unit: Unit,
    /// In units.
    pub(super) first: i64,
    /// From each page to the next, in units; empty for what never moves.
    pub(super) steps: Vec<i64>,
    /// Smallest and largest, where the values neither only grow nor stand still.
    pub(super) bounds: Option<(i64, i64)>,
}

/// What values are counted in, so that adding up recorded steps leaves no rounding errors that no exporter would send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unit {
    /// This part of one: a power of ten.
    Part(f64),
    /// For values with more digits than a float holds exactly: as small a part as their size allows.
    Inexact(f64),
}

impl Unit {
    fn of(values: &[f64]) -> Self {
        let largest = values.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        let parts = || (0..=DECIMALS_MAX).map(|decimals| 10f64.powi(decimals as i32));
        let exact = |part: f64| values.iter().all(|value| (value * part).round() / part == *value);
        match parts().take_while(|part| largest * part < EXACT_MAX).find(|part| exact(*part)) {
            Some(part) => Self::Part(part),
            None => {
                Self::Inexact(parts().take_while(|part| largest * part < EXACT_MAX).last().unwrap_or(1.0))
            }
        }
    }

    fn count(self, value: f64) -> i64 {
        let (Self::Part(part) | Self::Inexact(part)) = self;
        (value * part).round() as i64
    }

    pub(super) fn value(self, count: i64) -> f64 {
        let (Self::Part(part) | Self::Inexact(part)) = self;
        count as f64 / part
    }
}

/// A page as text, read.
struct Page {
    series: Vec<(String, Labels, f64)>,
    /// What stands before each series.
    comments: Vec<String>,
}

impl Page {
    fn read(text: &str) -> anyhow::Result<Self> {
        let mut page = Self { series: Vec::new(), comments: Vec::new() };
        let mut comments = String::new();
        for line in text.lines() {
            if line.starts_with('#') {
                writeln!(comments, "{line}")?;
                continue;
            }
            parse::<ParseError>(Format::PrometheusText, format!("{line}\n").as_bytes(), &mut |entry| {
                if let Entry::Sample(sample) = entry {
                    let labels = sample.labels().map_err(|what| ParseError::Line { line: 1, what })?;
                    page.series.push((sample.series.to_owned(), labels, sample.value));
                    page.comments.push(std::mem::take(&mut comments));
                }
                Ok(())
            })
            .with_context(|| format!("read the line {line:?}"))?;
        }
        Ok(page)
    }
}

impl Recording {
    /// The recording that comes with the repository: 64 pages, 15 s apart, of a busy machine with two cores, from
    /// node_exporter 1.5.0 with all fields of vmstat and netstat.
    ///
    /// # Errors
    /// Never, unless the file was changed.
    pub fn included() -> anyhow::Result<Self> {
        Self::read(include_bytes!("../../data/node_exporter.txt.gz"))
    }

    /// Reads what [`Recording::write`] has written.
    ///
    /// # Errors
    /// Where the bytes are no recording.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut text = String::new();
        GzDecoder::new(bytes).read_to_string(&mut text).context("decompress the recording")?;
        let separator = format!("{PAGE}\n");
        let mut pages = text.split(&separator);
        let first = Page::read(pages.next().unwrap_or_default())?;
        let mut values: Vec<Vec<f64>> = first.series.iter().map(|(_, _, value)| vec![*value]).collect();
        for (number, page) in pages.enumerate() {
            for line in page.lines() {
                let (series, value) = line.split_once(' ').context("a changed sample has no value")?;
                let series = values.get_mut(series.parse::<usize>()?).context("a sample of no series")?;
                let before = *series.last().context("a series without samples")?;
                series.resize(number + 1, before);
                series.push(value.parse()?);
            }
        }
        let pages = values.iter().map(Vec::len).max().unwrap_or(0);
        if pages < 2 {
            bail!("a recording needs two pages that differ");
        }
        let mut series = Vec::new();
        for (((_, labels, _), comments), mut values) in
            first.series.into_iter().zip(first.comments).zip(values)
        {
            values.resize(pages, values.last().copied().unwrap_or_default());
            series.push(RecordedSeries::new(comments, labels, &values));
        }
        let moving = (0..series.len()).filter(|number| !series[*number].steps.is_empty()).collect();
        Ok(Self { series, moving, steps: pages - 1 })
    }

    /// Makes a recording of pages, oldest first.
    ///
    /// # Errors
    /// Where a page cannot be read.
    pub fn write(pages: &[String]) -> anyhow::Result<Vec<u8>> {
        let mut pages = pages.iter();
        let first_text = pages.next().context("a recording needs pages")?;
        let first = Page::read(first_text)?;
        let numbers: HashMap<&str, usize> =
            first.series.iter().enumerate().map(|(number, (text, ..))| (text.as_str(), number)).collect();
        let mut known: Vec<f64> = first.series.iter().map(|(.., value)| *value).collect();
        let mut text = first_text.clone();
        for page in pages {
            writeln!(text, "{PAGE}")?;
            for (series, _, value) in Page::read(page)?.series {
                if let Some(&number) = numbers.get(series.as_str())
                    && known[number].to_bits() != value.to_bits()
                {
                    known[number] = value;
                    writeln!(text, "{number} {value}")?;
                }
            }
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(text.as_bytes())?;
        gzip.finish().map_err(|error: io::Error| error.into())
    }

    /// Leaves out all but the first series.
    pub fn truncate(&mut self, series: usize) {
        self.series.truncate(series);
        self.moving.retain(|number| *number < series);
    }

    /// The first page as an exporter answers it.
    pub fn page(&self) -> String {
        let mut page = String::new();
        for series in &self.series {
            page.push_str(&series.comments);
            write_sample(&mut page, &series.labels, series.unit.value(series.first), None);
        }
        page
    }

    /// How many series a target has.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// How many of them ever change.
    pub fn moving_count(&self) -> usize {
        self.moving.len()
    }
}

impl RecordedSeries {
    fn new(comments: String, labels: Labels, values: &[f64]) -> Self {
        let unit = Unit::of(values);
        let counts: Vec<i64> = values.iter().map(|value| unit.count(*value)).collect();
        let mut steps: Vec<i64> = counts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if steps.iter().all(|step| *step == 0) {
            steps.clear();
        }
        let grows = steps.iter().all(|step| *step >= 0);
        let gauge = comments_say_gauge(&comments, &labels);
        // A clock is a gauge that only grows; others that happened to grow while they were recorded do not go on so.
        let clock = steps.iter().all(|step| *step > 0);
        let bounds = counts.iter().min().zip(counts.iter().max()).map(|(min, max)| (*min, *max));
        Self {
            unit,
            first: counts[0],
            bounds: if grows && (!gauge || clock) { None } else { bounds },
            comments,
            labels,
            steps,
        }
    }
}

/// Only the first series of a family has the family's comments before it; names tell as much of the others.
fn comments_say_gauge(comments: &str, labels: &Labels) -> bool {
    let name = labels.get(METRIC_NAME).unwrap_or_default();
    let counts = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
    let untyped = name.starts_with("node_netstat_") || name.starts_with("node_vmstat_");
    !counts && !untyped || comments.contains(" gauge\n")
}
