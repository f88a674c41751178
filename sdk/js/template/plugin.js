import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  collect(out) {
    out.gauge("hello_answer", "The answer.").set(42, { planet: "earth" });
  }
}
