import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  signatures() {
    return [{ name: "double", help: "Twice as much.", parameters: ["vector"] }];
  }

  eval(call) {
    return Array.from(call.values, (value) => 2 * value);
  }
}
