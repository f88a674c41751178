//! What people write into rules and routes.

use alerting::config::{matchers_text, parse_matchers};
use alerting::template::{Answers, Rendered, RuleData, Template};
use model::{Labels, Timestamp, Value};

use crate::Target;

/// Far more than an annotation needs, and little to render.
const RENDERED_BYTES_MAX: usize = 1 << 14;

pub(crate) const TEMPLATE: Target = Target {
    name: "template",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(template) = Template::parse(text) else { return };
        let labels = Labels::from_pairs([("__name__", "up"), ("instance", "a:9090")]);
        let data = RuleData::new(
            &labels,
            &Value::Float(0.5),
            &Labels::empty(),
            "http://localhost:9090",
            Timestamp::EPOCH,
        );
        if let Ok(Rendered::Text(rendered)) = template.render(&data, &Answers::default(), RENDERED_BYTES_MAX)
        {
            assert!(rendered.len() <= RENDERED_BYTES_MAX, "{} bytes came of {text:?}", rendered.len());
        }
    },
    seeds: || {
        let templates = [
            "{{ $labels.instance }} is down: {{ $value | humanizePercentage }}",
            "{{ if gt $value 0.4 }}{{ printf \"%.2f of %q\" $value \"x\" }}{{ else }}-{{ end }}",
            "{{ range $name, $text := $labels }}{{ $name }}={{ $text }},{{ end }}{{- /* none */ -}}",
        ];
        templates.iter().map(|template| template.as_bytes().to_vec()).collect()
    },
};

pub(crate) const MATCHERS: Target = Target {
    name: "matchers",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(matchers) = parse_matchers(text) else { return };
        let printed = matchers_text(&matchers);
        let again =
            parse_matchers(&printed).unwrap_or_else(|error| panic!("{printed:?} is not read again: {error}"));
        assert_eq!(matchers_text(&again), printed);
    },
    seeds: || {
        let texts = ["{severity=\"page\", team=~\"a|b\"}", "alertname!=x", "a!~\"b\\\"c\\n\",ünï=☃"];
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
};
