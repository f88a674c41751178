// The SDK in Node.js: what is rendered, and the server in miniature.

import assert from "node:assert";
import { test } from "node:test";

import { FileError, HttpError, Metrics, Plugin, PluginError, clock, files, http, log } from "../stormglass/index.js";
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
