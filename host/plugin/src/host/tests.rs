//! Each guest of `fixtures/` as a plugin: what it yields, or of which kind its failure is.

use std::time::Duration;

use expect_test::{Expect, expect};
use model::FunctionCall;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::error::FailureKind;
use crate::error::Operation;
use crate::grants::{FileGrant, FileMode};
use crate::kinds::Label;
use crate::kinds::collector::Payload;
use crate::kinds::detector::{Job, Scores};
use crate::kinds::discoverer::{Snapshot, Target, TargetGroup};
use crate::kinds::receiver::{AlertStatus, Notification};
use crate::limits::ByteSize;
use crate::status::InstanceState;

/// More time than any plugin's limit.
const LONG: Duration = Duration::from_secs(3600);
/// Time for an instance to start, and then some.
const TIGHT: Duration = Duration::from_millis(50);

/// A collector made of a file in `fixtures/`.
fn guest(body: &str) -> Vec<u8> {
    guest_of("collector-plugin", body)
}

fn guest_of(world: &str, body: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(folder.join("fixtures").join(file)).unwrap();
    let body = read(&format!("{body}.wat"));
    // Imports come before everything else, in WebAssembly as in its text.
    let (imports, rest) = body.split_at(imports_end(&body));
    let mut module = wat::parse_str(format!("(module\n{imports}{}{rest})", read("prelude.wat"))).unwrap();

    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(folder.join("../../wit/0.1.0")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
        false,
    )
    .unwrap();
    module
}

/// Where the imports at the beginning of a fixture end.
fn imports_end(body: &str) -> usize {
    let Some(last) = body.rfind("(import ") else { return 0 };
    let mut open = 0;
    let length = body[last..].find(|c| {
        open += i32::from(c == '(') - i32::from(c == ')');
        open == 0
    });
    last + length.unwrap() + 1
}

struct Setup {
    host: Arc<Host>,
    registry: prometheus::Registry,
}

fn setup() -> Setup {
    // Several tests of one process do this; the first wins and all are the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = prometheus::Registry::new();
    let host = Host::new(HostOptions {
        plugins_dir: "plugins".into(),
        cache_dir: None,
        state_dir: None,
        query: None,
        compile_in: CompileIn::Here,
        registry: &registry,
    })
    .unwrap();
    Setup { host, registry }
}

impl Setup {
    async fn start(
        &self,
        body: &str,
        change: impl FnOnce(&mut PluginConfig),
    ) -> Result<Arc<Instance>, PluginError> {
        let mut config = PluginConfig::of(body);
        change(&mut config);
        self.host.start_stamped(config, guest(body), FileStamp::of(Path::new(body))).await
    }

    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let has = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|value| metric.get_label().iter().any(|label| label.value() == *value))
        };
        let metric = family.get_metric().iter().find(has).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

fn quick(config: &mut PluginConfig) {
    config.limits.deadline = model::ConfigDuration(Duration::from_millis(100));
}

fn text(payload: Payload) -> String {
    match payload {
        Payload::Text(text) => text,
        other => panic!("expected text, got {other:?}"),
    }
}

#[tokio::test]
async fn a_healthy_collector_keeps_its_state() {
    let setup = setup();
    let instance = setup.start("healthy", |_| ()).await.unwrap();
    assert_eq!(instance.kinds(), [Kind::Collector]);
    assert_eq!(text(instance.collect(LONG).await.unwrap()), "fixture_up 1\nfixture_collections 1\n");
    // Spawned, since servers do: calls can move between threads.
    let again = Arc::clone(&instance);
    let second = tokio::spawn(async move { again.collect(LONG).await }).await.unwrap();
    assert_eq!(text(second.unwrap()), "fixture_up 1\nfixture_collections 2\n");
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "ok"]), 2.0);
    assert_eq!(setup.metric("stormglass_plugin_memory_bytes", &["healthy"]), 65536.0);
    let error = instance.poll().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Abi);
    assert_eq!(
        error.to_string(),
        "plugin healthy 1.2.3: poll failed (abi): the plugin does not export what poll needs"
    );
}

#[tokio::test]
async fn columns_arrive_as_they_were_written() {
    let instance = setup().start("batch", |_| ()).await.unwrap();
    let Payload::Columns(batch) = instance.collect(LONG).await.unwrap() else { panic!("not columns") };
    assert_eq!(batch.series_count(), 1);
    assert_eq!(batch.labels(0).collect::<Vec<_>>(), [("__name__", "a"), ("b", "c")]);
    assert_eq!(batch.samples(0).collect::<Vec<_>>(), [(None, 1.0)]);
}

#[tokio::test]
async fn inspecting_shows_what_a_plugin_is_and_could_do() {
    let bytes = guest("fetch");
    let inspection = setup().host.inspect_bytes("fetch", bytes.clone()).await.unwrap();
    assert!(inspection.is_core_module);
    assert_eq!(inspection.size, bytes.len() as u64);
    assert_eq!(inspection.digest, digest(&bytes));
    assert_eq!(inspection.kinds, [Kind::Collector]);
    assert_eq!(inspection.imports, ["stormglass:host/http@0.1.0"]);
    assert_eq!(
        inspection.exports,
        [
            "stormglass:plugin/collector@0.1.0",
            "stormglass:plugin/lifecycle@0.1.0",
            "stormglass:plugin/meta@0.1.0"
        ]
    );
    assert_eq!((inspection.info.name.as_str(), inspection.info.version.as_str()), ("fixture", "1.2.3"));
}

/// Starts a guest that fails when it collects, and shows how; then that a healthy one beside it does not mind.
async fn check(body: &str, change: impl FnOnce(&mut PluginConfig), expected: &Expect) {
    let setup = setup();
    let healthy = setup.start("healthy", |_| ()).await.unwrap();
    let instance = setup.start(body, change).await.unwrap();
    let error = instance.collect(LONG).await.unwrap_err();
    expected.assert_eq(&format!("{error}\nstderr: {:?}", error.stderr));
    healthy.collect(LONG).await.unwrap();
}

#[tokio::test]
async fn a_spinning_guest_meets_its_deadline() {
    check(
        "spin",
        quick,
        &expect![[r#"
        plugin spin 1.2.3: collect failed (deadline): took longer than 100ms
        stderr: """#]],
    )
    .await;
}

#[tokio::test]
async fn a_guest_that_keeps_the_host_busy_meets_its_limit() {
    check("ask", |_| (), &expect![[r#"
        plugin ask 1.2.3: collect failed (denied): more than 10000 requests to the host in one call; raise limits.host_calls to allow more
        stderr: """#]]).await;
}

#[tokio::test]
async fn an_allocating_guest_is_refused_memory() {
    check("allocate", |_| (), &expect![[r#"
        plugin allocate 1.2.3: collect failed (memory): needs more than 64MiB of memory (wasm trap: wasm `unreachable` instruction executed); raise limits.memory to allow more
        stderr: """#]]).await;
}

#[tokio::test]
async fn a_trap_carries_standard_error() {
    check(
        "trap",
        |_| (),
        &expect![[r#"
        plugin trap 1.2.3: collect failed (trap): wasm trap: wasm `unreachable` instruction executed
        stderr: "panicked: the fixture always does""#]],
    )
    .await;
}

#[tokio::test]
async fn endless_recursion_traps() {
    check("recurse", |_| (), &expect![[r#"
        plugin recurse 1.2.3: collect failed (trap): wasm trap: call stack exhausted in deeper < deeper < deeper
        stderr: """#]]).await;
}

#[tokio::test]
async fn lies_about_lengths_are_found_out() {
    check(
        "long_text",
        |_| (),
        &expect![[r#"
        plugin long_text 1.2.3: collect failed (abi): string pointer/length out of bounds of memory
        stderr: """#]],
    )
    .await;
    check(
        "outside",
        |_| (),
        &expect![[r#"
        plugin outside 1.2.3: collect failed (abi): string pointer/length out of bounds of memory
        stderr: """#]],
    )
    .await;
    check(
        "not_utf8",
        |_| (),
        &expect![[r#"
        plugin not_utf8 1.2.3: collect failed (abi): invalid utf-8 sequence of 1 bytes from index 0
        stderr: """#]],
    )
    .await;
    check(
        "discriminant",
        |_| (),
        &expect![[r#"
        plugin discriminant 1.2.3: collect failed (abi): unexpected discriminant: 77
        stderr: """#]],
    )
    .await;
}

#[tokio::test]
async fn answers_that_contradict_themselves_are_refused() {
    check(
        "bad_batch",
        |_| (),
        &expect![[r#"
        plugin bad_batch 1.2.3: collect failed (output): label-refs names string 99 of 4
        stderr: """#]],
    )
    .await;
    check("healthy", |config| config.limits.series = 1, &expect![[r#"
        plugin healthy 1.2.3: collect failed (output): 2 series are over the limit of 1; raise limits.series to allow more
        stderr: """#]]).await;
    check(
        "big",
        |config| config.limits.payload = ByteSize(4096),
        &expect![[r#"
        plugin big 1.2.3: collect failed (output): more than 4KiB at once; raise limits.payload to allow more
        stderr: """#]],
    )
    .await;
}

#[tokio::test]
async fn a_plugin_that_says_that_it_failed_lives_on() {
    let setup = setup();
    let instance = setup.start("fail", |_| ()).await.unwrap();
    for _ in 0..3 {
        let error = instance.collect(LONG).await.unwrap_err();
        let retry_after = Some(Duration::from_millis(1500));
        assert_eq!(error.kind, FailureKind::Plugin { retryable: true, retry_after });
        assert_eq!(error.message, "the thermometer is gone");
    }
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "error"]), 3.0);
}

#[tokio::test]
async fn plugins_that_cannot_start_say_why() {
    async fn check(body: &str, change: impl FnOnce(&mut PluginConfig), expected: &Expect) {
        let error = setup().start(body, change).await.err().unwrap();
        expected.assert_eq(&error.to_string());
    }
    check("fail_in_init", |_| (), &expect!["plugin fail_in_init 1.2.3: init failed (error): no such device"])
        .await;
    check(
        "spin_in_init",
        quick,
        &expect!["plugin spin_in_init 1.2.3: init failed (deadline): took longer than 100ms"],
    )
    .await;
    check(
        "spin_in_start",
        quick,
        &expect!["plugin spin_in_start ?: instantiate failed (deadline): took longer than 100ms"],
    )
    .await;
    check("healthy", |config| config.config = json!({"colour": 1, "list": [1, "x"]}), &expect![[r#"healthy: config.list[1]: "x" is not of type "integer"; config: Additional properties are not allowed ('colour' was unexpected)"#]]).await;
    check("healthy", |config| config.limits.memory = ByteSize(1000), &expect!["plugin healthy ?: instantiate failed (memory): memory minimum size of 1 pages exceeds memory limits"]).await;
}

#[tokio::test]
async fn files_that_are_no_plugins_say_why() {
    async fn check(bytes: Vec<u8>, expected: &Expect) {
        let error = setup().host.inspect_bytes("x", bytes).await.err().unwrap();
        expected.assert_eq(&error.to_string());
    }
    check(
        b"#!/bin/sh".to_vec(),
        &expect!["x: not a usable WebAssembly component: the file does not begin as WebAssembly does"],
    )
    .await;
    check(b"\0asm\x01\0\0\0\xff\xff".to_vec(), &expect!["x: not a usable WebAssembly component: the core module cannot be made a component: decoding item in module: malformed section id (at offset 0x8)"]).await;
    check(wat::parse_str("(module)").unwrap(), &expect!["x: not a plugin: it does not export stormglass:plugin/meta@0.1 (a core module must carry component type information)"]).await;
    check(
        wat::parse_str("(component)").unwrap(),
        &expect!["x: not a plugin: it does not export stormglass:plugin/meta@0.1"],
    )
    .await;
    check(
        wat::parse_str(
            r#"(component
                (import "wasi:http/types@0.2.0" (instance (export "f" (func))))
                (import "stormglass:host/gpio@0.1.0" (instance (export "f" (func))))
                (import "stormglass:host/clock@0.1.0" (instance (export "now-ms" (func (result s64))))))"#,
        )
        .unwrap(),
        &expect![
            "x: imports what this server does not offer: stormglass:host/gpio@0.1.0, wasi:http/types@0.2.0"
        ],
    )
    .await;
    check(
        wat::parse_str(
            r#"(component (import "stormglass:host/clock@0.1.0" (instance (export "now-ms" (func)))))"#,
        )
        .unwrap(),
        &expect!["x: not a usable WebAssembly component: component imports instance `stormglass:host/clock@0.1.0`, but a matching implementation was not found in the linker: instance export `now-ms` has the wrong type: type mismatch with results: expected 1-tuple, found 0-tuple"],
    )
    .await;
}

#[tokio::test]
async fn plugins_are_found_by_name_and_by_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thermometer.wasm"), guest("healthy")).unwrap();
    let registry = prometheus::Registry::new();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cache_dir = Some(folder.path().join("compiled"));
    let options = || HostOptions {
        plugins_dir: folder.path().to_path_buf(),
        cache_dir: cache_dir.clone(),
        state_dir: None,
        query: None,
        compile_in: CompileIn::Here,
        registry: &registry,
    };
    let host = Host::new(options()).unwrap();
    host.start(PluginConfig::of("thermometer")).await.unwrap().collect(LONG).await.unwrap();
    let path = folder.path().join("thermometer.wasm");
    let instance = host.start(PluginConfig::of("thermometer")).await.unwrap();
    assert!(host.is_current(&instance));
    let replacement = folder.path().join("new");
    std::fs::write(&replacement, guest("healthy")).unwrap();
    std::fs::rename(&replacement, &path).unwrap();
    assert!(!host.is_current(&instance));
    assert_eq!(host.inspect(path.to_str().unwrap()).await.unwrap().kinds, [Kind::Collector]);
    assert_eq!(std::fs::read_dir(folder.path().join("compiled")).unwrap().count(), 1);

    let error = host.inspect("barometer").await.unwrap_err();
    assert!(error.to_string().ends_with(": there are thermometer"), "{error}");
    let mut small = PluginConfig::of("thermometer");
    small.limits.component = ByteSize(100);
    assert!(matches!(host.start(small).await, Err(PluginError::TooLarge { .. })));

    // A second host takes what the first compiled.
    drop(host);
    let registry = prometheus::Registry::new();
    let host = Host::new(HostOptions { registry: &registry, ..options() }).unwrap();
    host.start(PluginConfig::of("thermometer")).await.unwrap().collect(LONG).await.unwrap();
    let families = registry.gather();
    let compile =
        families.iter().find(|family| family.name() == "stormglass_plugin_compile_seconds").unwrap();
    assert_eq!(compile.get_metric()[0].get_histogram().get_sample_count(), 0);
}

#[tokio::test]
async fn a_plugin_whose_file_has_changed_is_named_and_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let replace = |plugin: &str, bytes: &[u8]| {
        let partial = folder.path().join("partial");
        std::fs::write(&partial, bytes).unwrap();
        std::fs::rename(&partial, folder.path().join(format!("{plugin}.wasm"))).unwrap();
    };
    replace("thermometer", &guest("healthy"));
    replace("barometer", &guest("healthy"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = prometheus::Registry::new();
    let plugins_dir = folder.path().to_path_buf();
    let host = Host::new(HostOptions {
        plugins_dir,
        cache_dir: None,
        state_dir: None,
        query: None,
        compile_in: CompileIn::Here,
        registry: &registry,
    })
    .unwrap();
    let named = |name: &str, plugin: &str| PluginConfig { name: name.to_owned(), ..PluginConfig::of(plugin) };
    let mut instances = Vec::new();
    for config in [named("t", "thermometer"), named("b", "barometer"), named("t2", "thermometer")] {
        instances.push(host.start(config).await.unwrap());
    }
    replace("thermometer", b"no plugin");
    assert_eq!(host.changed(&instances).await, ["t", "t2"]);
    let error = host.start(named("t", "thermometer")).await.err().unwrap();
    assert!(matches!(error, PluginError::Invalid { .. }), "{error}");
    instances[0].collect(LONG).await.unwrap();
    replace("thermometer", &guest("batch"));
    assert_eq!(host.changed(&instances).await, ["t", "t2"]);
    let fresh = host.start(named("t", "thermometer")).await.unwrap();
    assert!(host.is_current(&fresh) && !host.is_current(&instances[0]));
    assert!(matches!(fresh.collect(LONG).await.unwrap(), Payload::Columns(_)));
}

#[tokio::test]
async fn a_log_flood_is_cut_and_counted() {
    let setup = setup();
    let instance = setup.start("flood", |_| ()).await.unwrap();
    instance.collect(LONG).await.unwrap();
    assert_eq!(setup.metric("stormglass_plugin_log_lines_dropped_total", &["flood"]), 19900.0);
}

#[tokio::test]
async fn a_plugin_that_fails_twice_is_left_alone() {
    let setup = setup();
    let instance = setup.start("trap", |_| ()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(instance.collect(LONG).await.unwrap_err().kind, FailureKind::Trap);
    }
    let error = instance.collect(LONG).await.unwrap_err();
    assert!(matches!(error.kind, FailureKind::Suspended { .. }), "{error}");
    assert_eq!(setup.metric("stormglass_plugin_restarts_total", &["trap"]), 1.0);
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "suspended"]), 1.0);
    assert_eq!(setup.metric("stormglass_plugin_memory_bytes", &["trap"]), 0.0);
}

#[tokio::test]
async fn after_each_rest_one_call_decides_whether_a_plugin_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("file");
    let setup = setup();
    let insist = |config: &mut PluginConfig| {
        config.config = json!({"url": path.to_str().unwrap()});
        config.grants.files = vec![FileGrant { path: path.clone(), mode: FileMode::Read }];
    };
    let instance = setup.start("insist", insist).await.unwrap();
    let failure = async || instance.collect(LONG).await.unwrap_err().kind;
    let rest = async || match failure().await {
        FailureKind::Suspended { retry_after } => retry_after,
        other => panic!("it is called, and fails: {other:?}"),
    };
    // From here on time stands still but for what is said.
    tokio::time::pause();
    assert_eq!(failure().await, FailureKind::Trap);
    for seconds in [1, 2, 4] {
        assert_eq!(failure().await, FailureKind::Trap);
        assert_eq!(instance.status().state, InstanceState::Suspended);
        assert_eq!(rest().await, Duration::from_secs(seconds));
        tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
        assert_eq!(rest().await, Duration::from_millis(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(instance.status().state, InstanceState::Failed);
    }
    std::fs::write(&path, "back 1\n").unwrap();
    assert_eq!(text(instance.collect(LONG).await.unwrap()), "back 1\n");
    assert_eq!(instance.status().state, InstanceState::Running);
    // What was is forgotten: the next failure may be an accident again.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(failure().await, FailureKind::Trap);
    assert_eq!(failure().await, FailureKind::Trap);
    assert_eq!(rest().await, Duration::from_secs(1));
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "suspended"]), 7.0);
}

#[tokio::test]
async fn an_abandoned_call_takes_its_instance_along_and_no_more() {
    let setup = setup();
    let instance = setup.start("spin", |_| ()).await.unwrap();
    let abandoned = tokio::time::timeout(Duration::from_millis(30), instance.collect(LONG)).await;
    assert!(abandoned.is_err());
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "canceled"]), 1.0);
    assert_eq!(setup.metric("stormglass_plugin_memory_bytes", &["spin"]), 0.0);
    // It was not the plugin's fault: the next call is let through, into a new instance.
    assert_eq!(instance.collect(TIGHT).await.unwrap_err().kind, FailureKind::Deadline);
    assert_eq!(setup.metric("stormglass_plugin_restarts_total", &["spin"]), 1.0);
    let status = instance.status();
    assert_eq!((status.calls, status.failures), (2, 1));
    let healthy = setup.start("healthy", |_| ()).await.unwrap();
    healthy.collect(LONG).await.unwrap();
}

#[tokio::test]
async fn a_caller_with_little_time_is_answered_in_time() {
    let setup = setup();
    let instance = setup.start("spin", |_| ()).await.unwrap();
    for _ in 0..2 {
        let error = instance.collect(TIGHT).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (FailureKind::Deadline, "took longer than 50ms"));
    }
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "deadline"]), 2.0);
    let error = instance.collect(TIGHT).await.unwrap_err();
    assert!(matches!(error.kind, FailureKind::Suspended { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_another_call_takes_no_longer_than_allowed() {
    let setup = setup();
    let instance = setup.start("spin", |_| ()).await.unwrap();
    let busy = Arc::clone(&instance);
    let mut busy = Box::pin(async move { busy.collect(LONG).await });
    // Once polled it has its turn, before anybody else can ask for one.
    tokio::select! {
        biased;
        _ = &mut busy => panic!("a guest that spins has answered"),
        () = std::future::ready(()) => {}
    }
    let busy = tokio::spawn(busy);
    let error = instance.collect(TIGHT).await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (FailureKind::Deadline, "another call did not end in time")
    );
    let waiting = tokio::time::timeout(TIGHT, instance.collect(LONG)).await;
    assert!(waiting.is_err());
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "canceled"]), 1.0);
    busy.abort();
    assert!(busy.await.unwrap_err().is_cancelled());
    assert_eq!(setup.metric("stormglass_plugin_calls_total", &["collect", "canceled"]), 2.0);
}

#[tokio::test]
async fn the_status_tells_of_the_last_failure() {
    let setup = setup();
    let healthy = setup.start("healthy", |_| ()).await.unwrap();
    healthy.collect(LONG).await.unwrap();
    let status = healthy.status();
    assert_eq!((status.state, status.calls, status.failures), (InstanceState::Running, 1, 0));
    assert!(status.last_error.is_none());

    let instance = setup.start("trap", |_| ()).await.unwrap();
    instance.collect(LONG).await.unwrap_err();
    assert_eq!(instance.status().state, InstanceState::Failed);
    for _ in 0..2 {
        instance.collect(LONG).await.unwrap_err();
    }
    let status = instance.status();
    assert_eq!((status.state, status.calls, status.failures), (InstanceState::Suspended, 3, 3));
    let last = status.last_error.unwrap();
    assert_eq!((last.operation, last.kind), (Operation::Collect, FailureKind::Trap));
    assert_eq!(last.stderr, "panicked: the fixture always does");
}

#[tokio::test]
async fn files_need_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("file");
    std::fs::write(&path, "temperature 21\n").unwrap();
    let grant = |mode| FileGrant { path: path.parent().unwrap().to_path_buf(), mode };
    let setup = setup();
    let configure = |config: &mut PluginConfig| config.config = json!({"url": path.to_str().unwrap()});

    let instance = setup.start("read", configure).await.unwrap();
    let error = instance.collect(LONG).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Denied);
    let expected = format!("files: {} is not granted; add it to grants.files to allow it", path.display());
    assert_eq!(error.message, expected);
    // A denial is an answer: the instance lives on.
    assert_eq!(instance.collect(LONG).await.unwrap_err().kind, FailureKind::Denied);

    let stat = |config: &mut PluginConfig| {
        configure(config);
        config.grants.files = vec![grant(FileMode::Stat)];
    };
    assert_eq!(
        setup.start("read", stat).await.unwrap().collect(LONG).await.unwrap_err().kind,
        FailureKind::Denied
    );

    let read = |config: &mut PluginConfig| {
        configure(config);
        config.grants.files = vec![grant(FileMode::Read)];
    };
    let instance = setup.start("read", read).await.unwrap();
    assert_eq!(text(instance.collect(LONG).await.unwrap()), "temperature 21\n");
    std::fs::remove_file(&path).unwrap();
    let error = instance.collect(LONG).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Plugin { retryable: false, retry_after: None });
}

/// Answers each connection with what is next in `answers`, and then no more. Gives the address.
async fn serve(answers: Vec<String>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

fn answer(status: &str, header: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn fetch(
    url: String,
    grants: &[String],
    change: impl FnOnce(&mut PluginConfig),
) -> Result<Payload, CallError> {
    let setup = setup();
    let instance = setup
        .start("fetch", |config| {
            config.config = json!({"url": url});
            config.grants.http = grants.iter().map(|grant| grant.parse().unwrap()).collect();
            change(config);
        })
        .await
        .unwrap();
    instance.collect(LONG).await
}

#[tokio::test]
async fn servers_need_a_grant_and_so_do_their_redirects() {
    let target = serve(vec![answer("200 OK", "", "from the target")]).await;
    let elsewhere = answer("302 Found", &format!("location: http://{target}/there\r\n"), "");
    let here = answer("302 Found", "location: /here\r\n", "");
    let redirecting = serve(vec![here, elsewhere.clone(), elsewhere]).await;
    let url = format!("http://{redirecting}/");
    let (redirecting, target) = (redirecting.to_string(), target.to_string());

    let error = fetch(url.clone(), &[], |_| ()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Denied);
    assert_eq!(
        error.message,
        format!("http: http://{redirecting} is not granted; add it to grants.http to allow it")
    );
    // Following its own redirect is fine; following the one to the other server is not, until it is granted too.
    let error = fetch(url.clone(), &[format!("http://{redirecting}")], |_| ()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Denied);
    assert_eq!(
        error.message,
        format!("http: http://{target} is not granted; add it to grants.http to allow it")
    );
    let payload = fetch(url, &[redirecting, target], |_| ()).await.unwrap();
    assert_eq!(text(payload), "from the target");
}

#[tokio::test]
async fn names_that_lead_to_loopback_are_reachable_where_granted() {
    let address = serve(vec![answer("503 Service Unavailable", "", "any status is a response")]).await;
    let grant = format!("localhost:{}", address.port());
    let payload = fetch(format!("http://{grant}/"), std::slice::from_ref(&grant), |_| ()).await.unwrap();
    assert_eq!(text(payload), "any status is a response");
}

#[tokio::test]
async fn metadata_services_are_denied_even_where_granted() {
    let error =
        fetch("http://169.254.169.254/".into(), &["169.254.169.254:80".into()], |_| ()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Denied);
    expect![
        "http: 169.254.169.254 is a link-local address, where cloud metadata is served, and cannot be granted"
    ]
    .assert_eq(&error.message);
}

#[tokio::test]
async fn responses_have_a_limit_in_size_and_in_time() {
    let address = serve(vec![answer("200 OK", "", &"x".repeat(1000))]).await.to_string();
    let change = |config: &mut PluginConfig| config.limits.response = ByteSize(999);
    let error =
        fetch(format!("http://{address}/"), std::slice::from_ref(&address), change).await.unwrap_err();
    assert_eq!(error.message, "too large");

    let endless = serve(vec![answer("302 Found", "location: /again\r\n", ""); 9]).await.to_string();
    let error =
        fetch(format!("http://{endless}/"), std::slice::from_ref(&endless), |_| ()).await.unwrap_err();
    assert_eq!(error.message, "more than 5 redirects");

    // A server that accepts and says nothing: the guest still gets to say so before its own deadline.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let error = fetch(format!("http://{address}/"), std::slice::from_ref(&address), quick).await.unwrap_err();
    assert_eq!(error.message, "timeout");
}

#[tokio::test]
async fn each_kind_is_asked_and_answers() {
    let setup = setup();
    let start = async |name: &str| {
        let bytes = guest_of(&format!("{name}-plugin"), name);
        setup.host.start_stamped(PluginConfig::of(name), bytes, FileStamp::of(Path::new(name))).await.unwrap()
    };

    let detector = start("detector").await;
    assert_eq!(detector.kinds(), [Kind::Detector]);
    let job = |series, values| Job { start_ms: 0, step_ms: 1000, steps: 2, series, values };
    let scores = detector.detect(job(1, vec![1.0, 2.0])).await.unwrap();
    assert_eq!(scores, Scores { scores: vec![1.0, 2.0], lower: vec![1.0, 2.0], upper: vec![] });
    let error = detector.detect(job(2, vec![1.0, 2.0, 3.0, 4.0])).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (FailureKind::Output, "2 lower bounds for 4 values"));

    let discoverer = start("discoverer").await;
    assert_eq!(discoverer.kinds(), [Kind::Discoverer]);
    let target = Target { address: "host:1".to_owned(), labels: vec![] };
    let group = TargetGroup { source: "room".to_owned(), targets: vec![target], labels: vec![] };
    let snapshot = Snapshot { groups: vec![group], next_poll: Some(Duration::from_secs(2)) };
    assert_eq!(discoverer.poll().await.unwrap(), snapshot);

    let receiver = start("receiver").await;
    assert_eq!(receiver.kinds(), [Kind::Receiver]);
    let notification = Notification {
        idempotency_key: "key".to_owned(),
        attempt: 1,
        group_key: "{}:{}".to_owned(),
        status: AlertStatus::Firing,
        receiver: "on-call".to_owned(),
        group_labels: vec![Label { name: "alertname".to_owned(), value: "Down".to_owned() }],
        common_labels: vec![],
        common_annotations: vec![],
        external_url: "http://localhost:9090".to_owned(),
        truncated_alerts: 0,
        alerts: vec![],
    };
    let error = receiver.notify(notification).await.unwrap_err();
    assert_eq!((error.operation, error.message.as_str()), (Operation::Notify, "on-call"));
}

/// A guest of each released version, as it was built then: it must load and answer for as long as there are such guests.
#[tokio::test]
async fn guests_of_every_released_version_work() {
    let setup = setup();
    let start = async |name: &str, bytes: &[u8]| {
        let stamp = FileStamp::of(Path::new(name));
        setup.host.start_stamped(PluginConfig::of(name), bytes.to_vec(), stamp).await.unwrap()
    };
    let first = start("0.1.0", include_bytes!("../../fixtures/released/0.1.0.wasm")).await;
    assert_eq!(text(first.collect(LONG).await.unwrap()), "fixture_up 1\nfixture_collections 1\n");

    let second = start("0.1.1", include_bytes!("../../fixtures/released/0.1.1.wasm")).await;
    assert_eq!(second.kinds(), [Kind::Function]);
    let names: Vec<_> = second.signatures().iter().map(|signature| signature.name.as_str()).collect();
    assert_eq!(names, ["ewma", "robust_slope"]);
    let call = |steps, values: Vec<f64>| FunctionCall {
        steps,
        series: 1,
        step_ms: 1000,
        values,
        ..FunctionCall::default()
    };
    let eval = |name: &str, call| second.eval(name.to_owned(), call, LONG);
    let mut ewma = call(3, vec![0.0, 1.0, 1.0]);
    ewma.scalars = vec![0.5; 3];
    assert_eq!(eval("ewma", ewma).await.unwrap(), [0.0, 0.5, 0.75]);
    let mut slope = call(1, vec![1.0, 3.0, 5.0]);
    (slope.timestamps_ms, slope.window_starts, slope.window_ends) = (vec![0, 1000, 2000], vec![0], vec![3]);
    assert_eq!(eval("robust_slope", slope).await.unwrap(), [2.0]);
    let error = eval("nothing", call(1, vec![1.0])).await.unwrap_err();
    assert_eq!(error.message, "there is no function nothing");
    // As many calls at once as there may be instances, and more take turns.
    let calls = (0..8).map(|_| eval("ewma", call(1, vec![7.0])));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), [7.0]);
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in ["$21\r\nconnected_clients:3\r\n\r\n", "-ERR no\r\n", "-ERR no\r\n"] {
            assert!(stream.read(&mut [0; 256]).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // The guest lets go of its connection when it is done.
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    });
    let mut config = PluginConfig::of("0.1.2");
    config.config = json!({ "address": address });
    config.grants.net = vec![address.parse().unwrap()];
    let bytes = include_bytes!("../../fixtures/released/0.1.2.wasm").to_vec();
    let third = setup.host.start_stamped(config, bytes, FileStamp::of(Path::new("0.1.2"))).await.unwrap();
    let Payload::Columns(batch) = third.collect(LONG).await.unwrap() else { panic!("not columns") };
    let value = |name: &str| {
        let series =
            (0..batch.series_count()).find(|series| batch.labels(*series).any(|(_, value)| value == name));
        batch.samples(series.unwrap()).next().unwrap().1
    };
    assert_eq!((value("redis_up"), value("redis_connected_clients")), (1.0, 3.0));
}

#[tokio::test]
async fn a_pinned_file_is_the_only_one_that_runs() {
    let pin = |digest: String| move |config: &mut PluginConfig| config.digest = Some(digest);
    let setup = setup();
    setup.start("healthy", pin(digest(&guest("healthy")))).await.unwrap();
    let error = setup.start("healthy", pin("0".repeat(64))).await.err().unwrap();
    assert!(matches!(error, PluginError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn a_function_that_compilers_choke_on_is_refused() {
    let bomb = wat::parse_str(format!("(module (func {}))", "nop ".repeat(1 << 21))).unwrap();
    let error = setup().host.inspect_bytes("bomb", bomb).await.err().unwrap();
    let expected = "over the limit of 1048576, which compilers choke on";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[tokio::test]
async fn a_worn_instance_is_replaced_between_calls() {
    let setup = setup();
    let collected = async |instance: &Instance| text(instance.collect(LONG).await.unwrap());
    let instance = setup.start("healthy", |config| config.recycle.calls = Some(2)).await.unwrap();
    for count in [1, 2, 1, 2] {
        assert_eq!(collected(&instance).await, format!("fixture_up 1\nfixture_collections {count}\n"));
    }
    assert_eq!(setup.metric("stormglass_plugin_recycled_total", &["healthy", "calls"]), 2.0);
    let instance = setup.start("healthy", |config| config.recycle.memory = Some(ByteSize(1))).await.unwrap();
    for _ in 0..2 {
        assert_eq!(collected(&instance).await, "fixture_up 1\nfixture_collections 1\n");
    }
    assert_eq!(setup.metric("stormglass_plugin_recycled_total", &["healthy", "memory"]), 2.0);
}

#[tokio::test]
async fn an_old_instance_is_replaced_between_calls() {
    let setup = setup();
    let age = Duration::from_secs(3600);
    let recycle = |config: &mut PluginConfig| config.recycle.age = Some(model::ConfigDuration(age));
    let instance = setup.start("healthy", recycle).await.unwrap();
    tokio::time::pause();
    let collections = async || text(instance.collect(LONG).await.unwrap()).trim_end().chars().last().unwrap();
    assert_eq!(collections().await, '1');
    tokio::time::advance(age).await;
    // The call that finds it old is its last.
    assert_eq!(collections().await, '2');
    assert_eq!(collections().await, '1');
    tokio::time::advance(age / 2).await;
    assert_eq!(collections().await, '2');
    assert_eq!(setup.metric("stormglass_plugin_recycled_total", &["healthy", "age"]), 1.0);
}

#[tokio::test]
async fn a_paused_plugin_is_not_called() {
    let setup = setup();
    let instance = setup.start("healthy", |_| ()).await.unwrap();
    instance.pause();
    assert_eq!(instance.collect(LONG).await.unwrap_err().kind, FailureKind::Paused);
    assert_eq!(instance.status().state, InstanceState::Paused);
    instance.resume();
    assert_eq!(text(instance.collect(LONG).await.unwrap()), "fixture_up 1\nfixture_collections 1\n");

    // Resuming also ends a rest.
    let failing = setup.start("trap", |_| ()).await.unwrap();
    for _ in 0..3 {
        failing.collect(LONG).await.unwrap_err();
    }
    assert_eq!(failing.status().state, InstanceState::Suspended);
    failing.resume();
    assert_eq!(failing.collect(LONG).await.unwrap_err().kind, FailureKind::Trap);
}
