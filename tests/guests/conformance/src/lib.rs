//! The conformance plugin in Rust: see `sdk/conformance`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use stormglass_sdk::dns::{self, Data, RecordType};
use stormglass_sdk::net::{Connect, TlsOptions};
use stormglass_sdk::{
    Attribute, AttributeValue, Batch, Chunk, Collector, Consumed, Decoder, Detector, Discoverer, Error,
    History, Job, Label, Metrics, Notification, Plugin, Prober, Receiver, Result, SampleProcessor, Samples,
    Scores, Snapshot, SpanProcessor, Spans, Target, TargetGroup, Trainer, clock, export, files, http, kv,
    log, query, secrets, telemetry,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    ops: Vec<Vec<Value>>,
}

struct Conformance {
    ops: Vec<Vec<Value>>,
    calls: u32,
    model: Vec<u8>,
}

impl Plugin for Conformance {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = r#"{"type":"object","required":["ops"],
        "properties":{"ops":{"type":"array","items":{"type":"array"}}}}"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { ops: config.ops, calls: 0, model: Vec::new() })
    }
}

fn text(op: &[Value], index: usize) -> &str {
    op.get(index).and_then(Value::as_str).unwrap_or_default()
}

/// Numbers that JSON lacks are texts.
fn number(op: &[Value], index: usize) -> f64 {
    match op.get(index) {
        Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
        _ => text(op, index).parse().unwrap_or(f64::NAN),
    }
}

impl Collector for Conformance {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        self.calls += 1;
        let mut open = (String::new(), String::new());
        for op in &self.ops {
            let (name, help) = (open.0.clone(), open.1.clone());
            match text(op, 0) {
                "gauge" | "counter" => {
                    open = (text(op, 1).to_owned(), text(op, 2).to_owned());
                    if text(op, 0) == "gauge" {
                        out.gauge(&open.0, &open.1);
                    } else {
                        out.counter(&open.0, &open.1);
                    }
                }
                "set" => {
                    let labels: Vec<(&str, &str)> =
                        (2..op.len()).step_by(2).map(|at| (text(op, at), text(op, at + 1))).collect();
                    out.gauge(&name, &help).set(&labels, number(op, 1));
                }
                "many" => {
                    for i in 0..op.get(1).and_then(Value::as_u64).unwrap_or_default() {
                        out.gauge(&name, &help).set(&[("i", &i.to_string())], i as f64);
                    }
                }
                "text" => out.text(text(op, 1)),
                "now" => {
                    out.gauge("now_ms", "The clock.").set(&[], clock::now_ms() as f64);
                }
                "calls" => {
                    out.gauge("calls", "Collections so far.").set(&[], self.calls.into());
                }
                "fetch" => {
                    let response = http::get(text(op, 1))?;
                    out.gauge("fetch_status", "Status.").set(&[], response.status.into());
                    out.gauge("fetch_bytes", "Body.").set(&[], response.body.len() as f64);
                }
                "read" => {
                    let content = files::read(text(op, 1))?;
                    out.gauge("read_bytes", "File.").set(&[], content.len() as f64);
                }
                "log" if text(op, 1) == "warn" => log::warn!("{}", text(op, 2)),
                "log" => log::info!("{}", text(op, 2)),
                "fail" if op.get(2) == Some(&Value::Bool(true)) => {
                    return Err(Error::retryable(text(op, 1)));
                }
                "fail" => return Err(Error::permanent(text(op, 1))),
                "kv-set" => kv::set(text(op, 1), text(op, 2).as_bytes())?,
                "kv-get" => {
                    let bytes = kv::get(text(op, 1))?.map_or(-1.0, |value| value.len() as f64);
                    out.gauge("kv_bytes", "Value.").set(&[], bytes);
                }
                "kv-delete" => kv::delete(text(op, 1))?,
                "kv-keys" => {
                    out.gauge("kv_keys", "Keys.").set(&[], kv::keys(text(op, 1))?.len() as f64);
                }
                "secret" => {
                    out.gauge("secret_bytes", "Secret.").set(&[], secrets::get(text(op, 1))?.len() as f64);
                }
                "count" => telemetry::counter_add(text(op, 1), &[(text(op, 3), text(op, 4))], number(op, 2)),
                "measure" => telemetry::gauge_set(text(op, 1), &[], number(op, 2)),
                "query" => {
                    let answer = query::instant(text(op, 1))?;
                    for series in 0..answer.series_count() {
                        let labels: Vec<_> =
                            answer.labels(series).filter(|(name, _)| *name != "__name__").collect();
                        let value = answer.samples(series).next().map_or(f64::NAN, |(_, value)| value);
                        out.gauge("answer", "Answer.").set(&labels, value);
                    }
                }
                "query-range" => {
                    let [start, end, step] = [2, 3, 4].map(|at| number(op, at) as i64);
                    let step = Duration::from_millis(step.unsigned_abs());
                    let answer = query::range(text(op, 1), start, end, step)?;
                    out.gauge("answer_samples", "Samples.").set(&[], answer.values.len() as f64);
                    out.gauge("answer_sum", "Sum.").set(&[], answer.values.iter().sum());
                }
                "lookup" => look_up(text(op, 1), text(op, 2), out)?,
                "talk" => talk(op, out)?,
                // Other kinds do these.
                "target" => {}
                other => return Err(Error::permanent(format!("no operation {other:?}"))),
            }
        }
        Ok(())
    }
}

/// `[lookup, name, type]`
fn look_up(name: &str, record_type: &str, out: &mut Metrics) -> Result<()> {
    let record_type = match record_type {
        "a" => RecordType::A,
        "mx" => RecordType::Mx,
        "srv" => RecordType::Srv,
        _ => RecordType::Txt,
    };
    for record in dns::lookup(name, record_type)? {
        let data = match record.data {
            Data::Address(text) | Data::Name(text) | Data::Txt(text) => text,
            Data::Mx(mx) => format!("{} {}", mx.preference, mx.host),
            Data::Srv(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
        };
        let labels = [("name", record.name.as_str()), ("data", data.as_str())];
        out.gauge("record_ttl", "A record.").set(&labels, record.ttl_seconds.into());
    }
    Ok(())
}

/// `[talk, host, port, mode, lines...]`
fn talk(op: &[Value], out: &mut Metrics) -> Result<()> {
    let port = op.get(2).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let connect = Connect::new(text(op, 1), port.unwrap_or_default());
    let connect = if text(op, 3) == "tls" { connect.tls(TlsOptions::SYSTEM) } else { connect };
    let mut reader = BufReader::new(connect.open()?);
    for at in 4..op.len() {
        if at == 5 && text(op, 3) == "start-tls" {
            reader.get_mut().start_tls(&TlsOptions::SYSTEM)?;
        }
        reader.get_mut().write_all(format!("{}\r\n", text(op, at)).as_bytes())?;
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let labels = [("text", line.trim_end_matches(['\r', '\n']))];
        out.gauge("talk_line", "An answer.").set(&labels, (at - 4) as f64);
    }
    if let Some(session) = reader.get_ref().session() {
        out.gauge("talk_tls", "TLS.").set(&[("version", &session.version)], 1.0);
    }
    Ok(())
}

impl Conformance {
    /// What the operations say instead of an answer.
    fn failure(&self) -> Result<()> {
        match self.ops.iter().find(|op| text(op, 0) == "fail") {
            Some(op) if op.get(2) == Some(&Value::Bool(true)) => Err(Error::retryable(text(op, 1))),
            Some(op) => Err(Error::permanent(text(op, 1))),
            None => Ok(()),
        }
    }
}

impl Prober for Conformance {
    fn probe(&mut self, target: &str, params: &[Label], out: &mut Metrics) -> Result<()> {
        if target == "unreachable" {
            return Err(Error::permanent("no way to unreachable"));
        }
        out.gauge("probe_params", "Parameters.").set(&[("target", target)], params.len() as f64);
        for Label { name, value } in params {
            out.gauge("probe_param", "A parameter.").set(&[("name", name), ("value", value)], 1.0);
        }
        Ok(())
    }
}

impl Discoverer for Conformance {
    fn poll(&mut self) -> Result<Snapshot> {
        let targets = self.ops.iter().filter(|op| text(op, 0) == "target").map(|op| Target {
            address: text(op, 1).to_owned(),
            labels: vec![Label::new(text(op, 2), text(op, 3))],
        });
        let group = TargetGroup {
            source: "conformance".to_owned(),
            targets: targets.collect(),
            labels: vec![Label::new("from", "conformance")],
        };
        Ok(Snapshot::new(vec![group]).poll_after(Duration::from_secs(60)))
    }
}

impl Receiver for Conformance {
    fn notify(&mut self, n: &Notification) -> Result<()> {
        self.failure()?;
        let who = if n.receiver.is_empty() { "nobody" } else { "somebody" };
        let name = n.alerts[0].labels.iter().find(|label| label.name == "alertname");
        let name = name.map_or("", |label| &label.value);
        log::info!("{who} {} {} {name}", n.status.as_str(), n.alerts.len());
        Ok(())
    }
}

impl Trainer for Conformance {
    fn train(&mut self, history: &History, prior: &[u8]) -> Result<Vec<u8>> {
        let sum: f64 = history.values.iter().filter(|value| !value.is_nan()).sum();
        let mut model = prior.to_vec();
        if !model.is_empty() {
            model.push(b';');
        }
        model.extend(format!("sum={sum}").into_bytes());
        Ok(model)
    }

    fn load(&mut self, model: &[u8]) -> Result<()> {
        self.model = model.to_vec();
        Ok(())
    }
}

impl Detector for Conformance {
    fn detect(&mut self, job: &Job) -> Result<Scores> {
        let plus = |by: f64| job.values.iter().map(|value| value + by).collect();
        Ok(Scores { scores: plus(self.model.len() as f64), lower: plus(-1.0), upper: plus(1.0) })
    }
}

impl Decoder for Conformance {
    fn decode(&mut self, chunk: &Chunk, out: &mut Samples) -> Result<Consumed> {
        let (lines, bytes) = chunk.lines();
        let mut consumed = Consumed { bytes, ..Consumed::default() };
        for line in lines {
            let line = String::from_utf8_lossy(line);
            let mut words = line.split(' ');
            if line == "refuse" {
                return Err(Error::permanent("refused"));
            }
            let (Some(name), Some(value)) = (words.next(), words.next()) else {
                consumed.reject(format!("no value: {line}"));
                continue;
            };
            let value = value.parse().unwrap_or(f64::NAN);
            let at = words.next().and_then(|at| at.parse().ok());
            out.add_at(name, &[("type", &chunk.content_type)], value, at);
        }
        Ok(consumed)
    }
}

impl SampleProcessor for Conformance {
    fn process(&mut self, batch: Batch) -> Result<Batch> {
        Ok(batch.rewrite(|labels| {
            labels.remove("secret");
            labels.insert("env".to_owned(), "test".to_owned());
            !labels["__name__"].starts_with("drop_")
        }))
    }
}

fn hide(attributes: &mut [Attribute]) {
    for attribute in attributes.iter_mut().filter(|attribute| attribute.key == "secret") {
        attribute.value = AttributeValue::Text("x".to_owned());
    }
}

impl SpanProcessor for Conformance {
    fn process(&mut self, mut spans: Spans) -> Result<Spans> {
        spans.resources.iter_mut().for_each(|attributes| hide(attributes));
        spans.spans.retain(|span| span.name != "drop");
        for span in &mut spans.spans {
            let seen = AttributeValue::Int(span.attributes.len() as i64);
            span.attributes.push(Attribute { key: "seen".to_owned(), value: seen });
            hide(&mut span.attributes);
            span.events.iter_mut().for_each(|event| hide(&mut event.attributes));
        }
        Ok(spans)
    }
}

export!(
    Conformance: Collector, Prober, Discoverer, Receiver, Detector, Trainer, Decoder, SampleProcessor, SpanProcessor
);
