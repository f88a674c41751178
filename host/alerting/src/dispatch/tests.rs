//! The dispatcher, driven by a paused clock, with receivers that remember what they were told.

use std::collections::VecDeque;

use async_trait::async_trait;
use expect_test::expect;

use super::*;
use crate::clock::testing::TokioClock;
use crate::notification::{Notification, NotifyError, Status};

const BASE_MS: i64 = 1_700_000_000_000;

/// Remembers notifications; answers with the queued failures first.
struct Recorder {
    clock: Arc<TokioClock>,
    told: Mutex<Vec<(i64, Notification)>>,
    failures: Mutex<VecDeque<NotifyError>>,
}

#[async_trait]
impl Receiver for Recorder {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        let second = (self.clock.now().millis() - BASE_MS) / 1000;
        self.told.lock().push((second, notification.clone()));
        self.failures.lock().pop_front().map_or(Ok(()), Err)
    }
}

impl Recorder {
    /// `second status key alerts`, a line for each call; empties the list.
    fn told(&self) -> String {
        let told = std::mem::take(&mut *self.told.lock());
        let lines = told.iter().map(|(second, n)| {
            let alerts: Vec<_> = n
                .alerts
                .iter()
                .map(|a| {
                    let sign = if a.status == Status::Firing { '+' } else { '-' };
                    format!("{sign}{}", a.labels.get("instance").unwrap_or_default())
                })
                .collect();
            format!("{second} {:?} {} {}\n", n.status, n.group_key, alerts.join(" "))
        });
        lines.collect()
    }
}

struct Bench {
    clock: Arc<TokioClock>,
    recorder: Arc<Recorder>,
    dispatcher: Dispatcher,
    state_file: Option<PathBuf>,
}

const SIMPLE: &str = "
route: {receiver: hook, group_by: [alertname], group_wait: 10s, group_interval: 1m, repeat_interval: 1h}
receivers: [{name: hook, plugin_configs: [{plugin: webhook}]}]
";

fn config(text: &str) -> Config {
    serde_saphyr::from_str(text).unwrap()
}

fn receivers(recorder: &Arc<Recorder>) -> HashMap<String, Arc<dyn Receiver>> {
    HashMap::from([("webhook".to_owned(), Arc::clone(recorder) as Arc<dyn Receiver>)])
}

fn unconfigured(clock: &Arc<TokioClock>, state_file: Option<PathBuf>) -> Dispatcher {
    let options = DispatcherOptions {
        external_url: "http://here:9090".to_owned(),
        state_file,
        clock: Arc::clone(clock) as _,
    };
    Dispatcher::new(options, &prometheus::Registry::new()).unwrap()
}

impl Bench {
    fn new(text: &str, state_file: Option<PathBuf>) -> Self {
        Self::with_clock(Arc::new(TokioClock::starting_at(BASE_MS)), text, state_file)
    }

    fn with_clock(clock: Arc<TokioClock>, text: &str, state_file: Option<PathBuf>) -> Self {
        let recorder = Arc::new(Recorder {
            clock: Arc::clone(&clock),
            told: Mutex::new(Vec::new()),
            failures: Mutex::new(VecDeque::new()),
        });
        let dispatcher = unconfigured(&clock, state_file.clone());
        dispatcher.apply(config(text), receivers(&recorder)).unwrap();
        Self { clock, recorder, dispatcher, state_file }
    }

    /// Another dispatcher over the same state file, without a configuration.
    fn unconfigured(&self) -> Dispatcher {
        unconfigured(&self.clock, self.state_file.clone())
    }

    async fn restart(self, text: &str) -> Self {
        self.dispatcher.stop().await.unwrap();
        Self::with_clock(self.clock, text, self.state_file)
    }

    fn alert(&self, name: &str, instance: &str, ends_in: Option<i64>) -> Alert {
        let now = self.clock.now();
        Alert {
            labels: Labels::from_pairs([("alertname", name), ("instance", instance), ("severity", "page")]),
            annotations: Labels::from_pairs([("summary", "it is down"), ("where", instance)]),
            starts_at: now,
            ends_at: ends_in.map(|seconds| now.offset(seconds * 1000)),
            generator_url: "http://here:9090/graph".to_owned(),
        }
    }

    fn fire(&self, name: &str, instance: &str) {
        self.dispatcher.put(vec![self.alert(name, instance, Some(100_000))]);
    }

    fn resolve(&self, name: &str, instance: &str) {
        self.dispatcher.put(vec![self.alert(name, instance, Some(0))]);
    }

    /// Sleeps until that many seconds after the start.
    async fn until(&self, second: i64) {
        let wait = second * 1000 + BASE_MS - self.clock.now().millis();
        tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn groups_wait_grow_repeat_and_resolve() {
    let bench = Bench::new(SIMPLE, None);
    bench.fire("Down", "b");
    bench.fire("Full", "x");
    bench.until(5).await;
    bench.fire("Down", "a");
    bench.until(30).await;
    bench.fire("Down", "c");
    bench.until(1000).await;
    bench.resolve("Down", "a");
    bench.until(1100).await;
    bench.resolve("Down", "b");
    bench.resolve("Down", "c");
    bench.until(9000).await;
    expect![[r#"
        10 Firing {}:{alertname="Down"} +a +b
        10 Firing {}:{alertname="Full"} +x
        70 Firing {}:{alertname="Down"} +a +b +c
        1030 Firing {}:{alertname="Down"} -a +b +c
        1150 Resolved {}:{alertname="Down"} -b -c
        3670 Firing {}:{alertname="Full"} +x
        7330 Firing {}:{alertname="Full"} +x
    "#]]
    .assert_eq(&bench.recorder.told());
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_body_is_version_4() {
    let bench = Bench::new(SIMPLE, None);
    bench.fire("Down", "a");
    bench.until(11).await;
    let told = bench.recorder.told.lock().remove(0).1;
    expect![[r#"
        {
          "receiver": "hook",
          "status": "firing",
          "alerts": [
            {
              "status": "firing",
              "labels": {
                "alertname": "Down",
                "instance": "a",
                "severity": "page"
              },
              "annotations": {
                "summary": "it is down",
                "where": "a"
              },
              "startsAt": "2023-11-14T22:13:20Z",
              "endsAt": "0001-01-01T00:00:00Z",
              "generatorURL": "http://here:9090/graph",
              "fingerprint": "FINGERPRINT"
            }
          ],
          "groupLabels": {
            "alertname": "Down"
          },
          "commonLabels": {
            "alertname": "Down",
            "instance": "a",
            "severity": "page"
          },
          "commonAnnotations": {
            "summary": "it is down",
            "where": "a"
          },
          "externalURL": "http://here:9090",
          "version": "4",
          "groupKey": "{}:{alertname=\"Down\"}",
          "truncatedAlerts": 0
        }"#]]
    .assert_eq(
        &serde_json::to_string_pretty(&told)
            .unwrap()
            .replace(&told.alerts[0].fingerprint.to_string(), "FINGERPRINT"),
    );
    assert_eq!(told.attempt, 1);
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_with_the_same_key_until_the_deadline() {
    let bench = Bench::new(SIMPLE, None);
    let later = |seconds| NotifyError::Retryable {
        message: "busy".to_owned(),
        after: Some(Duration::from_secs(seconds)),
    };
    bench.recorder.failures.lock().extend([later(20), later(5)]);
    bench.fire("Down", "a");
    bench.until(50).await;
    let told = std::mem::take(&mut *bench.recorder.told.lock());
    let attempts: Vec<_> = told.iter().map(|(second, n)| (*second, n.attempt)).collect();
    assert_eq!(attempts, [(10, 1), (30, 2), (35, 3)]);
    assert!(told.iter().all(|(_, n)| n.idempotency_key == told[0].1.idempotency_key));
    // Asked to wait beyond the deadline: the next round of the group tries again.
    bench.recorder.failures.lock().extend([later(300), NotifyError::Permanent { message: "no".to_owned() }]);
    bench.fire("Down", "b");
    bench.until(400).await;
    expect![[r#"
        70 Firing {}:{alertname="Down"} +a +b
        130 Firing {}:{alertname="Down"} +a +b
        190 Firing {}:{alertname="Down"} +a +b
    "#]]
    .assert_eq(&bench.recorder.told());
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_restart_repeats_nothing_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(SIMPLE, Some(folder.path().join("state").join("alerts.json")));
    bench.fire("Down", "a");
    bench.fire("Full", "x");
    bench.until(20).await;
    assert_eq!(bench.recorder.told().lines().count(), 2);
    let bench = bench.restart(SIMPLE).await;
    bench.until(300).await;
    assert_eq!(bench.recorder.told(), "");
    assert_eq!(bench.dispatcher.alerts().len(), 2);
    // What is resolved after the restart is told, and what fires on is repeated when its time has come.
    bench.resolve("Down", "a");
    bench.until(4000).await;
    let told = bench.recorder.told();
    assert!(told.contains("Resolved {}:{alertname=\"Down\"} -a"), "{told}");
    assert!(told.contains("Firing {}:{alertname=\"Full\"} +x"), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_the_server_was_down_is_told_once_receivers_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(SIMPLE, Some(folder.path().join("alerts.json")));
    bench.dispatcher.put(vec![bench.alert("Down", "a", Some(100)), bench.alert("Full", "x", Some(300))]);
    bench.until(20).await;
    assert_eq!(bench.recorder.told().lines().count(), 2);
    bench.resolve("Down", "a");
    // Too soon for the group to tell that it is over.
    bench.dispatcher.stop().await.unwrap();
    bench.until(600).await;
    // Preparing plugins takes a while before the first configuration is in force.
    let dispatcher = bench.unconfigured();
    bench.until(700).await;
    dispatcher.put(vec![bench.alert("Late", "y", None)]);
    assert_eq!(bench.recorder.told(), "");
    dispatcher.apply(config(SIMPLE), receivers(&bench.recorder)).unwrap();
    bench.until(800).await;
    expect![[r#"
        700 Resolved {}:{alertname="Down"} -a
        710 Firing {}:{alertname="Late"} +y
    "#]]
    .assert_eq(&bench.recorder.told());
    // What fired when the server stopped had 280 s left, and has them still: nobody could repeat it meanwhile.
    bench.until(990).await;
    expect![[r#"
        880 Resolved {}:{alertname="Full"} -x
    "#]]
    .assert_eq(&bench.recorder.told());
    dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_kept_until_it_has_been_told() {
    let folder = tempfile::tempdir().unwrap();
    let text = SIMPLE.replace("group_interval: 1m", "group_interval: 10m");
    let bench = Bench::new(&text, Some(folder.path().join("alerts.json")));
    bench.fire("Down", "a");
    bench.fire("Full", "x");
    bench.until(20).await;
    bench.resolve("Down", "a");
    assert_eq!(bench.recorder.told().lines().count(), 2);
    // Maintenance has passed several times before the group would tell.
    bench.until(200).await;
    bench.dispatcher.apply(config(&text), receivers(&bench.recorder)).unwrap();
    bench.until(300).await;
    expect![[r#"
        200 Resolved {}:{alertname="Down"} -a
    "#]]
    .assert_eq(&bench.recorder.told());
    bench.resolve("Full", "x");
    bench.until(400).await;
    let bench = bench.restart(&text).await;
    bench.until(500).await;
    expect![[r#"
        400 Resolved {}:{alertname="Full"} -x
    "#]]
    .assert_eq(&bench.recorder.told());
    bench.until(2000).await;
    assert_eq!(bench.dispatcher.shared.store.lock().all(), []);
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn alerts_end_when_their_sender_falls_silent() {
    let bench = Bench::new(SIMPLE, None);
    bench.dispatcher.put(vec![bench.alert("Down", "a", None), bench.alert("Down", "b", Some(200))]);
    bench.until(1000).await;
    expect![[r#"
        10 Firing {}:{alertname="Down"} +a +b
        250 Firing {}:{alertname="Down"} +a -b
        310 Resolved {}:{alertname="Down"} -a
    "#]]
    .assert_eq(&bench.recorder.told());
    assert_eq!(bench.dispatcher.alerts(), []);
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn integrations_differ() {
    let bench = Bench::new(
        "
route: {receiver: hook, group_wait: 10s, group_interval: 1m}
receivers: [{name: hook, plugin_configs: [{plugin: webhook, send_resolved: false, max_alerts: 1}, {plugin: webhook}]}]
",
        None,
    );
    bench.fire("Down", "a");
    bench.fire("Down", "b");
    bench.until(15).await;
    let truncated: Vec<_> = bench.recorder.told.lock().iter().map(|(_, n)| n.truncated_alerts).collect();
    assert_eq!(truncated, [1, 0]);
    bench.resolve("Down", "a");
    bench.resolve("Down", "b");
    bench.until(200).await;
    expect![[r"
        10 Firing {}:{} +a
        10 Firing {}:{} +a +b
        70 Resolved {}:{} -a -b
    "]]
    .assert_eq(&bench.recorder.told());
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn inhibited_alerts_are_held_back() {
    let bench = Bench::new(
        "
route: {receiver: hook, group_by: ['...'], group_wait: 10s, group_interval: 1m}
receivers: [{name: hook, plugin_configs: [{plugin: webhook}]}]
inhibit_rules:
  - {source_matchers: ['alertname=Dead'], target_matchers: ['severity=page'], equal: [instance]}
",
        None,
    );
    // The source matches the target side too, and does not hold itself back.
    bench.fire("Dead", "a");
    bench.fire("Slow", "a");
    bench.fire("Slow", "b");
    bench.until(30).await;
    bench.resolve("Dead", "a");
    bench.until(100).await;
    let told = bench.recorder.told();
    let short: Vec<_> = told
        .lines()
        .map(|line| {
            format!("{} {}", line.split(' ').next().unwrap(), line.split_once("alertname").unwrap().1)
        })
        .collect();
    expect![[r#"
        10 ="Dead", instance="a", severity="page"} +a
        10 ="Slow", instance="b", severity="page"} +b
        70 ="Dead", instance="a", severity="page"} -a
        70 ="Slow", instance="a", severity="page"} +a"#]]
    .assert_eq(&short.join("\n"));
    bench.dispatcher.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_configuration_takes_over() {
    let bench = Bench::new(SIMPLE, None);
    bench.fire("Down", "a");
    bench.until(20).await;
    let other = SIMPLE.replace("[alertname]", "[instance]");
    bench.dispatcher.apply(config(&other), receivers(&bench.recorder)).unwrap();
    let unknown = SIMPLE.replace("plugin: webhook", "plugin: other");
    let refused = bench.dispatcher.apply(config(&unknown), receivers(&bench.recorder)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "receiver \"hook\" names plugin \"other\", which is not configured: add it under plugins"
    );
    bench.until(500).await;
    let told = bench.recorder.told();
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.ends_with("Firing {}:{instance=\"a\"} +a\n"), "{told}");
    bench.dispatcher.stop().await.unwrap();
}

#[test]
fn damaged_state_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.json");
    assert!(state::load(&path).unwrap().alerts.is_empty());
    for damaged in [&b"{"[..], b"{\"version\":9,\"alerts\":[],\"notifications\":[]}", b"\xff\x00"] {
        std::fs::write(&path, damaged).unwrap();
        assert!(state::load(&path).unwrap().notifications.is_empty());
        assert!(!path.exists());
        assert_eq!(std::fs::read(path.with_extension("damaged")).unwrap(), damaged);
    }
}
