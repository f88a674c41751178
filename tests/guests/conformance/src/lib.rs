//! The conformance plugin in Rust: see `sdk/conformance`.

use serde::Deserialize;
use serde_json::Value;
use stormglass_sdk::{Collector, Error, Metrics, Plugin, Result, clock, collector, files, http, log};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    ops: Vec<Vec<Value>>,
}

struct Conformance {
    ops: Vec<Vec<Value>>,
    calls: u32,
}

impl Plugin for Conformance {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = r#"{"type":"object","required":["ops"],
        "properties":{"ops":{"type":"array","items":{"type":"array"}}}}"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { ops: config.ops, calls: 0 })
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
                other => return Err(Error::permanent(format!("no operation {other:?}"))),
            }
        }
        Ok(())
    }
}

collector!(Conformance);
