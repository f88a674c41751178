import { Plugin } from "./stormglass/index.js";

export default class Hello extends Plugin {
  decode(chunk, out) {
    for (const line of chunk.lines()) {
      const [name, value] = line.split(" ");
      if (value === undefined) chunk.reject(`no value: ${line}`);
      else out.add(name, {}, Number(value));
    }
  }
}
