import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  processSpans(spans) {
    for (const { attributes } of spans.spans) attributes.set("planet", "earth");
    return spans;
  }
}
