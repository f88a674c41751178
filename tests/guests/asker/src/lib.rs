//! A collector that asks the host for everything there is, and tells as samples what it was answered: `asker_answer` has
//! what came of each request, `asker_denied` which requests were refused. Told to blab, it does what no plugin should: it
//! writes what it knows of secrets to the log, to its standard error and into its errors.

use serde::Deserialize;
use stormglass_sdk::{
    Collector, Error, Metrics, Plugin, Result, clock, collector, files, http, kv, log, query, secrets,
    telemetry,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What is asked over HTTP.
    url: String,
    /// How it blabs, if it does.
    #[serde(default)]
    blab: Option<Blab>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Blab {
    /// In an error.
    Fail,
    /// As it panics.
    Panic,
}

struct Asker {
    config: Config,
}

impl Plugin for Asker {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false, "required": ["url"], "properties": {"url": {"type": "string"}, "blab": {"enum": ["fail", "panic"]}}}"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Collector for Asker {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        if let Some(blab) = self.config.blab {
            let secret = secrets::get("open")?;
            let echo = http::get(&self.config.url)?;
            let echo = String::from_utf8_lossy(&echo.body).replace("\r\n", " ");
            log::info!("the log is told {secret} and {echo}");
            let what = format!("it ends with {secret} and {echo}");
            match blab {
                Blab::Fail => return Err(Error::permanent(what)),
                Blab::Panic => panic!("{what}"),
            }
        }
        let count = kv::get_json::<f64>("count")?.unwrap_or(0.0) + 1.0;
        kv::set_json("count", &count)?;
        telemetry::counter_add("asked_total", &[("by", "asker")], 1.0);
        telemetry::gauge_set("last_asked", &[], clock::now_ms() as f64);
        telemetry::gauge_set("no name", &[], 1.0);
        let value = |batch: stormglass_sdk::Batch| {
            let sample = batch.samples(0).next();
            sample.map_or(f64::NAN, |(_, value)| value)
        };
        let answers: [(&str, Result<f64>); 6] = [
            ("kv", Ok(count)),
            ("secret", secrets::get("open").map(|secret| secret.len() as f64).map_err(Into::into)),
            ("sent secret", secrets::get("sent").map(|secret| secret.len() as f64).map_err(Into::into)),
            ("query", query::instant("vector(7)").map(value).map_err(Into::into)),
            ("http", http::get(&self.config.url).map(|answer| f64::from(answer.status)).map_err(Into::into)),
            ("files", files::read("/etc/hostname").map(|file| file.len() as f64).map_err(Into::into)),
        ];
        for (what, answer) in answers {
            match answer {
                Ok(value) => out.gauge("asker_answer", "What was answered.").set(&[("to", what)], value),
                Err(error) => out
                    .gauge("asker_denied", "What was refused, and why.")
                    .set(&[("what", what), ("why", &error.to_string())], 1.0),
            };
        }
        Ok(())
    }
}

collector!(Asker);
