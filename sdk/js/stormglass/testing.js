/** A server in miniature, so that ordinary unit tests can call a plugin as the server would. */

import { functions } from "./host.js";
import { Metrics } from "./metrics.js";

/**
 * Runs `work` on a server that has these things and no other; answers what `work` does, and the lines logged.
 *
 * @param {{nowMs?: number, http?: (request: any) => {status: number, body: string}, files?: Record<string, string>}} given
 */
export function withHost({ nowMs = 0, http = undefined, files = {} }, work) {
  const before = { ...functions };
  const lines = [];
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
  });
  try {
    return { result: work(), lines };
  } finally {
    for (const name of Object.keys(functions)) delete functions[name];
    Object.assign(functions, before);
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
  return typeof body === "string" ? Array.from(unescape(encodeURIComponent(body)), (c) => c.charCodeAt(0)) : body;
}
