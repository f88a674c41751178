//! Guests of every kind that misbehave, behind the built server: each costs itself, is named at `/api/v1/plugins` and in the
//! metrics, and costs nothing else. (`host/plugin` tests what a guest can do to the host alone.)

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::harness::http::Client;
use crate::harness::server::{self, Ports, Server};
use crate::harness::{PATIENCE, until, until_value};

/// Collectors: a name, how each misbehaves, how many series it yields, and what comes of it.
const COLLECTORS: [(&str, &str, u32, &str); 4] = [
    // Ten million do not fit the memory that a plugin has.
    ("millions", "many", 10_000_000, "memory"),
    // More than `limits.series` are refused as a whole, not in part.
    ("many", "many", 150_000, "output"),
    ("ask", "ask", 0, "denied"),
    ("fail", "fail", 0, "error"),
];

/// Decoders: how each misbehaves, and what comes of it; `ok` where it is not the call that fails.
const DECODERS: [(&str, &str); 7] = [
    ("ok", "ok"),
    ("trap", "trap"),
    ("spin", "deadline"),
    ("many", "output"),
    ("nonsense", "ok"),
    ("greedy", "output"),
    ("ask", "denied"),
];

fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn plugin(api: &Client, name: &str) -> Value {
    let plugins = api.data("/api/v1/plugins", &[]);
    let found = plugins["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("no plugin {name} in {plugins}"))
}

/// Waits until calls of a plugin end in an outcome, by the metrics.
fn until_outcome(api: &Client, name: &str, operation: &str, outcome: &str) {
    until(&format!("{name}.{operation} ends in {outcome}"), PATIENCE, || {
        let metrics = api.get("/metrics").body;
        let found = metrics.lines().any(|line| {
            line.starts_with("stormglass_plugin_calls_total{")
                && line.contains(&format!("plugin=\"{name}\""))
                && line.contains(&format!("operation=\"{operation}\""))
                && line.contains(&format!("outcome=\"{outcome}\""))
                && !line.ends_with(" 0")
        });
        found.then_some(())
    });
}

#[test]
fn guests_of_every_kind_that_misbehave_cost_themselves_alone() {
    let folder = tempfile::tempdir().unwrap();
    server::collect_plugins(&folder.path().join("plugins"));
    let mut config = String::from(
        "global: {scrape_interval: 1s}\nplugins:\n  - {name: good, plugin: hello, interval: 1s}\n  - {name: functions, plugin: hostile-functions, limits: {deadline: 1s}}\n",
    );
    for (name, mode, series, _) in COLLECTORS {
        // What is refused for its size has to be made first, which takes a busy machine a while.
        let memory = if name == "many" { "memory: 1GiB, " } else { "" };
        config += &format!(
            "  - {{name: collect-{name}, plugin: hostile, interval: 10s, config: {{mode: {mode}, series: {series}}}, \
             limits: {{{memory}deadline: 20s}}}}\n"
        );
    }
    let addresses: Vec<String> = DECODERS.iter().map(|_| free()).collect();
    for ((mode, _), address) in DECODERS.iter().zip(&addresses) {
        let limits = if *mode == "many" { "{memory: 1GiB, deadline: 20s}" } else { "{deadline: 1s}" };
        config += &format!(
            "  - {{name: decode-{mode}, plugin: hostile-decoder, config: {{mode: {mode}}}, \
             decode: {{listen: [\"tcp://{address}\"]}}, limits: {limits}}}\n"
        );
    }
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let mut server = Server::start(folder.path(), Ports::free());
    let api = server.api.clone();

    for address in &addresses {
        writeln!(TcpStream::connect(address).unwrap(), "anything").unwrap();
    }
    for (name, _, _, outcome) in COLLECTORS {
        let name = format!("collect-{name}");
        until_outcome(&api, &name, "collect", outcome);
        until_value(&api, &format!("up{{job=\"{name}\"}}"), |up| up == 0.0);
        let last = &plugin(&api, &name)["lastError"];
        assert!(last["message"].as_str().is_some_and(|message| !message.is_empty()), "{name}: {last}");
    }
    for (mode, outcome) in DECODERS {
        until_outcome(&api, &format!("decode-{mode}"), "decode", outcome);
    }
    until_value(&api, "hostile_decoded", |value| value == 1.0);
    until("what is no series is counted", PATIENCE, || {
        let metrics = api.get("/metrics").body;
        metrics.contains("stormglass_decoder_rejected_total{plugin=\"decode-nonsense\"} 2").then_some(())
    });
    assert_eq!(
        api.value("count({__name__=~\"many|nonsense\"})"),
        None,
        "something of what was refused is stored"
    );

    functions(&api);

    // The others went on all the while.
    let before = api.value("count_over_time(up{job=\"good\"}[10m])").unwrap();
    until_value(&api, "count_over_time(up{job=\"good\"}[10m])", |count| count > before);
    assert_eq!(api.value("min_over_time(up{job=\"good\"}[10m])"), Some(1.0));
    server.terminate();
    let hostile = ["plugin=collect-", "plugin=decode-", "plugin=functions"];
    assert_eq!(server.unexpected(&hostile), Vec::<String>::new());
}

/// A function that misbehaves fails its query, which says why; the next query has a new instance.
fn functions(api: &Client) {
    let ask =
        |name: &str| api.get_with("/api/v1/query", &[("query", &format!("wasm_hostile_{name}(vector(7))"))]);
    // Two losses in a row make the host leave a plugin alone for a while: one that works lies between.
    let works = || {
        until("a function answers", PATIENCE, || (ask("same").status == 200).then_some(()));
        assert_eq!(api.value("wasm_hostile_same(vector(7))"), Some(7.0));
    };
    for (name, why) in [
        ("spin", "took longer than 1s"),
        ("trap", "trapping as it is called"),
        ("allocate", "memory"),
        ("fewer", "0 values for 1"),
        ("more", "2 values for 1"),
    ] {
        works();
        let answer = ask(name);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(
            answer.status == 422 && error.contains("functions") && error.contains("(1:1)"),
            "{name}: {error}"
        );
        let last = plugin(api, "functions")["lastError"].to_string();
        assert!(error.contains(why) || last.contains(why), "{name}: {error}: {last}");
    }
    works();
    // A number that is none is a value like any other.
    assert!(api.value("wasm_hostile_nothing(vector(7))").is_some_and(f64::is_nan));
}

/// A file of a few hundred kilobytes that no compiler gets to the end of: a function of loops within loops, all of which carry all of
/// its variables around.
fn compile_bomb() -> Vec<u8> {
    const LOOPS: u32 = 20_000;
    const VARIABLES: u32 = 20_000;
    fn number(mut value: u32, into: &mut Vec<u8>) {
        while value >= 0x80 {
            into.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        into.push(value as u8);
    }
    fn section(id: u8, content: &[u8], into: &mut Vec<u8>) {
        into.push(id);
        number(u32::try_from(content.len()).unwrap(), into);
        into.extend(content);
    }
    // One group of locals, of type i32.
    let mut body = vec![1];
    number(VARIABLES, &mut body);
    body.push(0x7f);
    for _ in 0..LOOPS {
        body.extend([0x03, 0x40]); // loop
    }
    for variable in 0..VARIABLES {
        body.push(0x20); // local.get
        number(variable, &mut body);
        body.extend([0x41, 1, 0x6a, 0x21]); // i32.const 1, i32.add, local.set
        number(variable, &mut body);
    }
    for depth in 0..LOOPS {
        body.extend([0x20, 0, 0x0d]); // local.get 0, br_if
        number(depth, &mut body);
    }
    body.resize(body.len() + LOOPS as usize + 1, 0x0b); // end
    let mut code = vec![1];
    number(u32::try_from(body.len()).unwrap(), &mut code);
    code.extend(body);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(1, &[1, 0x60, 0, 0], &mut module);
    section(3, &[1, 0], &mut module);
    section(10, &code, &mut module);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(1, &module, &mut component);
    component
}

/// A reload that brings a plugin which cannot start, or takes too long to compile, changes nothing.
#[test]
fn a_plugin_that_cannot_start_is_refused_and_the_others_run_on() {
    let folder = tempfile::tempdir().unwrap();
    server::collect_plugins(&folder.path().join("plugins"));
    fs::write(folder.path().join("plugins/bomb.wasm"), compile_bomb()).unwrap();
    let configure = |more: &str| {
        let config = format!(
            "rule_files: [rules.yml]\nglobal: {{evaluation_interval: 1h}}\nplugins:\n  - {{name: good, plugin: hello, interval: 1s}}\n{more}"
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    };
    // A rule may be there before the plugin whose function it calls; who reads the log is told.
    let rules = "groups: [{name: g, rules: [{record: a, expr: wasm_ewma(up)}]}]\n";
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    configure("");
    let mut server = Server::start(folder.path(), Ports::free());
    let api = server.api.clone();
    until_value(&api, "up{job=\"good\"}", |up| up == 1.0);
    assert!(server.log().iter().any(|line| line.contains("function=wasm_ewma")), "{:?}", server.log());
    for (entry, why) in [
        (
            "{name: bad, plugin: hostile-processor, config: {mode: start}, process: {on_failure: pass}}",
            "trap",
        ),
        // Not in the cache of compiled plugins: nothing else here uses it.
        ("{name: bad, plugin: statsd, interval: 1s, limits: {compile: 1ms}}", "compile"),
        // Time or memory, whichever its compiler is out of first.
        ("{name: bad, plugin: bomb, interval: 1s, limits: {compile: 3s}}", "bad: compiling "),
    ] {
        configure(&format!("  - {entry}\n"));
        let answer = api.post("/-/reload", &[], b"");
        assert_eq!(answer.status, 500, "{}", answer.body);
        assert!(answer.body.contains("bad") && answer.body.contains(why), "{}", answer.body);
        let before = api.value("count_over_time(up{job=\"good\"}[10m])").unwrap();
        until_value(&api, "count_over_time(up{job=\"good\"}[10m])", |count| count > before);
    }
    // All that cannot start are named, in the order of their entries.
    configure("  - {name: bad-b, plugin: nowhere}\n  - {name: bad-a, plugin: neither}\n");
    let body = api.post("/-/reload", &[], b"").body;
    let named = ["nowhere", "neither"].map(|plugin| body.find(plugin));
    assert!(named[0].is_some() && named[0] < named[1], "{body}");
    // What was too late is not in the way of what comes after it, and is gone.
    until("no compilation goes on", PATIENCE, || server.children().is_empty().then_some(()));
    configure("  - {name: late, plugin: smoothing}\n");
    assert_eq!(api.post("/-/reload", &[], b"").status, 200);
    assert_eq!(api.value("min_over_time(up{job=\"good\"}[10m])"), Some(1.0));
    server.terminate();
    assert_eq!(server.unexpected(&["bad", "nowhere", "wasm_ewma"]), Vec::<String>::new());
}
