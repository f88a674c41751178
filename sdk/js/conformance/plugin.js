// The conformance plugin: see sdk/conformance.

import { Plugin, PluginError, clock, files, http, log } from "./stormglass/index.js";

export default class Conformance extends Plugin {
  calls = 0;

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
      }
    }
  }
}
