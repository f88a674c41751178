//! The whole of it, on a paused clock where no sockets are involved.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use model::Labels;
use model::staleness::is_stale;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::config::Limits;
use crate::discovery::{Discover, Snapshot};
use crate::fetch::{Collect, Collected};
use crate::recorder::Recorder;

/// A collector that says how often it was asked, fails on demand and may hang.
struct Counting {
    name: &'static str,
    calls: Mutex<u64>,
    fails: Mutex<bool>,
    takes: Duration,
}

impl Counting {
    fn new(name: &'static str, takes: Duration) -> Arc<Self> {
        Arc::new(Self { name, calls: Mutex::new(0), fails: Mutex::new(false), takes })
    }
}

#[async_trait]
impl Collect for Counting {
    async fn collect(&self) -> Result<Collected, String> {
        tokio::time::sleep(self.takes).await;
        if *self.fails.lock() {
            return Err("trapped".to_owned());
        }
        *self.calls.lock() += 1;
        Ok(Collected::Text { body: format!("{}_calls {}\n", self.name, self.calls.lock()).into_bytes() })
    }
}

fn collector(source: &Arc<Counting>) -> CollectorTarget {
    CollectorTarget {
        name: "host".to_owned(),
        plugin: "host-metrics".to_owned(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        labels: Labels::empty(),
        limits: Limits::NONE,
        source: Arc::clone(source) as Arc<dyn Collect>,
    }
}

struct Fixture {
    storage: Arc<Recorder>,
    registry: Registry,
    manager: Manager,
}

fn fixture() -> Fixture {
    let (storage, registry) = (Arc::new(Recorder::new()), Registry::new());
    let began = Instant::now();
    // Wall time follows the clock of the runtime, which tests pause.
    let clock: Clock = Arc::new(move || Timestamp::from_millis(1_700_000_000_000) + began.elapsed());
    let manager = Manager::with_clock(Arc::clone(&storage) as Arc<dyn Append>, &registry, clock).unwrap();
    Fixture { storage, registry, manager }
}

impl Fixture {
    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        family.get_metric().iter().map(|m| m.get_counter().get_value() + m.get_gauge().get_value()).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn collectors_are_scraped_at_their_interval_without_drift() {
    let f = fixture();
    let source = Counting::new("a", Duration::from_millis(700));
    f.manager.set_collectors(&[collector(&source)]).unwrap();
    f.storage.until(|s| s.rows("up").len() == 5).await;
    let rows = f.storage.rows("a_calls");
    assert_eq!(rows[0].labels.to_string(), r#"a_calls{instance="host-metrics", job="host"}"#);
    assert_eq!(rows.iter().map(|r| r.value).collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(rows.windows(2).all(|w| w[1].at - w[0].at == 10_000), "{rows:?}");
    // Stored comes before shown. The paused clock moves only when nothing else is left to do.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(f.metric("stormglass_scrape_scrapes_total"), 5.0);
    assert_eq!(f.metric("stormglass_scrape_targets"), 1.0);

    let shown = serde_json::to_value(f.manager.targets()).unwrap();
    let target = &shown["activeTargets"][0];
    assert_eq!(target["health"], "up");
    assert_eq!(target["labels"]["job"], "host");
    assert_eq!(target["discoveredLabels"]["__address__"], "host-metrics");
    assert_eq!(target["scrapePool"], "host");
    assert_eq!(target["scrapeInterval"], "10s");
    assert_eq!(target["lastScrapeDuration"], 0.7);
    assert!(target["lastScrape"].as_str().unwrap().starts_with("2023-11-14T22:1"), "{target}");
}

#[tokio::test(start_paused = true)]
async fn reloads_at_every_moment_lose_no_scrape() {
    let f = fixture();
    let source = Counting::new("a", Duration::from_millis(7));
    for _ in 0..30_000 {
        f.manager.set_collectors(&[collector(&source)]).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    f.manager.stop().await;
    let rows = f.storage.rows("up");
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows.windows(2).all(|w| w[1].at - w[0].at == 10_000), "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn failing_and_hanging_collectors_are_down_and_recover() {
    let f = fixture();
    let source = Counting::new("a", Duration::ZERO);
    f.manager.set_collectors(&[collector(&source)]).unwrap();
    f.storage.until(|s| s.rows("up").len() == 1).await;
    *source.fails.lock() = true;
    f.storage.until(|s| s.rows("up").len() == 2).await;
    assert!(is_stale(f.storage.rows("a_calls")[1].value));
    *source.fails.lock() = false;
    f.storage.until(|s| s.rows("up").len() == 3).await;

    // A new source for the same collector: nothing is lost, nothing ends.
    let hanging = Counting::new("a", Duration::from_secs(3600));
    f.manager.set_collectors(&[collector(&hanging)]).unwrap();
    f.storage.until(|s| s.rows("up").len() == 4).await;
    let ups: Vec<f64> = f.storage.rows("up").iter().map(|r| r.value).collect();
    assert_eq!(ups, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(f.storage.rows("scrape_duration_seconds")[3].value, 3.0);
    f.manager.stop().await;
    // Stored comes before shown, so that only a stopped manager is sure to show the last one.
    assert_eq!(f.metric("stormglass_scrape_scrapes_total"), 4.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_goes_stale_and_what_is_stopped_does_not() {
    let f = fixture();
    let source = Counting::new("a", Duration::ZERO);
    let other = CollectorTarget { name: "other".to_owned(), ..collector(&source) };
    f.manager.set_collectors(&[collector(&source), other.clone()]).unwrap();
    f.storage.until(|s| s.rows("up").len() >= 4).await;
    f.manager.set_collectors(&[other]).unwrap();
    let stale = |s: &Recorder, metric: &str| -> Vec<String> {
        let rows = s.rows(metric).into_iter().filter(|row| is_stale(row.value));
        rows.map(|row| row.labels.get("job").unwrap().to_owned()).collect()
    };
    f.storage.until(|s| !stale(s, "up").is_empty()).await;
    f.manager.stop().await;
    assert_eq!(stale(&f.storage, "up"), ["host"]);
    assert_eq!(stale(&f.storage, "a_calls"), ["host"]);
    assert!(f.manager.targets().active_targets.is_empty());
}

#[tokio::test]
async fn collectors_need_names_and_intervals() {
    let f = fixture();
    let good = collector(&Counting::new("a", Duration::ZERO));
    assert!(f.manager.set_collectors(&[good.clone(), good.clone()]).is_err());
    assert!(f.manager.set_collectors(&[CollectorTarget { interval: Duration::ZERO, ..good }]).is_err());
    assert!(f.manager.targets().active_targets.is_empty());
}

/// Answers every request with `body`, and closes.
async fn exporter(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length";
            let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
    });
    address
}

fn jobs(yaml: &str) -> Vec<ScrapeConfig> {
    serde_saphyr::from_str(yaml).unwrap()
}

#[tokio::test]
async fn jobs_are_scraped_over_http_and_survive_a_reload() {
    let f = fixture();
    let address = exporter("a 1\nb 2\n").await;
    let global = GlobalConfig::default();
    let job = |extra: &str| {
        jobs(&format!(
            "[{{job_name: api, scrape_interval: 50ms, static_configs: [{{targets: ['{address}']}}]{extra}}}]"
        ))
    };
    f.manager.apply(&global, &job("")).unwrap();
    f.storage.until(|s| s.rows("a").len() >= 2).await;
    let labels = Labels::from_pairs([("__name__", "a"), ("instance", &address), ("job", "api")]);
    assert_eq!(f.storage.rows("a")[0].labels, labels);

    let drop_b = ", metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]";
    f.manager.apply(&global, &job(drop_b)).unwrap();
    let ended = |s: &Recorder| s.rows("b").iter().any(|row| is_stale(row.value));
    f.storage.until(ended).await;
    let count = f.storage.rows("a").len();
    f.storage.until(|s| s.rows("a").len() > count + 1).await;
    assert!(f.storage.rows("a").iter().chain(&f.storage.rows("up")).all(|row| row.value == 1.0));

    // A reload that fails changes nothing.
    let broken = ", tls_config: {ca_file: missing.pem}";
    assert!(f.manager.apply(&global, &job(broken)).is_err());
    let count = f.storage.rows("a").len();
    f.storage.until(|s| s.rows("a").len() > count).await;

    f.manager.apply(&global, &[]).unwrap();
    f.storage.until(|s| s.rows("up").last().is_some_and(|row| is_stale(row.value))).await;
    assert!(f.manager.targets().active_targets.is_empty());
    f.manager.stop().await;
}

#[tokio::test]
async fn too_many_targets_fail_all_of_them() {
    let f = fixture();
    let yaml = "[{job_name: api, scrape_interval: 50ms, target_limit: 1, static_configs: [{targets: ['h:1', 'h:2']}]}]";
    f.manager.apply(&GlobalConfig::default(), &jobs(yaml)).unwrap();
    f.storage.until(|s| s.rows("up").len() >= 4).await;
    f.manager
        .apply(&GlobalConfig::default(), &jobs(&yaml.replace("target_limit: 1", "target_limit: 2")))
        .unwrap();
    assert!(f.storage.rows("up").iter().all(|row| row.value == 0.0));
    f.manager.stop().await;
}

/// A discoverer that gives one prepared answer after the other, and then fails.
struct Scripted(Mutex<VecDeque<Snapshot>>);

#[async_trait]
impl Discover for Scripted {
    async fn poll(&self) -> Result<Snapshot, String> {
        self.0.lock().pop_front().ok_or_else(|| "registry is down".to_owned())
    }
}

fn group(source: &str, addresses: &[&str]) -> TargetGroup {
    TargetGroup {
        source: source.to_owned(),
        targets: addresses
            .iter()
            .map(|a| Labels::from_pairs([(ADDRESS, *a), ("__meta_x", source)]))
            .collect(),
        labels: Labels::from_pairs([("source", source)]),
    }
}

#[tokio::test(start_paused = true)]
async fn discovered_targets_follow_their_discoverer() {
    let f = fixture();
    let yaml = "
- job_name: found
  plugin_sd_configs: [{plugin: sd}]
  relabel_configs: [{source_labels: [__address__], regex: 'drop.*', action: drop}]
- job_name: other
  plugin_sd_configs: [{plugin: another}]";
    f.manager.apply(&GlobalConfig::default(), &jobs(yaml)).unwrap();
    let first = vec![group("one", &["a:1", "drop:1"]), group("two", &["b:1"])];
    let second = vec![group("one", &["a:1", "c:1"])];
    let answers = VecDeque::from([
        Snapshot { groups: first, next_poll: Some(Duration::from_secs(5)) },
        Snapshot { groups: second, next_poll: None },
    ]);
    let source: Arc<dyn Discover> = Arc::new(Scripted(Mutex::new(answers)));
    let (name, mechanism) = ("sd".to_owned(), "plugin".to_owned());
    let discoverer = Discoverer { name, mechanism, interval: Duration::from_secs(30), source };
    f.manager.set_discoverers(vec![discoverer]);
    let instances = || -> Vec<String> {
        let targets = f.manager.targets().active_targets;
        targets.iter().map(|t| format!("{} {}", t.scrape_pool, t.labels.get("instance").unwrap())).collect()
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(instances(), ["found a:1", "found b:1"]);
    assert_eq!(f.manager.targets().dropped_target_counts["found"], 1);
    assert_eq!(f.manager.targets().dropped_targets[0].discovered_labels.get("source"), Some("one"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(instances(), ["found a:1", "found c:1"]);
    // The registry is down from now on.
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(instances(), ["found a:1", "found c:1"]);
    assert_eq!(f.metric("prometheus_sd_refresh_failures_total"), 3.0);
    assert_eq!(f.metric("prometheus_sd_discovered_targets"), 2.0);
    f.manager.set_discoverers(Vec::new());
    assert!(instances().is_empty());
    f.manager.stop().await;
}
