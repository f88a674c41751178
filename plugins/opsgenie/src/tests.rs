//! Alerts to an Opsgenie that answers what each test says.

use stormglass_sdk::http::{Header, Response};
use stormglass_sdk::testing::{self, Host, init, response};
use stormglass_sdk::{Error, Label};

use super::*;

fn notification(status: AlertStatus, texts: &[(&str, &str)]) -> Notification {
    Notification {
        status,
        common_labels: vec![Label::new("alertname", "Down"), Label::new("job", "api")],
        ..testing::notification(texts)
    }
}

fn notify(config: &str, notification: &Notification, answer: Response) -> (Result<()>, Vec<Request>) {
    let host = Host::new().secret("api_key", "k3y").http(move |_| Ok(answer.clone()));
    let mut plugin: Opsgenie = init(config).unwrap();
    host.run(|| (plugin.notify(notification), testing::requests()))
}

fn accepted() -> Response {
    response(202, r#"{"result": "Request will be processed", "took": 0.1, "requestId": "r"}"#)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn an_alert_is_created_and_closed_by_its_alias() {
    let texts = [
        ("message", "Down"),
        ("description", "it is"),
        ("source", "http://am"),
        ("responders/1/name", "a, b"),
    ];
    let config = r#"{"tags": "x, y,", "priority": "P1", "details": {"job": "mine"}, "api_url": "https://api.eu.opsgenie.com",
        "responders": [{"username": "u@example.com", "type": "User"}, {"name": "{{ x }}", "type": "teams"}, {"id": "", "type": "team"}]}"#;
    let (result, requests) = notify(config, &notification(AlertStatus::Firing, &texts), accepted());
    result.unwrap();
    let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("POST", "https://api.eu.opsgenie.com/v2/alerts")
    );
    assert!(request.headers.contains(&Header { name: "Authorization".into(), value: "GenieKey k3y".into() }));
    let alias = body(request)["alias"].as_str().unwrap().to_owned();
    assert_eq!(
        body(request),
        json!({
            "alias": alias,
            "message": "Down",
            "description": "it is",
            "source": "http://am",
            "priority": "P1",
            "tags": ["x", "y"],
            "details": {"alertname": "Down", "job": "mine"},
            "responders": [
                {"username": "u@example.com", "type": "user"},
                {"name": "a", "type": "team"},
                {"name": "b", "type": "team"}
            ]
        })
    );
    let (result, requests) = notify("{}", &notification(AlertStatus::Resolved, &texts[2..3]), accepted());
    result.unwrap();
    assert_eq!(
        requests[0].url,
        format!("https://api.opsgenie.com/v2/alerts/{alias}/close?identifierType=alias")
    );
    assert_eq!(body(&requests[0]), json!({"source": "http://am"}));
}

#[test]
fn alerts_that_go_on_are_updated_where_that_is_wanted() {
    let texts = [("message", "m"), ("description", "d")];
    let config = r#"{"update_alerts": true}"#;
    let (_, requests) = notify(config, &notification(AlertStatus::Firing, &texts), accepted());
    let told: Vec<_> = requests[1..]
        .iter()
        .map(|r| (r.method.as_str(), r.url.rsplit('/').next().unwrap(), body(r)))
        .collect();
    assert_eq!(
        told,
        [
            ("PUT", "message?identifierType=alias", json!({"message": "m"})),
            ("PUT", "description?identifierType=alias", json!({"description": "d"})),
        ]
    );
}

#[test]
fn texts_are_cut_to_what_the_api_takes() {
    let long = "x".repeat(20_000);
    let texts = [("message", long.as_str()), ("description", long.as_str())];
    let config = format!(r#"{{"details": {{"a": "{}", "b": "{long}", "job": "j"}}}}"#, "y".repeat(7000));
    let (_, requests) = notify(&config, &notification(AlertStatus::Firing, &texts), accepted());
    let alert = body(&requests[0]);
    let chars = |name: &str| alert[name].as_str().unwrap().chars().count();
    assert_eq!((chars("message"), chars("description")), (130, 15_000));
    assert_eq!(alert["details"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "alertname"]);
}

#[test]
fn what_may_pass_is_retryable() {
    for (answer, expected) in [
        (response(429, ""), Err(Error::retryable("server answered status 429"))),
        (response(503, ""), Err(Error::retryable("server answered status 503"))),
        (response(422, "no"), Err(Error::permanent("server answered status 422: no"))),
    ] {
        let expected = expected.map_err(|e: Error| e.context("send an alert to https://api.opsgenie.com"));
        assert_eq!(notify("{}", &notification(AlertStatus::Firing, &[]), answer).0, expected);
    }
}

#[test]
fn the_schema_knows_every_key() {
    testing::assert_schema_has_every_key::<Opsgenie>(r#"{"nonsense": 1}"#);
}
