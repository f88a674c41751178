import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  detect({ values }) {
    return { scores: Array.from(values, (value) => Number(value > 100)) };
  }
}
