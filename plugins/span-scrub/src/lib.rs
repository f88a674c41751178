//! Redacts attributes, drops spans by name and keeps a share of traces, before spans are stored.
//!
//! Whether a trace is kept depends on its id alone, so that all of its spans share one fate, whichever batch brings
//! them. Spans that failed are kept whatever the share.

use serde::Deserialize;
use stormglass_sdk::{
    Attribute, AttributeValue, Plugin, Result, Span, SpanProcessor, Spans, StatusCode, span_processor,
};

/// What stands in place of a value that was redacted.
const REDACTED: &str = "[redacted]";

/// The `config:` of the plugin's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Keys of attributes, of spans, events and resources.
    redact: Vec<String>,
    /// Names of spans.
    drop_names: Vec<String>,
    /// The share of traces that is kept, 0 to 1.
    keep: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { redact: Vec::new(), drop_names: Vec::new(), keep: 1.0 }
    }
}

struct SpanScrub {
    config: Config,
}

impl Plugin for SpanScrub {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "redact": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Keys of attributes whose values are not to be stored."
            },
            "drop_names": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Names of spans that are not to be stored."
            },
            "keep": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 1,
                "description": "The share of traces to store; spans that failed are stored always."
            }
        }
    }"#;

    fn init(config: Config) -> Result<Self> {
        Ok(Self { config })
    }
}

impl SpanScrub {
    fn is_kept(&self, span: &Span) -> bool {
        if self.config.drop_names.contains(&span.name) {
            return false;
        }
        // The last eight bytes are random in every trace id, W3C's and older ones.
        let random =
            span.trace_id.iter().rev().take(8).fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        let share = random as f64 / u64::MAX as f64;
        span.status == StatusCode::Error || share < self.config.keep || self.config.keep >= 1.0
    }

    fn redact(&self, attributes: &mut [Attribute]) {
        for attribute in attributes.iter_mut().filter(|attribute| self.config.redact.contains(&attribute.key))
        {
            attribute.value = AttributeValue::Text(REDACTED.to_owned());
        }
    }
}

impl SpanProcessor for SpanScrub {
    fn process(&mut self, mut spans: Spans) -> Result<Spans> {
        spans.spans.retain(|span| self.is_kept(span));
        for attributes in &mut spans.resources {
            self.redact(attributes);
        }
        for span in &mut spans.spans {
            self.redact(&mut span.attributes);
            for event in &mut span.events {
                self.redact(&mut event.attributes);
            }
        }
        Ok(spans)
    }
}

span_processor!(SpanScrub);

#[cfg(test)]
mod tests {
    use stormglass_sdk::{SpanKind, testing};

    use super::*;

    fn span(name: &str, last: u8, status: StatusCode) -> Span {
        let text = |key: &str| Attribute { key: key.to_owned(), value: AttributeValue::Text("x".to_owned()) };
        Span {
            trace_id: [&[0; 8][..], &[last; 8][..]].concat(),
            span_id: vec![1; 8],
            parent_span_id: vec![],
            trace_state: String::new(),
            name: name.to_owned(),
            kind: SpanKind::Server,
            start_ns: 0,
            end_ns: 1,
            status,
            status_message: String::new(),
            attributes: vec![text("user.email"), text("http.route")],
            events: vec![],
            links: vec![],
            trace_flags: 0,
            resource_index: 0,
            scope_index: 0,
        }
    }

    fn process(config: &str, spans: Vec<Span>) -> Spans {
        let mut plugin: SpanScrub = testing::init(config).unwrap();
        plugin.process(Spans { resources: vec![vec![]], scopes: vec![], spans }).unwrap()
    }

    #[test]
    fn attributes_are_redacted_and_names_dropped() {
        let spans = vec![span("GET /", 0, StatusCode::Ok), span("GET /healthz", 0, StatusCode::Ok)];
        let kept = process(r#"{"redact": ["user.email"], "drop_names": ["GET /healthz"]}"#, spans).spans;
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].attributes[0].value, AttributeValue::Text(REDACTED.to_owned()));
        assert_eq!(kept[0].attributes[1].value, AttributeValue::Text("x".to_owned()));
    }

    #[test]
    fn a_share_of_traces_is_kept_and_every_failure() {
        let spans = |status| (0..=255).map(|last| span("GET /", last, status)).collect();
        assert_eq!(process(r#"{"keep": 0.25}"#, spans(StatusCode::Ok)).spans.len(), 64);
        assert_eq!(process(r#"{"keep": 0}"#, spans(StatusCode::Ok)).spans.len(), 0);
        assert_eq!(process(r#"{"keep": 0}"#, spans(StatusCode::Error)).spans.len(), 256);
        assert_eq!(process("{}", spans(StatusCode::Ok)).spans.len(), 256);
    }
}
