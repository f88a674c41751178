//! What a push says: its grouping labels from the path, its metrics from the body.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use formats::TimeSeries;
use formats::exposition::{self, Entry, Format, ParseError};
use model::{Labels, LabelsBuilder, METRIC_NAME, Metadata, MetricKind, Sample, Timestamp};

use super::{FAILURE_TIME, Families, Family, PUSH_TIME};

/// Says that what follows in the path is encoded, for values that hold slashes or are empty.
const BASE64: &str = "@base64";

/// The grouping labels of a path: `job/<job>` and then pairs of a name and a value.
pub(crate) fn grouping_labels(path: &str) -> Result<Labels, String> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if !parts.len().is_multiple_of(2) {
        return Err(format!("odd number of components in label string {path:?}"));
    }
    let mut labels = LabelsBuilder::new();
    for (index, pair) in parts.chunks(2).enumerate() {
        let [name, value] = pair else { continue };
        let (name, value) = (unescape(name)?, unescape(value)?);
        let (name, value) = match name.strip_suffix(BASE64) {
            Some(name) => (name.to_owned(), decode(&value)?),
            None => (name, value),
        };
        if (index == 0) != (name == "job") {
            return Err(format!("the path must begin with job/ and name it once, not {path:?}"));
        }
        if name.is_empty() || name.starts_with("__") {
            return Err(format!("improper label name {name:?}"));
        }
        if name == "job" && value.is_empty() {
            return Err("job name is required".to_owned());
        }
        labels.set(&name, &value);
    }
    Ok(labels.build())
}

/// Undoes base64 with the alphabet of URLs, padded or not. A lone `=` stands for nothing, which a path cannot hold.
fn decode(text: &str) -> Result<String, String> {
    let bytes = match text {
        "=" => Vec::new(),
        text if text.ends_with('=') => URL_SAFE.decode(text).map_err(|error| error.to_string())?,
        text => URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string())?,
    };
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not base64 of UTF-8"))
}

/// Undoes percent-encoding.
fn unescape(text: &str) -> Result<String, String> {
    let bad = || format!("{text:?} is not well escaped");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(bad);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// A name for a group's file.
pub(super) fn name_of(labels: &Labels) -> u64 {
    // FNV-1a, 64 bits: it has to stay the same from one version to the next.
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    labels.as_encoded().iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The metrics of a body, by family, each with the grouping labels, which win over its own.
pub(super) fn families(format: Format, body: &[u8], grouping: &Labels) -> Result<Families, String> {
    let mut reader =
        Reader { families: Families::new(), declared: String::new(), grouping, seen: BTreeSet::new() };
    exposition::parse(format, body, &mut |entry| reader.take(entry)).map_err(|Refused(what)| what)?;
    // What says when a group was pushed to is not pushed.
    reader
        .families
        .retain(|name, family| name != PUSH_TIME && name != FAILURE_TIME && !family.series.is_empty());
    Ok(reader.families)
}

struct Refused(String);

impl From<ParseError> for Refused {
    fn from(error: ParseError) -> Self {
        Self(error.to_string())
    }
}

struct Reader<'a> {
    families: Families,
    /// The family that was declared last, to which series with longer names may belong.
    declared: String,
    grouping: &'a Labels,
    seen: BTreeSet<Labels>,
}

impl Reader<'_> {
    fn take(&mut self, entry: Entry<'_>) -> Result<(), Refused> {
        match entry {
            Entry::Help { family, text } => self.declare(&family).help = text.into_owned(),
            Entry::Kind { family, kind } => self.declare(&family).kind = kind,
            Entry::Unit { family, unit } => self.declare(&family).unit = unit.to_owned(),
            Entry::Sample(sample) => {
                let labels = sample.labels().map_err(Refused)?;
                let series = self.series(&labels, sample.timestamp)?;
                series.samples.push(Sample::new(0, sample.value));
            }
            Entry::Histogram(sample) => {
                let labels = sample.labels().map_err(Refused)?;
                sample.histogram.validate().map_err(|error| Refused(format!("{labels}: {error}")))?;
                let series = self.series(&labels, sample.timestamp)?;
                series.histograms.push((Timestamp::EPOCH, sample.histogram.clone()));
            }
        }
        Ok(())
    }

    fn declare(&mut self, family: &str) -> &mut Metadata {
        self.declared = family.to_owned();
        &mut self.family(family).metadata
    }

    fn family(&mut self, name: &str) -> &mut Family {
        let empty = || Family { metadata: Metadata::default(), series: Vec::new() };
        self.families.entry(name.to_owned()).or_insert_with(empty)
    }

    /// A new series for one sample.
    fn series(&mut self, own: &Labels, timestamp: Option<Timestamp>) -> Result<&mut TimeSeries, Refused> {
        if timestamp.is_some() {
            return Err(Refused("pushed metrics must not have timestamps".to_owned()));
        }
        let mut labels = own.to_builder();
        for (name, value) in self.grouping {
            labels.set(name, value);
        }
        let labels = labels.build();
        let name = labels.get(METRIC_NAME).unwrap_or_default().to_owned();
        if !self.seen.insert(labels.clone()) {
            return Err(Refused(format!(
                "{labels} was collected before with the same name and label values"
            )));
        }
        let ends: &[&str] = match self.families.get(&self.declared).map(|family| family.metadata.kind) {
            Some(MetricKind::Histogram | MetricKind::GaugeHistogram) => {
                &["_bucket", "_sum", "_count", "_gcount", "_gsum", "_created"]
            }
            Some(MetricKind::Summary) => &["_sum", "_count", "_created"],
            Some(MetricKind::Counter) => &["_total", "_created"],
            Some(MetricKind::Info) => &["_info"],
            _ => &[],
        };
        let belongs =
            name.strip_prefix(&self.declared).is_some_and(|end| end.is_empty() || ends.contains(&end));
        let family = if belongs { self.declared.clone() } else { name };
        let all = &mut self.family(&family).series;
        all.push(TimeSeries { labels, ..TimeSeries::default() });
        let last = all.len() - 1;
        Ok(&mut all[last])
    }
}
