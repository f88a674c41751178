// The conformance plugin: see sdk/conformance.

import { Plugin, PluginError, clock, dns, files, http, kv, log, net, query, secrets, telemetry } from "./stormglass/index.js";

export default class Conformance extends Plugin {
  calls = 0;
  model = "";

  collect(out) {
    this.calls += 1;
    let family;
    for (const [op, ...rest] of this.config.ops) {
      switch (op) {
        case "gauge":
          family = out.gauge(...rest);
          break;
        case "counter":
          family = out.counter(...rest);
          break;
        case "set": {
          const labels = {};
          for (let i = 1; i < rest.length; i += 2) labels[rest[i]] = rest[i + 1];
          family.set(Number(rest[0]), labels);
          break;
        }
        case "many":
          for (let i = 0; i < rest[0]; i++) family.set(i, { i });
          break;
        case "text":
          out.text(rest[0]);
          break;
        case "now":
          out.gauge("now_ms", "The clock.").set(clock.nowMs());
          break;
        case "calls":
          out.gauge("calls", "Collections so far.").set(this.calls);
          break;
        case "fetch": {
          const response = http.get(rest[0]);
          out.gauge("fetch_status", "Status.").set(response.status);
          out.gauge("fetch_bytes", "Body.").set(response.body.length);
          break;
        }
        case "read":
          out.gauge("read_bytes", "File.").set(files.read(rest[0]).length);
          break;
        case "log":
          log[rest[0]](rest[1]);
          break;
        case "fail":
          throw new PluginError(rest[0], { retryable: rest[1] });
        case "kv-set":
          kv.set(rest[0], rest[1]);
          break;
        case "kv-get":
          out.gauge("kv_bytes", "Value.").set(kv.get(rest[0])?.length ?? -1);
          break;
        case "kv-delete":
          kv.delete(rest[0]);
          break;
        case "kv-keys":
          out.gauge("kv_keys", "Keys.").set(kv.keys(rest[0]).length);
          break;
        case "secret":
          out.gauge("secret_bytes", "Secret.").set(secrets.get(rest[0]).length);
          break;
        case "count":
          telemetry.counterAdd(rest[0], rest[1], { [rest[2]]: rest[3] });
          break;
        case "measure":
          telemetry.gaugeSet(rest[0], rest[1]);
          break;
        case "query":
          for (const { labels, samples } of query.instant(rest[0]).series) {
            const { __name__, ...others } = labels;
            out.gauge("answer", "Answer.").set(samples[0][1], others);
          }
          break;
        case "lookup":
          for (const { name, ttlSeconds, data } of dns.lookup(rest[0], rest[1])) {
            const text = typeof data === "string" ? data : Object.values(data).join(" ");
            out.gauge("record_ttl", "A record.").set(ttlSeconds, { name, data: text });
          }
          break;
        case "talk": {
          const [host, port, mode, ...lines] = rest;
          const connection = net.connect(host, port, { tls: mode === "tls" });
          lines.forEach((line, i) => {
            if (mode === "start-tls" && i === 1) connection.startTls();
            connection.write(`${line}\r\n`);
            out.gauge("talk_line", "An answer.").set(i, { text: connection.readLine() ?? "" });
          });
          const session = connection.session();
          if (session !== undefined) out.gauge("talk_tls", "TLS.").set(1, { version: session.version });
          connection.close();
          break;
        }
        case "query-range": {
          const values = query.range(...rest).series.flatMap(({ samples }) => samples.map(([, value]) => value));
          out.gauge("answer_samples", "Samples.").set(values.length);
          out.gauge("answer_sum", "Sum.").set(values.reduce((sum, value) => sum + value, 0));
          break;
        }
      }
    }
  }

  probe(target, params, out) {
    if (target === "unreachable") throw new PluginError("no way to unreachable");
    const values = Object.entries(params).flatMap(([name, values]) => values.map((value) => [name, value]));
    out.gauge("probe_params", "Parameters.").set(values.length, { target });
    for (const [name, value] of values) out.gauge("probe_param", "A parameter.").set(1, { name, value });
  }

  poll() {
    const targets = this.config.ops
      .filter(([op]) => op === "target")
      .map(([, address, label, text]) => ({ address, labels: { [label]: text } }));
    return { groups: [{ source: "conformance", targets, labels: { from: "conformance" } }], nextPollMs: 60000 };
  }

  notify({ receiver, status, alerts }) {
    for (const [op, message, retryable] of this.config.ops) if (op === "fail") throw new PluginError(message, { retryable });
    log.info(`${receiver === "" ? "nobody" : "somebody"} ${status} ${alerts.length} ${alerts[0].labels.alertname}`);
  }

  train({ values }, prior) {
    const sum = values.reduce((sum, value) => (Number.isNaN(value) ? sum : sum + value), 0);
    const before = String.fromCharCode(...prior);
    return `${before}${before === "" ? "" : ";"}sum=${sum}`;
  }

  load(model) {
    this.model = String.fromCharCode(...model);
  }

  detect({ values }) {
    const plus = (by) => Array.from(values, (value) => value + by);
    return { scores: plus(this.model.length), lower: plus(-1), upper: plus(1) };
  }

  decode(chunk, out) {
    for (const line of chunk.lines()) {
      const [name, value, at] = line.split(" ");
      if (line === "refuse") throw new PluginError("refused");
      if (value === undefined) chunk.reject(`no value: ${line}`);
      else out.add(name, { type: chunk.contentType }, Number(value), at === undefined ? null : Number(at));
    }
  }

  processSamples(batch) {
    return batch.rewrite((labels) => {
      if (labels.__name__.startsWith("drop_")) return false;
      delete labels.secret;
      labels.env = "test";
    });
  }

  processSpans(spans) {
    const hide = (attributes) => attributes.has("secret") && attributes.set("secret", "x");
    spans.resources.forEach(hide);
    spans.spans = spans.spans.filter(({ name }) => name !== "drop");
    for (const span of spans.spans) {
      span.attributes.set("seen", BigInt(span.attributes.size));
      hide(span.attributes);
      span.events.forEach(({ attributes }) => hide(attributes));
    }
    return spans;
  }
}
