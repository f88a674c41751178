import { Plugin } from "./stormglass/index.js";
export default class Many extends Plugin {
  collect(out) {
    const family = out.gauge("many", "Many.");
    for (let i = 0; i < this.config.series; i++) family.set(i, { i });
  }
}
