/** A server in miniature, so that ordinary unit tests can call a plugin as the server would. */

import { batchOut } from "./batch.js";
import { functions } from "./host.js";
import { Metrics } from "./metrics.js";
import { decodeUtf8, encodeUtf8 } from "./text.js";

/**
 * Runs `work` on a server that has these things and no other; answers what `work` does, the lines logged, what the store
 * holds, and the plugin's metrics about itself.
 *
 * @param {{nowMs?: number, http?: (request: any) => {status: number, body: string}, files?: Record<string, string>,
 *   kv?: Record<string, string>, secrets?: Record<string, string>, query?: (expr: string) => import("./batch.js").Batch,
 *   net?: (place: string) => [string, string][], dns?: (name: string, type: string) => any[]}} given `net` answers what is said
 *   over a connection to `host:port`: pairs of what the plugin has to send, which may be empty, and what it is sent then
 */
export function withHost({ nowMs = 0, http = undefined, files = {}, kv = {}, secrets = {}, query = undefined, net = undefined, dns = undefined }, work) {
  const before = { ...functions };
  const lines = [];
  const kept = new Map(Object.entries(kv).map(([key, value]) => [key, bytes(value)]));
  const told = {};
  const series = (name, labels) => name + (labels.length > 0 ? `{${labels.map((l) => `${l.name}=${JSON.stringify(l.value)}`).join(",")}}` : "");
  const answer = (expr) => {
    if (query === undefined) throw { tag: "denied", val: "query: is not granted" };
    return batchOut(query(expr), () => nowMs);
  };
  Object.assign(functions, {
    log: { log: (level, message) => lines.push(`${level}: ${message}`) },
    clock: { nowMs: () => nowMs },
    http: {
      fetch(request) {
        if (http === undefined) throw { tag: "denied", val: `http: ${request.url} is not granted` };
        const { status, body, headers = [] } = http(request);
        return { status, headers, body: bytes(body) };
      },
    },
    files: {
      read(path) {
        if (!(path in files)) throw { tag: "not-found", val: `${path}: no such file` };
        return bytes(files[path]);
      },
    },
    kv: {
      get: (key) => kept.get(key),
      set: (key, value) => void kept.set(key, Array.from(value)),
      delete: (key) => void kept.delete(key),
      keys: (prefix) => [...kept.keys()].filter((key) => key.startsWith(prefix)).sort(),
    },
    secrets: {
      get(name) {
        if (!(name in secrets)) throw { tag: "denied", val: `secrets: ${name} is not granted` };
        return secrets[name];
      },
    },
    telemetry: {
      counterAdd(name, labels, amount) {
        told[series(name, labels)] = (told[series(name, labels)] ?? 0) + amount;
      },
      gaugeSet(name, labels, value) {
        told[series(name, labels)] = value;
      },
    },
    query: { instant: answer, range: answer },
    net: {
      connect(host, port) {
        const place = `${host}:${port}`;
        if (net === undefined) throw { tag: "denied", val: `net: ${place} is not granted` };
        return new Scripted(net(place), place);
      },
    },
    dns: {
      lookup(name, type) {
        if (dns === undefined) throw { tag: "denied", val: `dns: ${name} is not granted` };
        return dns(name, type).map(({ ttlSeconds = 0, ...entry }) => ({
          name: `${name}.`,
          ttlSeconds,
          ...entry,
          data: { tag: type, val: entry.data },
        }));
      },
    },
  });
  try {
    return { result: work(), lines, kv: Object.fromEntries(kept), telemetry: told };
  } finally {
    for (const name of Object.keys(functions)) delete functions[name];
    Object.assign(functions, before);
  }
}

/** The other side of a connection, which keeps to pairs of what it is sent and what it answers. */
class Scripted {
  constructor(talk, place) {
    this.talk = talk.map(([sent, received]) => [bytes(sent), bytes(received)]);
    this.place = place;
  }

  write(data) {
    for (const byte of data) {
      const [expected] = this.talk.find(([sent, received]) => sent.length > 0 || received.length > 0) ?? [[]];
      if (expected.shift() !== byte) throw { tag: "other", val: `the test does not expect ${decodeUtf8(Uint8Array.from(data))}` };
    }
  }

  read(max) {
    while (this.talk.length > 0 && this.talk[0].every((half) => half.length === 0)) this.talk.shift();
    if (this.talk.length === 0) return [];
    const [expected, received] = this.talk[0];
    if (expected.length > 0) throw { tag: "other", val: "the test waits for more to be sent" };
    return received.splice(0, max);
  }

  startTls() {}

  session() {
    return undefined;
  }

  peer() {
    return this.place;
  }
}

/** Collects once; gives the lines of the samples, without help and types. */
export function collect(plugin) {
  const out = new Metrics();
  plugin.collect(out);
  const lines = out.render().split("\n");
  return lines
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line + "\n")
    .join("");
}

function bytes(body) {
  return typeof body === "string" ? Array.from(encodeUtf8(body)) : body;
}
