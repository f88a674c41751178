// The SDK in Node.js: what is rendered, and the server in miniature.

import assert from "node:assert";
import { test } from "node:test";

import {
  Batch,
  Chunk,
  DnsError,
  FileError,
  FunctionCall,
  HttpError,
  Metrics,
  NetError,
  Plugin,
  PluginError,
  QueryError,
  SecretError,
  clock,
  dns,
  files,
  http,
  kv,
  log,
  net,
  query,
  secrets,
  telemetry,
} from "../stormglass/index.js";
import { start } from "../stormglass/entry.js";
import { collect, withHost } from "../stormglass/testing.js";

test("families keep together", () => {
  const out = new Metrics();
  out.gauge("a", "A.").set(1);
  out.counter("b_total", "B.").set(2, { x: 1 });
  out.gauge("a", "Other.").set(3, { y: "2" });
  assert.equal(
    out.render(),
    '# HELP a A.\n# TYPE a gauge\na 1\na{y="2"} 3\n# HELP b_total B.\n# TYPE b_total counter\nb_total{x="1"} 2\n',
  );
});

test("numbers and texts of any kind", () => {
  const out = new Metrics();
  const family = out.gauge("n", "Two\nlines, a \\.");
  for (const value of [NaN, Infinity, -Infinity, 1e300]) family.set(value, { v: '"\\\n' });
  const lines = ["NaN", "+Inf", "-Inf", "1e+300"].map((text) => `n{v="\\"\\\\\\n"} ${text}\n`);
  assert.equal(out.render(), "# HELP n Two\\nlines, a \\\\.\n# TYPE n gauge\n" + lines.join(""));
});

test("text and samples exclude each other", () => {
  const out = new Metrics();
  out.text("a 1\n");
  assert.equal(out.render(), "a 1\n");
  out.gauge("b", "B.");
  assert.throws(() => out.render(), PluginError);
});

test("a plugin sees the host of its test", () => {
  class Asks extends Plugin {
    collect(out) {
      log.info("asking");
      out.gauge("answer", "").set(http.get("http://api/").check().json().n);
      out.gauge("now", "").set(clock.nowMs());
      out.gauge("file", "").set(files.read("/etc/storm").length);
    }
  }
  const host = { nowMs: 7, http: () => ({ status: 200, body: '{"n": 3, "ü": 1}' }), files: { "/etc/storm": "glass" } };
  const { result, lines } = withHost(host, () => collect(new Asks({})));
  assert.equal(result, "answer 3\nnow 7\nfile 5\n");
  assert.deepEqual(lines, ["info: asking"]);
  assert.throws(() => clock.nowMs(), /uses:/);
});

test("what is not granted is refused", () => {
  withHost({}, () => {
    assert.throws(() => http.get("http://api/"), (error) => error instanceof HttpError && error.kind === "denied" && !error.retryable);
    assert.throws(() => files.read("/etc/shadow"), (error) => error instanceof FileError && error.kind === "not-found");
  });
});

test("what a plugin throws crosses as the interface's error", () => {
  const stderr = [];
  const thrown = (error) => {
    class Throws extends Plugin {
      collect() {
        throw error;
      }
    }
    const component = start(Throws, {}, { log: { stderr: (text) => stderr.push(text) } });
    component.lifecycle.init("{}");
    try {
      component.collector.collect(1000n);
    } catch (crossed) {
      return crossed;
    }
  };
  assert.deepEqual(thrown(new PluginError("later", { retryable: true, retryAfterMs: 5 })), {
    message: "later",
    retryable: true,
    retryAfterMs: 5,
  });
  assert.equal(thrown(new Error("boom")).message, "Error: boom");
  assert.match(stderr[0], /boom/);
});

test("state, secrets, queries and telemetry", () => {
  const given = { kv: { old: "1" }, secrets: { token: "sesame" }, query: () => new Batch().add("up", { job: "a" }, 1) };
  const { telemetry: told } = withHost(given, () => {
    kv.setJson("new", { n: 2 });
    assert.deepEqual([kv.getJson("new"), kv.get("none"), kv.keys()], [{ n: 2 }, undefined, ["new", "old"]]);
    assert.equal(secrets.get("token"), "sesame");
    assert.throws(() => secrets.get("other"), SecretError);
    assert.deepEqual(query.instant("up").series[0].samples, [[null, 1]]);
    telemetry.counterAdd("asked_total", 2, { by: "me" });
  });
  assert.deepEqual(told, { 'asked_total{by="me"}': 2 });
  withHost({}, () => assert.throws(() => query.instant("up"), QueryError));
});

test("connections and look-ups", () => {
  const given = {
    net: (place) => (place === "cache.example:6379" ? [["PING\r\n", "+PONG\r\nmo"], ["QUIT\n", "re\n"]] : []),
    dns: (name, type) => [{ ttlSeconds: 5, data: type === "a" ? "192.0.2.1" : { preference: 1, host: name } }],
  };
  withHost(given, () => {
    const connection = net.connect("cache.example", 6379);
    connection.write("PING\r\n");
    assert.equal(connection.readLine(), "+PONG");
    assert.throws(() => connection.readExact(3), (error) => error instanceof NetError && /waits/.test(error.message));
    connection.write("QUIT\n");
    assert.deepEqual([connection.readLine(), connection.readLine()], ["re", undefined]);
    assert.throws(() => connection.write("more"), NetError);
    assert.deepEqual(dns.lookup("a.example", "a"), [{ name: "a.example.", ttlSeconds: 5, data: "192.0.2.1" }]);
    assert.equal(dns.lookup("a.example", "mx")[0].data.host, "a.example");
  });
  withHost({}, () => {
    assert.throws(() => net.connect("a", 1), NetError);
    assert.throws(() => dns.lookup("a", "a"), DnsError);
  });
});

test("lines of streams and datagrams", () => {
  const bytes = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
  const stream = new Chunk({ data: bytes("a\r\n\nb\nc"), last: false });
  assert.deepEqual([stream.lines(), stream.consumed], [["a", "b"], 6]);
  const datagrams = new Chunk({ data: bytes("abc\nd"), datagramEnds: [1, 3, 5] });
  assert.deepEqual([datagrams.lines(), datagrams.consumed], [["a", "bc", "d"], 5]);
});

test("samples are gathered by series", () => {
  const batch = new Batch().add("m", { a: "1" }, 1, 10).add("m", { a: "2" }, 2).add("m", { a: "1" }, 3, 30);
  assert.deepEqual(batch.series.map(({ samples }) => samples), [[[10, 1], [30, 3]], [[null, 2]]]);
  assert.equal(batch.rewrite((labels) => labels.a === "2").series.length, 1);
});

test("windows and scalars of a function's call", () => {
  const call = new FunctionCall({ name: "f", steps: 2, series: 1, values: [1, 2, 3], timestampsMs: [10, 20, 30], windowStarts: [0, 1], windowEnds: [2, 3], scalars: [5, 6] });
  assert.deepEqual(call.windows(), [[[10, 20], [1, 2]], [[20, 30], [2, 3]]]);
  assert.deepEqual([call.scalar(0, 1), call.scalar(1, 0)], [6, undefined]);
});
