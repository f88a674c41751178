/**
 * Write Stormglass plugins in JavaScript.
 *
 * A plugin is one class, the default export of plugin.js, that has the method of its kind:
 *
 *     import { Plugin } from "./stormglass/index.js";
 *
 *     export default class Hello extends Plugin {
 *       collect(out) {
 *         out.gauge("hello_answer", "The answer.").set(42, { planet: "earth" });
 *       }
 *     }
 *
 * One object of the class lives as long as the instance and is what all calls work on. What a plugin may ask of the
 * server is in `log`, `clock`, `http`, `files`, `kv`, `secrets`, `telemetry`, `query`, `net` and `dns`; all but the first two
 * are there where `uses:` in plugin.yaml names them.
 */

export { PluginError } from "./errors.js";
export { Metrics, Family } from "./metrics.js";
export { Plugin } from "./kinds.js";
export { Batch } from "./batch.js";
export { Chunk, FunctionCall } from "./calls.js";
export { Json } from "./spans.js";
export { log, clock, http, files, kv, secrets, telemetry, query, net, dns } from "./host.js";
export { HttpError, FileError, KvError, SecretError, QueryError, NetError, DnsError, Connection, Response } from "./host.js";
