import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  poll() {
    const targets = [{ address: "127.0.0.1:9100", labels: { planet: "earth" } }];
    return { groups: [{ source: "hello", targets }] };
  }
}
