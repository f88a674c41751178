//! What a case gives to each kind, and the form of what comes back: JSON, with null for the number that is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use formats::otlp::traces::JsonDialect;
use formats::otlp::{self, Encoding};
use model::{
    BucketSpan, Buckets, ColumnExemplar, ColumnHistogram, ColumnParts, Columns, FunctionCall, Histogram,
    Labels, Metadata, MetricKind, span::Span,
};
use plugin::{CallError, Chunk, Instance, Job, Kind, Label, Payload};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// What a call has yielded.
pub(super) struct Yielded {
    /// Samples, of the kinds that yield some.
    pub(super) samples: Option<Payload>,
    /// What else it answered.
    pub(super) rest: Value,
}

/// Calls a kind with what a case gives it. The error within is the plugin's.
pub(super) async fn call(
    instance: &Instance,
    kind: Kind,
    input: &Value,
) -> anyhow::Result<Result<Yielded, CallError>> {
    let time = instance.config().limits.deadline.0;
    let rest = |rest: Value| Yielded { samples: None, rest };
    Ok(match kind {
        Kind::Prober => {
            let ProbeInput { target, params } = read(input)?;
            let params = params
                .into_iter()
                .flat_map(|(name, values)| {
                    values.into_iter().map(move |value| Label { name: name.clone(), value })
                })
                .collect();
            let probed = instance.probe(target, params, time).await;
            probed.map(|payload| Yielded { samples: Some(payload), rest: Value::Null })
        }
        Kind::Decoder => instance.decode(read::<ChunkInput>(input)?.chunk()).await.map(|decoded| Yielded {
            samples: Some(Payload::Columns(decoded.columns)),
            rest: json!({"consumed": decoded.consumed, "rejected": decoded.rejected, "reason": decoded.reason}),
        }),
        Kind::Function => {
            let input: FunctionInput = read(input)?;
            let (name, call) = (input.function.clone(), input.call()?);
            let steps = call.steps;
            instance.eval(name, call, time).await.map(|values| rest(rows(&values, steps)))
        }
        Kind::Detector => {
            let DetectorInput { history, job } = read(input)?;
            if let Some(history) = history
                && let Err(error) = instance.train(history.job()?, &history.labels()).await
            {
                return Ok(Err(error));
            }
            let job = job.job()?;
            let steps = job.steps as usize;
            instance.detect(job).await.map(|scores| {
                let row = |column: &[f64]| rows(column, steps);
                rest(json!({"scores": row(&scores.scores), "lower": row(&scores.lower), "upper": row(&scores.upper)}))
            })
        }
        Kind::Trainer => {
            let history: JobInput = read(input)?;
            instance.train(history.job()?, &history.labels()).await.map(|()| {
                let model = instance.model().unwrap_or_default();
                rest(json!({"model": String::from_utf8_lossy(&model)}))
            })
        }
        Kind::SampleProcessor => {
            let columns = read::<BatchForm>(input)?.columns()?;
            instance.process_samples(columns).await.map(|columns| {
                rest(serde_json::to_value(BatchForm::of(&columns)).unwrap_or_default())
            })
        }
        Kind::SpanProcessor => {
            let processed = instance.process_spans(&spans(input)?).await;
            processed.map(|spans| rest(otlp::traces::encode_json(&spans, JsonDialect::Otlp)))
        }
        other => bail!("input: a {other} is given none"),
    })
}

fn read<T: DeserializeOwned>(input: &Value) -> anyhow::Result<T> {
    serde_json::from_value(input.clone()).context("read `input` of the case")
}

/// What a case expects, in the form that [`call`] gives, so that what is left out of either makes no difference.
pub(super) fn normalized(kind: Kind, expected: &Value) -> anyhow::Result<Value> {
    Ok(match kind {
        Kind::SampleProcessor => {
            let form: BatchForm = serde_json::from_value(expected.clone()).context("read `yields`")?;
            serde_json::to_value(BatchForm::of(&form.columns()?))?
        }
        Kind::SpanProcessor => otlp::traces::encode_json(&spans(expected)?, JsonDialect::Otlp),
        _ => expected.clone(),
    })
}

/// Spans in OTLP's JSON.
fn spans(json: &Value) -> anyhow::Result<Vec<Span>> {
    let limits = otlp::Limits { messages_max: usize::MAX };
    let read = otlp::traces::decode(Encoding::Json, json.to_string().as_bytes(), &limits);
    Ok(read.context("read spans in OTLP's JSON")?.0)
}

/// Whether two values say the same: 1 and 1.0 do.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeInput {
    target: String,
    #[serde(default)]
    params: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunkInput {
    /// Of a stream.
    #[serde(default)]
    data: String,
    /// Instead of `data`.
    #[serde(default)]
    datagrams: Vec<String>,
    #[serde(default)]
    content_type: String,
    #[serde(default = "yes")]
    last: bool,
}

fn yes() -> bool {
    true
}

impl ChunkInput {
    fn chunk(self) -> Chunk {
        let mut data = self.data.into_bytes();
        let mut datagram_ends = Vec::new();
        for datagram in self.datagrams {
            data.extend(datagram.into_bytes());
            datagram_ends.push(narrow(data.len()));
        }
        Chunk { data, datagram_ends, content_type: self.content_type, last: self.last }
    }
}

/// Values at steps, one row for each series.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobInput {
    #[serde(default)]
    start_ms: i64,
    #[serde(default = "second")]
    step_ms: u64,
    values: Vec<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct DetectorInput {
    /// What the detector is trained with first.
    #[serde(default)]
    history: Option<JobInput>,
    #[serde(flatten)]
    job: JobInput,
}

fn second() -> u64 {
    1000
}

impl JobInput {
    fn job(&self) -> anyhow::Result<Job> {
        let (steps, values) = flat(&self.values)?;
        let series = narrow(self.values.len());
        Ok(Job { start_ms: self.start_ms, step_ms: self.step_ms, steps, series, values })
    }

    /// Labels that tell the series apart.
    fn labels(&self) -> Vec<Labels> {
        let labels = |index: usize| Labels::from_pairs([("series", index.to_string().as_str())]);
        (0..self.values.len()).map(labels).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionInput {
    function: String,
    #[serde(default)]
    start_ms: i64,
    #[serde(default = "second")]
    step_ms: u64,
    /// Of a vector: rows of values.
    #[serde(default)]
    values: Vec<Vec<Option<f64>>>,
    /// Of a range, instead: rows of times and values.
    #[serde(default)]
    samples: Vec<Vec<(i64, f64)>>,
    /// Of a range: how far each step looks back.
    #[serde(default)]
    window_ms: i64,
    /// Of a range: how many steps.
    #[serde(default)]
    steps: Option<usize>,
    /// For each argument that is a scalar, its value at each step.
    #[serde(default)]
    scalars: Vec<Vec<f64>>,
    #[serde(default)]
    texts: Vec<String>,
}

impl FunctionInput {
    fn call(self) -> anyhow::Result<FunctionCall> {
        let (steps, values) = flat(&self.values)?;
        let mut call = FunctionCall {
            start_ms: self.start_ms,
            step_ms: self.step_ms,
            steps: self.steps.unwrap_or(if self.samples.is_empty() { steps as usize } else { 1 }),
            series: self.values.len().max(self.samples.len()),
            values,
            scalars: self.scalars.concat(),
            texts: self.texts,
            ..FunctionCall::default()
        };
        for row in &self.samples {
            let from = call.values.len();
            call.values.extend(row.iter().map(|(_, value)| value));
            call.timestamps_ms.extend(row.iter().map(|(at, _)| at));
            for step in 0..call.steps {
                let end = self.start_ms + i64::try_from(step)? * i64::try_from(self.step_ms)?;
                let within = |until: i64| from + row.partition_point(|(at, _)| *at <= until);
                call.window_starts.push(narrow(within(end - self.window_ms)));
                call.window_ends.push(narrow(within(end)));
            }
        }
        Ok(call)
    }
}

/// Rows of the same length behind one another, and that length.
fn flat(rows: &[Vec<Option<f64>>]) -> anyhow::Result<(u32, Vec<f64>)> {
    let steps = rows.first().map_or(0, Vec::len);
    ensure!(rows.iter().all(|row| row.len() == steps), "values: rows have to have the same length");
    Ok((narrow(steps), rows.iter().flatten().map(|value| value.unwrap_or(f64::NAN)).collect()))
}

/// A column as rows.
fn rows(values: &[f64], steps: usize) -> Value {
    values.chunks(steps.max(1)).map(|row| row.iter().map(|value| json!(value)).collect::<Value>()).collect()
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A batch, series by series.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchForm {
    #[serde(default)]
    series: Vec<SeriesForm>,
    #[serde(default)]
    families: Vec<FamilyForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesForm {
    labels: BTreeMap<String, String>,
    /// Times in milliseconds and values.
    #[serde(default)]
    samples: Vec<(Option<i64>, f64)>,
    #[serde(default)]
    histograms: Vec<HistogramForm>,
    #[serde(default)]
    exemplars: Vec<ExemplarForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistogramForm {
    at: Option<i64>,
    schema: i8,
    count: f64,
    sum: f64,
    #[serde(default)]
    zero_threshold: f64,
    #[serde(default)]
    zero_count: f64,
    #[serde(default)]
    positive: BucketsForm,
    #[serde(default)]
    negative: BucketsForm,
    #[serde(default)]
    custom_bounds: Option<Vec<f64>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketsForm {
    /// Offset and length of each.
    spans: Vec<(i32, u32)>,
    counts: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExemplarForm {
    labels: BTreeMap<String, String>,
    value: f64,
    at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyForm {
    name: String,
    kind: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    unit: String,
}

impl BucketsForm {
    fn of(buckets: &Buckets) -> Self {
        let spans = buckets.spans.iter().map(|span| (span.offset, span.length)).collect();
        Self { spans, counts: buckets.counts.clone() }
    }

    fn buckets(self) -> Buckets {
        let spans = self.spans.into_iter().map(|(offset, length)| BucketSpan { offset, length }).collect();
        Buckets { spans, counts: self.counts }
    }
}

impl BatchForm {
    fn of(columns: &Columns) -> Self {
        let series = (0..columns.series_count()).map(|index| SeriesForm {
            labels: owned(columns.labels(index)),
            samples: columns.samples(index).collect(),
            histograms: columns
                .histograms()
                .iter()
                .filter(|histogram| histogram.series as usize == index)
                .map(|ColumnHistogram { timestamp_ms, histogram, .. }| HistogramForm {
                    at: *timestamp_ms,
                    schema: histogram.schema,
                    count: histogram.count,
                    sum: histogram.sum,
                    zero_threshold: histogram.zero_threshold,
                    zero_count: histogram.zero_count,
                    positive: BucketsForm::of(&histogram.positive),
                    negative: BucketsForm::of(&histogram.negative),
                    custom_bounds: histogram.custom_values.as_ref().map(|bounds| bounds.to_vec()),
                })
                .collect(),
            exemplars: columns
                .exemplars()
                .iter()
                .filter(|exemplar| exemplar.series as usize == index)
                .map(|exemplar| ExemplarForm {
                    labels: owned(exemplar.labels.iter().map(|(name, value)| (&**name, &**value))),
                    value: exemplar.value,
                    at: exemplar.timestamp_ms,
                })
                .collect(),
        });
        let families = columns.families().iter().map(|(name, Metadata { kind, help, unit })| FamilyForm {
            name: name.clone(),
            kind: kind.as_str().to_owned(),
            help: help.clone(),
            unit: unit.clone(),
        });
        Self { series: series.collect(), families: families.collect() }
    }

    fn columns(self) -> anyhow::Result<Columns> {
        let mut parts = ColumnParts::default();
        for (index, form) in self.series.into_iter().enumerate() {
            let series = narrow(index);
            for text in form.labels.into_iter().flat_map(|(name, value)| [name, value]) {
                parts.label_refs.push(narrow(parts.strings.len()));
                parts.strings.push(text);
            }
            parts.label_ends.push(narrow(parts.label_refs.len()));
            for (at, value) in form.samples {
                parts.timestamps_ms.push(at.context("samples: every sample has to have a time")?);
                parts.values.push(value);
            }
            parts.sample_ends.push(narrow(parts.values.len()));
            for h in form.histograms {
                let histogram = Histogram {
                    schema: h.schema,
                    zero_threshold: h.zero_threshold,
                    zero_count: h.zero_count,
                    count: h.count,
                    sum: h.sum,
                    positive: h.positive.buckets(),
                    negative: h.negative.buckets(),
                    custom_values: h.custom_bounds.map(Arc::from),
                    reset_hint: Default::default(),
                };
                parts.histograms.push(ColumnHistogram { series, timestamp_ms: h.at, histogram });
            }
            for ExemplarForm { labels, value, at } in form.exemplars {
                let labels = labels.into_iter().collect();
                parts.exemplars.push(ColumnExemplar { series, labels, value, timestamp_ms: at });
            }
        }
        for FamilyForm { name, kind, help, unit } in self.families {
            let kind = MetricKind::from_name(&kind).with_context(|| format!("families: no kind {kind:?}"))?;
            parts.families.push((name, Metadata { kind, help, unit }));
        }
        Ok(Columns::try_from(parts)?)
    }
}

fn owned<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
