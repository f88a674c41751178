import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  processSamples(batch) {
    return batch.rewrite((labels) => {
      labels.planet = "earth";
    });
  }
}
