//! Collections from services that answer what each test says.

use std::collections::BTreeSet;

use stormglass_sdk::testing::{Host, init, render, response};

use super::*;

const DOCUMENT: &str = r#"{
    "counter": 1234, "location": "mars", "ok": true, "text": "1.5e3",
    "values": [
        {"id": "id-A", "count": 1, "some_boolean": true, "state": "ACTIVE"},
        {"id": "id-B", "count": "2", "some_boolean": false, "state": "INACTIVE"},
        {"id": 3, "count": null, "some_boolean": "true", "state": "ACTIVE"}
    ]
}"#;

fn collect(metrics: &str) -> String {
    let config = format!(r#"{{"requests": [{{"name": "r", "url": "http://a/x", "metrics": [{metrics}]}}]}}"#);
    let mut plugin: JsonApi = init(&config).unwrap();
    let mut out = Metrics::new();
    Host::new().http(|_| Ok(response(200, DOCUMENT))).run(|| plugin.collect(&mut out)).unwrap();
    let text = render(&out);
    text.strip_prefix("json_api_up{request=\"r\"} 1\n").unwrap().to_owned()
}

#[test]
fn values_are_numbers_of_the_document() {
    let check = |metric: &str, expected: &str| assert_eq!(collect(metric), expected, "{metric}");
    check(
        r#"{"name": "global_value", "path": "{.counter}", "valuetype": "counter",
            "labels": {"environment": "beta", "location": "planet-{x}", "place": "{.location}"}}"#,
        "global_value{environment=\"beta\",location=\"planet-{x}\",place=\"mars\"} 1234\n",
    );
    check(r#"{"name": "ok", "path": "/ok"}"#, "ok 1\n");
    check(r#"{"name": "text", "path": "$.text"}"#, "text 1500\n");
    check(r#"{"name": "none", "path": "{.none}"}, {"name": "word", "path": "{.location}"}"#, "");
}

#[test]
fn objects_have_labels_and_values_of_their_own() {
    assert_eq!(
        collect(
            r#"{"name": "value", "type": "object", "path": "{.values[?(@.state == \"ACTIVE\")]}", "valuetype": "gauge",
                "labels": {"id": "{.id}"}, "values": {"active": 1, "count": "{.count}", "boolean": "{.some_boolean}"}}"#
        ),
        "value_active{id=\"id-A\"} 1\nvalue_boolean{id=\"id-A\"} 1\nvalue_count{id=\"id-A\"} 1\n\
         value_active{id=\"3\"} 1\nvalue_boolean{id=\"3\"} 1\n"
    );
}

#[test]
fn a_service_that_is_away_costs_its_own_metrics() {
    let config = r#"{"requests": [
        {"url": "http://up/x?key=secret", "metrics": [{"name": "a", "path": "{.counter}"}]},
        {"url": "http://down/x?key=secret", "method": "POST", "body": "{}", "metrics": [{"name": "b", "path": "{.counter}"}]}
    ]}"#;
    let collect = |status: u16| {
        let mut plugin: JsonApi = init(config).unwrap();
        let mut out = Metrics::new();
        let host = Host::new().http(move |request| {
            Ok(match request.method.as_str() {
                "POST" => response(500, "broken"),
                _ => response(status, DOCUMENT),
            })
        });
        host.run(|| plugin.collect(&mut out)).map(|()| render(&out))
    };
    assert_eq!(
        collect(200).unwrap(),
        "json_api_up{request=\"http://up\"} 1\na 1234\njson_api_up{request=\"http://down\"} 0\n"
    );
    assert_eq!(
        collect(404).unwrap_err().message(),
        "get JSON from http://down: server answered status 500: broken"
    );
}

#[test]
fn wrong_metrics_are_refused_at_the_start() {
    let refused = |metric: &str| {
        let config = format!(r#"{{"requests": [{{"url": "http://a", "metrics": [{metric}]}}]}}"#);
        init::<JsonApi>(&config).map(drop).unwrap_err().message().to_owned()
    };
    assert_eq!(
        refused(r#"{"name": "a", "path": "{.x["}"#),
        "metric \"a\": path \"{.x[\": the closing } is missing"
    );
    assert_eq!(
        refused(r#"{"name": "a", "path": "{.x}", "type": "object"}"#),
        "metric \"a\": an object has values, and nothing else has"
    );
}

#[test]
fn the_schema_knows_every_key() {
    let schema: Value = serde_json::from_str(JsonApi::CONFIG_SCHEMA).unwrap();
    let check = |config: &str, place: &Value| {
        let keys: BTreeSet<_> = place.as_object().unwrap().keys().map(String::as_str).collect();
        let unknown = init::<JsonApi>(config).map(drop).unwrap_err();
        let known: BTreeSet<_> = unknown.message().split('`').skip(3).step_by(2).collect();
        assert_eq!(keys, known, "{unknown}");
    };
    let request = &schema["properties"]["requests"]["items"]["properties"];
    check(r#"{"requests": [{"nonsense": 1}]}"#, request);
    check(r#"{"requests": [{"metrics": [{"nonsense": 1}]}]}"#, &request["metrics"]["items"]["properties"]);
}
