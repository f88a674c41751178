//! Adds to spans.

use stormglass_sdk::{
    Attribute, AttributeValue, NoConfig, Plugin, Result, SpanProcessor, Spans, span_processor,
};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl SpanProcessor for Hello {
    fn process(&mut self, mut spans: Spans) -> Result<Spans> {
        for span in &mut spans.spans {
            let value = AttributeValue::Text("earth".to_owned());
            span.attributes.push(Attribute { key: "planet".to_owned(), value });
        }
        Ok(spans)
    }
}

span_processor!(Hello);
