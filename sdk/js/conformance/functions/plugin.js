// The functions of the conformance cases: see sdk/conformance.

import { Plugin, PluginError } from "./stormglass/index.js";

export default class Functions extends Plugin {
  signatures() {
    return [
      { name: "scale", help: "Multiplies, by 2 unless told.", parameters: ["vector", "scalar"], optional: 1 },
      { name: "window_count", help: "Samples of each window.", parameters: ["range"] },
      { name: "window_span", help: "Seconds from first to last.", parameters: ["range"] },
      { name: "text_bytes", help: "Adds the length of a text.", parameters: ["vector", "text"] },
      { name: "refuse", help: "Fails.", parameters: ["vector"] },
    ];
  }

  eval(call) {
    switch (call.name) {
      case "scale":
        return call.rows().flatMap((row) => row.map((value, step) => value * (call.scalar(0, step) ?? 2)));
      case "window_count":
        return call.windows().map(([, values]) => values.length);
      case "window_span":
        return call.windows().map(([times]) => (times.length > 0 ? (times.at(-1) - times[0]) / 1000 : 0));
      case "text_bytes":
        return Array.from(call.values, (value) => value + call.texts[0].length);
      default:
        throw new PluginError("refused");
    }
  }
}
