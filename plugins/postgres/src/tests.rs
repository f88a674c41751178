//! What becomes of answers, and whose fault a failure is.

use stormglass_sdk::testing::{self, Host, Script};

use super::*;

const CONFIG: &str = r#"{"address": "db", "user": "monitor", "sslmode": "disable"}"#;

fn collect(config: &str, host: Host) -> Result<Vec<String>> {
    let mut plugin: Postgres = testing::init(config)?;
    let mut out = Metrics::new();
    host.run(|| plugin.collect(&mut out))?;
    Ok(testing::render(&out).lines().map(str::to_owned).collect())
}

#[test]
fn versions_are_numbers() {
    let check = |text: &str, expected: u32| assert_eq!(version_number(text), expected, "{text}");
    check("15.4 (Debian 15.4-1)", 150_004);
    check("9.6.24", 90_624);
    check("17beta1", 170_000);
    check("", 0);
}

#[test]
fn columns_become_labels_and_values() {
    let value = |text: &str| Some(text.to_owned());
    let rows = Rows {
        columns: ["mode", "count", "datname"].map(str::to_owned).to_vec(),
        rows: vec![
            vec![value("sharelock"), value("3"), value("a")],
            vec![value("sharelock"), None, value("b")],
            vec![value("sharelock"), value("t"), None],
        ],
    };
    let locks = QUERIES.iter().find(|query| query.collector == "locks").unwrap();
    let mut out = Metrics::new();
    tell(locks, &rows, &mut out);
    assert_eq!(
        testing::render(&out),
        "pg_locks_count{datname=\"a\",mode=\"sharelock\"} 3\npg_locks_count{datname=\"\",mode=\"sharelock\"} 1\n"
    );
    let custom = r#"{"name": "app", "query": "SELECT", "columns":
        {"mode": {"usage": "LABEL"}, "count": {"usage": "COUNTER"}, "gone": {"usage": "GAUGE"}}}"#;
    let custom: Custom = serde_json::from_str(custom).unwrap();
    let mut out = Metrics::new();
    custom.tell(&rows, &mut out);
    assert_eq!(testing::render(&out), "app_count{mode=\"sharelock\"} 3\napp_count{mode=\"sharelock\"} 1\n");
}

#[test]
fn a_query_has_no_metric_twice_for_one_version() {
    for version in [90_600, 150_000, 170_000] {
        let mut names = BTreeSet::new();
        for query in QUERIES.iter().filter(|q| (q.versions.0..q.versions.1).contains(&version)) {
            for (column, _, help) in query.values {
                assert!(names.insert(format!("{}_{column}", query.name)), "{}_{column}", query.name);
                assert!(help.ends_with('.'), "{help}");
                assert!(query.sql.contains(column), "{column} is not in {}", query.sql);
            }
        }
    }
}

#[test]
fn a_server_without_tls_is_refused_unless_it_is_said_that_it_will_do() {
    let request = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
    let server = || Host::new().connection("db:5432", Script::new().expect(request).answer("N"));
    let lines = collect(r#"{"address": "db", "user": "monitor"}"#, server()).unwrap();
    let expected =
        "pg_exporter_last_scrape_error{err=\"the server does not speak TLS, which sslmode requires\"} 1";
    assert_eq!(lines, ["pg_up 0", expected]);
    let lines = collect(r#"{"address": "db", "user": "monitor", "sslmode": "prefer"}"#, server()).unwrap();
    assert!(lines[1].contains("the test expects nothing"), "it goes on in plain text: {lines:?}");
    let error = collect(CONFIG, Host::new()).unwrap_err();
    assert_eq!(error.to_string(), "net: db:5432 is not granted");
}

#[test]
fn what_cannot_yield_anything_is_refused() {
    let config = r#"{"address": "db", "user": "u", "queries": [{"name": "q", "query": "SELECT 1",
        "columns": {"a": {"usage": "LABEL"}}}]}"#;
    let error = collect(config, Host::new()).unwrap_err();
    assert_eq!(error.to_string(), "query q: no column is a GAUGE or a COUNTER");
}
