//! Who is told, as configurations come and go.

use model::{Labels, Timestamp};

use super::*;

fn notifier() -> Notifier {
    Notifier::new(QueueOptions { capacity: 10, batch: 2 }, &prometheus::Registry::new()).unwrap()
}

fn config(text: &str) -> AlertingConfig {
    serde_saphyr::from_str(text).unwrap()
}

fn finder() -> Manager {
    struct Nowhere;
    impl model::Append for Nowhere {
        fn appender(&self) -> Box<dyn model::Appender + '_> {
            unreachable!("nothing is scraped")
        }
    }
    Manager::new(Arc::new(Nowhere), &prometheus::Registry::new()).unwrap()
}

fn apply(notifier: &Notifier, finder: &Manager, text: &str) -> Alertmanagers {
    let config = config(text);
    let jobs = Notifier::sought(&config);
    finder.apply_with(&scrape::config::GlobalConfig::default(), &[], &jobs).unwrap();
    notifier.apply(Notifier::prepare(&config).unwrap(), finder);
    notifier.alertmanagers()
}

#[tokio::test]
async fn those_that_stay_keep_what_waits_for_them() {
    // Nobody answers there; what is sent is lost and what waits is counted.
    const ONE: &str = "alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9', 'b:1']}], \
        relabel_configs: [{action: drop, source_labels: [__address__], regex: 'b.*'}]}]";
    let (notifier, finder) = (notifier(), finder());
    let known = apply(&notifier, &finder, ONE);
    assert_eq!(known.active, ["http://127.0.0.1:9/api/v2/alerts"]);
    assert_eq!(known.dropped, ["http://b:1/api/v2/alerts"]);
    let queue = |notifier: &Notifier| {
        let state = notifier.state.lock();
        Arc::clone(&state.sets[0].queues.values().next().unwrap().queue)
    };
    let before = queue(&notifier);
    assert_eq!(apply(&notifier, &finder, ONE), known);
    assert!(Arc::ptr_eq(&before, &queue(&notifier)));
    let moved =
        apply(&notifier, &finder, "alertmanagers: [{scheme: https, static_configs: [{targets: ['c:2']}]}]");
    assert_eq!(moved.active, ["https://c:2/api/v2/alerts"]);
    assert_eq!(apply(&notifier, &finder, "{}"), Alertmanagers::default());
    notifier.stop(true).await;
}

#[test]
fn alerts_are_relabelled_or_dropped() {
    let alert = |severity: &str| Alert {
        labels: Labels::from_pairs([("alertname", "a"), ("severity", severity)]),
        annotations: Labels::empty(),
        starts_at: Timestamp::EPOCH,
        ends_at: None,
        generator_url: String::new(),
    };
    let rules = "alert_relabel_configs: [{action: drop, source_labels: [severity], regex: none}, \
                 {target_label: via, replacement: x}]";
    let left = relabelled(&[alert("page"), alert("none")], &config(rules).alert_relabel_configs);
    let labels: Vec<String> = left.iter().map(|alert| alert.labels.to_string()).collect();
    assert_eq!(labels, [r#"{alertname="a", severity="page", via="x"}"#]);
    let all = "alert_relabel_configs: [{action: labeldrop, regex: '.*'}]";
    assert!(relabelled(&[alert("page")], &config(all).alert_relabel_configs).is_empty());
}
