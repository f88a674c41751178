//! Asks an HTTP endpoint and tells whether and how it answered, as `probe_*` metrics. Scrape jobs ask for it at
//! `/api/v1/plugins/<name>/probe`; a target is a URL, or `host:port` for `http://host:port/`.
//!
//! The parameter `module` of the job picks one of the `modules` of the configuration; without it, the first by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use stormglass_sdk::http::{Request, Response};
use stormglass_sdk::{
    ConfigDuration, Error, Label, Metrics, Plugin, Prober, Result, Wish, clock, http, prober,
};

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    modules: BTreeMap<String, Module>,
}

/// How a target is asked, and which answer is good.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    timeout: Option<ConfigDuration>,
    /// Statuses that are good; 200 to 299 where there is none.
    #[serde(default)]
    valid_status_codes: Vec<u16>,
    /// A text that the body must have.
    #[serde(default)]
    body_contains: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

struct HttpProbe {
    config: Config,
}

impl Plugin for HttpProbe {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["modules"],
        "properties": {
            "modules": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "method": {"type": "string", "default": "GET"},
                        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                        "body": {"type": "string"},
                        "timeout": {"type": "string", "pattern": "^([0-9]+(ms|[ywdhms]))+$"},
                        "valid_status_codes": {
                            "type": "array",
                            "items": {"type": "integer", "minimum": 100, "maximum": 599}
                        },
                        "body_contains": {"type": "string"}
                    }
                }
            }
        }
    }"#;

    const WISHES: &'static [Wish] =
        &[Wish { capability: "http", target: "every target of the job", reason: "ask it" }];

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl Prober for HttpProbe {
    fn probe(&mut self, target: &str, params: &[Label], out: &mut Metrics) -> Result<()> {
        let name = params.iter().find(|param| param.name == "module").map(|param| param.value.as_str());
        let module = match name {
            Some(name) => self.config.modules.get(name),
            None => self.config.modules.values().next(),
        };
        let module = module
            .ok_or_else(|| Error::permanent(format!("there is no module {:?}", name.unwrap_or_default())))?;
        let url = if target.contains("://") { target.to_owned() } else { format!("http://{target}/") };
        let started = clock::now_ms();
        let answer = request(module, &url).send();
        let seconds = (clock::now_ms() - started) as f64 / 1000.0;
        // What was denied is the operator's to mend, and nothing about the target.
        if let Err(error @ (http::Error::Denied(_) | http::Error::Invalid(_))) = answer {
            return Err(error.into());
        }
        out.gauge("probe_duration_seconds", "Time until the whole answer was there.").set(&[], seconds);
        let success = match &answer {
            Ok(response) => {
                tell(response, out);
                is_good(module, response)
            }
            Err(error) => {
                let phase = if matches!(error, http::Error::Connect(_)) { "connect" } else { "transfer" };
                out.gauge("probe_failed_phase", "1 for where the probe ended.").set(&[("phase", phase)], 1.0);
                false
            }
        };
        out.gauge("probe_success", "Whether the answer was a good one.")
            .set(&[], f64::from(u8::from(success)));
        Ok(())
    }
}

fn request(module: &Module, url: &str) -> Request {
    let request = Request::new(&module.method, url).body(module.body.clone());
    let request = module.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    match module.timeout {
        Some(timeout) => request.timeout(timeout.0),
        None => request,
    }
}

fn tell(response: &Response, out: &mut Metrics) {
    out.gauge("probe_http_status_code", "Status of the answer.").set(&[], f64::from(response.status));
    out.gauge("probe_http_content_length", "Bytes of the answer's body.")
        .set(&[], response.body.len() as f64);
}

fn is_good(module: &Module, response: &Response) -> bool {
    let status = if module.valid_status_codes.is_empty() {
        response.is_success()
    } else {
        module.valid_status_codes.contains(&response.status)
    };
    status && module.body_contains.as_ref().is_none_or(|wanted| response.text().contains(wanted))
}

prober!(HttpProbe);

#[cfg(test)]
mod tests {
    use stormglass_sdk::testing;

    use super::*;

    const CONFIG: &str =
        r#"{"modules": {"http_2xx": {}, "login": {"body_contains": "Log in", "valid_status_codes": [401]}}}"#;

    fn check(params: &[Label], answer: Result<Response, http::Error>, expected: &[&str]) {
        let mut plugin: HttpProbe = testing::init(CONFIG).unwrap();
        let mut out = Metrics::new();
        let mut answer = Some(answer);
        let host = testing::Host::new().http(move |request| {
            assert_eq!(request.url, "http://shop:80/");
            answer.take().unwrap()
        });
        host.run(|| plugin.probe("shop:80", params, &mut out)).unwrap();
        assert_eq!(testing::render(&out).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn answers_are_judged_by_the_module() {
        let good = [
            "probe_duration_seconds 0",
            "probe_http_status_code 200",
            "probe_http_content_length 2",
            "probe_success 1",
        ];
        check(&[], Ok(testing::response(200, "ok")), &good);
        let login = [Label::new("module", "login")];
        let mut bad = good.map(str::to_owned);
        bad[3] = "probe_success 0".to_owned();
        check(&login, Ok(testing::response(200, "ok")), &bad.each_ref().map(String::as_str));
        check(
            &login,
            Ok(testing::response(401, "Log in")),
            &[
                "probe_duration_seconds 0",
                "probe_http_status_code 401",
                "probe_http_content_length 6",
                "probe_success 1",
            ],
        );
    }

    #[test]
    fn a_target_that_does_not_answer_is_an_answer() {
        check(
            &[],
            Err(http::Error::Connect("refused".to_owned())),
            &["probe_duration_seconds 0", "probe_failed_phase{phase=\"connect\"} 1", "probe_success 0"],
        );
    }

    #[test]
    fn what_the_operator_must_mend_is_an_error() {
        let mut plugin: HttpProbe = testing::init(CONFIG).unwrap();
        let error = testing::Host::new().run(|| plugin.probe("shop:80", &[], &mut Metrics::new()));
        assert!(error.unwrap_err().to_string().contains("not granted"));
        let params = [Label::new("module", "none")];
        let error = testing::Host::new().run(|| plugin.probe("shop:80", &params, &mut Metrics::new()));
        assert_eq!(error.unwrap_err().to_string(), "there is no module \"none\"");
    }
}
