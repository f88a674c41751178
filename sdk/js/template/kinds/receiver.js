import { Plugin, log } from "./stormglass/index.js";

export default class Hello extends Plugin {
  notify({ status, alerts }) {
    log.info(`${status}: ${alerts.length}`);
  }
}
