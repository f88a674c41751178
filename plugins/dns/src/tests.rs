//! Answers of the DNS as targets.

use stormglass_sdk::dns::{Exchange, Service};
use stormglass_sdk::testing::{self, Host};

use super::*;

fn entry(data: Data) -> Entry {
    Entry { name: "x.".to_owned(), ttl_seconds: 60, data }
}

fn poll(config: &str, answers: Vec<Result<Vec<Entry>, dns::Error>>) -> Vec<Result<String>> {
    let mut plugin: Dns = testing::init(config).unwrap();
    let count = answers.len();
    let mut answers = answers.into_iter();
    let host = Host::new().dns(move |_, _| answers.next().unwrap());
    host.run(|| {
        let polls = (0..count / plugin.config.names.len()).map(|_| {
            let snapshot = plugin.poll()?;
            let shown = snapshot.groups.iter().flat_map(|group| {
                group.targets.iter().map(move |target| {
                    let labels = target.labels.iter().filter(|label| !label.value.is_empty());
                    let labels: Vec<_> =
                        labels.map(|l| format!("{}={}", &l.name["__meta_dns_".len()..], l.value)).collect();
                    assert_eq!(target.labels.len(), 5);
                    format!("{} {} {}", group.source, target.address, labels.join(","))
                })
            });
            Ok(shown.collect::<Vec<_>>().join("; "))
        });
        polls.collect()
    })
}

fn check(config: &str, data: Data, expected: &str) {
    let polled = poll(config, vec![Ok(vec![entry(data)])]);
    assert_eq!(polled, [Ok(expected.to_owned())]);
}

#[test]
fn every_type_of_record_is_a_target() {
    let service = Service { priority: 1, weight: 1, port: 9100, target: "a.example.".to_owned() };
    check(
        r#"{"names": ["_m._tcp"]}"#,
        Data::Srv(service),
        "_m._tcp a.example:9100 name=_m._tcp,srv_record_target=a.example.,srv_record_port=9100",
    );
    let address = |text: &str| Data::Address(text.to_owned());
    check(r#"{"names": ["a"], "type": "a", "port": 80}"#, address("192.0.2.1"), "a 192.0.2.1:80 name=a");
    check(
        r#"{"names": ["a"], "type": "AAAA", "port": 80}"#,
        address("2001:db8::1"),
        "a [2001:db8::1]:80 name=a",
    );
    let mx = Exchange { preference: 10, host: "mx.example.".to_owned() };
    check(
        r#"{"names": ["a"], "type": "MX", "port": 25}"#,
        Data::Mx(mx),
        "a mx.example:25 name=a,mx_record_target=mx.example.",
    );
    let ns = Data::Name("ns.example.".to_owned());
    check(
        r#"{"names": ["a"], "type": "NS", "port": 53}"#,
        ns,
        "a ns.example:53 name=a,ns_record_target=ns.example.",
    );
}

#[test]
fn a_name_that_cannot_be_asked_about_keeps_its_targets() {
    let config = r#"{"names": ["a", "b"], "type": "A", "port": 1}"#;
    let found = |text: &str| Ok(vec![entry(Data::Address(text.to_owned()))]);
    let answers = vec![
        found("192.0.2.1"),
        found("192.0.2.2"),
        Err(dns::Error::Timeout),
        found("192.0.2.3"),
        Err(dns::Error::NoSuchName),
        Ok(Vec::new()),
    ];
    let polled = poll(config, answers);
    assert_eq!(polled[0].as_deref(), Ok("a 192.0.2.1:1 name=a; b 192.0.2.2:1 name=b"));
    assert_eq!(polled[1].as_deref(), Ok("a 192.0.2.1:1 name=a; b 192.0.2.3:1 name=b"));
    assert_eq!(polled[2].as_deref(), Ok(""));
    let polled = poll(config, vec![Err(dns::Error::Timeout), found("192.0.2.2")]);
    assert_eq!(polled[0].as_ref().unwrap_err().to_string(), "look up a: no answer in time");
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let refused = |config: &str| testing::init::<Dns>(config).err().unwrap().to_string();
    let port = "a port is required in DNS-SD configs for all record types except SRV";
    assert_eq!(refused(r#"{"names": ["a"], "type": "A"}"#), port);
    assert!(refused(r#"{"names": ["a"], "type": "CNAME"}"#).contains("invalid DNS-SD records type CNAME"));
}
