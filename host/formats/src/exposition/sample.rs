//! One sample of an exposition, with its exemplar. Texts are borrowed; labels are built when asked for.

use model::staleness::NORMAL_NAN_BITS;
use model::{Exemplar, Histogram, Labels, Timestamp};

use super::Format;
use super::cursor::Cursor;
use super::series;

/// One sample of an exposition.
#[derive(Debug, Clone, Copy)]
pub struct ScrapedSample<'a> {
    /// What names the series, as it stands in the text. The same bytes in a later scrape of the same target
    /// are the same series, which saves building the labels again.
    pub series: &'a str,
    /// The value; one particular NaN for all NaNs, so that none of them can be a stale marker.
    pub value: f64,
    /// When it was observed, where the target says so.
    pub timestamp: Option<Timestamp>,
    /// When the counter started that this is a reading of, where the target says so; of [`super::protobuf`], and of
    /// [`super::parse_with_starts`].
    pub start: Option<Timestamp>,
    /// One observation behind it; OpenMetrics only.
    pub exemplar: Option<ScrapedExemplar<'a>>,
    normalised: Option<&'static str>,
}

/// One native histogram of an exposition.
#[derive(Debug, Clone)]
pub struct ScrapedHistogram<'a> {
    /// What names the series, as in [`ScrapedSample::series`].
    pub series: &'a str,
    /// The distribution as the target sent it; whether it contradicts itself is not looked at.
    pub histogram: &'a Histogram,
    /// When it was observed, where the target says so.
    pub timestamp: Option<Timestamp>,
    /// When it started to count, where the target says so.
    pub start: Option<Timestamp>,
    /// Observations behind it that say when they were made, by time.
    pub exemplars: &'a [ScrapedExemplar<'a>],
}

/// The exemplar of a sample.
#[derive(Debug, Clone, Copy)]
pub struct ScrapedExemplar<'a> {
    /// Its labels as they stand in the text, with their braces.
    pub braces: &'a str,
    /// The observed value.
    pub value: f64,
    /// When it was observed, where the target says so.
    pub timestamp: Option<Timestamp>,
}

impl<'a> ScrapedSample<'a> {
    /// The labels, the metric's name among them. The values of `le` in histograms and of `quantile` in
    /// summaries are written in one way (`1` becomes `1.0`), as Prometheus 3 does, so that series do not
    /// depend on which format a target chose.
    ///
    /// # Errors
    /// A text that names the label that is given twice.
    pub fn labels(&self) -> Result<Labels, String> {
        series::to_labels(self.series, self.normalised)
    }

    /// What another format than text holds; `series` is the text that would stand for it.
    pub(super) const fn new(
        series: &'a str,
        value: f64,
        (timestamp, start): (Option<Timestamp>, Option<Timestamp>),
        exemplar: Option<ScrapedExemplar<'a>>,
    ) -> Self {
        Self { series, value, timestamp, start, exemplar, normalised: None }
    }

    /// Reads a line, of which the first `known` bytes are known to name a series.
    pub(super) fn read(
        mut cursor: Cursor<'a>,
        known: usize,
        format: Format,
        normalised: Option<&'static str>,
    ) -> Result<Self, String> {
        let series = match series::known_series(&mut cursor, known) {
            Some(series) => series,
            None => series::read_series(&mut cursor)?,
        };
        cursor.skip_blanks();
        let value = read_value(&mut cursor)?;
        let timestamp = read_timestamp(&mut cursor, format)?;
        cursor.skip_blanks();
        let exemplar = match cursor.peek() {
            Some(b'#') if format == Format::OpenMetricsText => {
                cursor.eat(b'#');
                cursor.skip_blanks();
                let braces = series::read_braces(&mut cursor)?;
                cursor.skip_blanks();
                let value = read_value(&mut cursor)?;
                Some(ScrapedExemplar { braces, value, timestamp: read_timestamp(&mut cursor, format)? })
            }
            _ => None,
        };
        cursor.skip_blanks();
        if !cursor.rest().is_empty() {
            return Err(series::unexpected("the end of the line", cursor));
        }
        Ok(Self { series, value, timestamp, start: None, exemplar, normalised })
    }
}

impl ScrapedHistogram<'_> {
    /// The labels, the metric's name among them.
    ///
    /// # Errors
    /// A text that names the label that is given twice.
    pub fn labels(&self) -> Result<Labels, String> {
        series::to_labels(self.series, None)
    }
}

impl ScrapedExemplar<'_> {
    /// The exemplar with labels of its own, observed at `otherwise` where the target does not say when.
    ///
    /// # Errors
    /// A text that names the label that is given twice.
    pub fn to_exemplar(&self, otherwise: Timestamp) -> Result<Exemplar, String> {
        Ok(Exemplar {
            labels: series::to_labels(self.braces, None)?,
            value: self.value,
            timestamp: self.timestamp.unwrap_or(otherwise),
        })
    }
}

fn read_value(cursor: &mut Cursor<'_>) -> Result<f64, String> {
    let token = cursor.token();
    let value: f64 = token.parse().map_err(|_| match token {
        "" => "value is missing".to_owned(),
        _ => format!("invalid value {token:?}"),
    })?;
    Ok(observed(value))
}

/// A value as samples may have it: no NaN of a target is a stale marker.
pub(super) const fn observed(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value }
}

/// Milliseconds in Prometheus' format, seconds with a fraction in OpenMetrics.
fn read_timestamp(cursor: &mut Cursor<'_>, format: Format) -> Result<Option<Timestamp>, String> {
    cursor.skip_blanks();
    if matches!(cursor.peek(), None | Some(b'#')) {
        return Ok(None);
    }
    let token = cursor.token();
    let invalid = || format!("invalid timestamp {token:?}");
    let timestamp = match format {
        Format::PrometheusText | Format::Protobuf => {
            Timestamp::from_millis(token.parse().map_err(|_| invalid())?)
        }
        Format::OpenMetricsText => {
            let secs: f64 = token.parse().map_err(|_| invalid())?;
            if !secs.is_finite() {
                return Err(invalid());
            }
            Timestamp::from_secs_f64(secs)
        }
    };
    Ok(Some(timestamp))
}
