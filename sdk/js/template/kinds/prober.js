import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  probe(target, params, out) {
    out.gauge("hello_target_bytes", "How long the target's name is.").set(target.length, { target });
  }
}
