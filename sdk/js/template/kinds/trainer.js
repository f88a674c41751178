import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  largest = Infinity;

  train({ values }) {
    return String(Math.max(...Array.from(values).filter((value) => !Number.isNaN(value))));
  }

  load(model) {
    this.largest = Number(String.fromCharCode(...model));
  }

  detect({ values }) {
    return { scores: Array.from(values, (value) => Number(value > this.largest)) };
  }
}
