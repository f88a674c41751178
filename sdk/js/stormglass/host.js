/**
 * What a plugin may ask of the server. `functions` holds the real functions in a component and a test's own in
 * testing.js, by the import's name in WIT.
 */

import { PluginError } from "./errors.js";

/** @type {Record<string, any>} */
export const functions = {};

function of(name) {
  const found = functions[name];
  if (found === undefined) {
    throw new Error(`${name} is not there: name it under uses: in plugin.yaml, or use testing.js in a test`);
  }
  return found;
}

/** Lines in the server's log. Needs no grant; lines over the limit are dropped and counted. */
export const log = {
  debug: (message) => of("log").log("debug", String(message)),
  info: (message) => of("log").log("info", String(message)),
  warn: (message) => of("log").log("warn", String(message)),
  error: (message) => of("log").log("error", String(message)),
};

/** Time, in milliseconds since the Unix epoch. Needs no grant. `Date` works as well. */
export const clock = {
  nowMs: () => Number(of("clock").nowMs()),
};

/** No response. `kind` is `denied`, `invalid`, `connect`, `timeout`, `too-large` or `other`. */
export class HttpError extends PluginError {
  constructor(kind, message) {
    super(message, { retryable: ["connect", "timeout", "other"].includes(kind) });
    this.kind = kind;
  }
}

/** Any status is a response, not an error. */
export class Response {
  constructor(status, headers, body) {
    this.status = status;
    /** @type {[string, string][]} */
    this.headers = headers;
    /** @type {Uint8Array} */
    this.body = body;
  }

  /** The first header of this name, whatever its case. */
  header(name) {
    return this.headers.find(([given]) => given.toLowerCase() === name.toLowerCase())?.[1];
  }

  text() {
    return decodeUtf8(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }

  /** Itself, unless the status is 400 or higher. 429 and 5xx are worth another attempt. */
  check() {
    if (this.status < 400) return this;
    throw new PluginError(`answered ${this.status}`, { retryable: this.status === 429 || this.status >= 500 });
  }
}

/** Outgoing HTTP. Needs `uses: [http]` in plugin.yaml, and a grant for scheme, host and port of the URL. */
export const http = {
  get: (url, options = {}) => http.request("GET", url, options),
  post: (url, options = {}) => http.request("POST", url, options),

  /**
   * Sends one request and waits for the whole response.
   * @param {{headers?: Record<string, string>, body?: string | Uint8Array, json?: any, timeoutMs?: number}} options
   */
  request(method, url, { headers = {}, body = "", json = undefined, timeoutMs = undefined } = {}) {
    const fields = Object.entries(headers).map(([name, value]) => ({ name, value }));
    if (json !== undefined) {
      body = JSON.stringify(json);
      if (!fields.some(({ name }) => name.toLowerCase() === "content-type")) {
        fields.push({ name: "content-type", value: "application/json" });
      }
    }
    const bytes = typeof body === "string" ? encodeUtf8(body) : body;
    const answer = asked(HttpError, `${method} ${url}: `, () =>
      of("http").fetch({ method, url, headers: fields, body: bytes, timeoutMs }),
    );
    const pairs = answer.headers.map(({ name, value }) => [name, value]);
    return new Response(answer.status, pairs, Uint8Array.from(answer.body));
  },
};

/** `kind` is `denied`, `not-found`, `too-large` or `other`. */
export class FileError extends PluginError {
  constructor(kind, message) {
    super(message, { retryable: kind === "other" });
    this.kind = kind;
  }
}

/** Files of the server's machine. Needs `uses: [files]` in plugin.yaml, and a grant for a directory above the path. */
export const files = {
  /** The whole file, as bytes. */
  read: (path) => Uint8Array.from(asked(FileError, "", () => of("files").read(path))),
  readText: (path) => decodeUtf8(files.read(path)),
  /** What a directory holds: `{name, kind}`, kind `file`, `directory`, `link` or `other`. */
  readDir: (path) => asked(FileError, "", () => of("files").readDir(path)),
  /** Where a link points, as it is written. */
  readLink: (path) => asked(FileError, "", () => of("files").readLink(path)),
};

/** Calls the server; a variant that it throws becomes an error of ours. */
function asked(Kind, what, ask) {
  try {
    return ask();
  } catch (thrown) {
    const error = thrown?.payload ?? thrown;
    if (typeof error?.tag !== "string") throw thrown;
    const told = typeof error.val === "string" ? error.val : error.tag;
    const limit = typeof error.val === "number" || typeof error.val === "bigint" ? `: the limit is ${error.val} bytes` : "";
    throw new Kind(error.tag, what + told + limit);
  }
}

// QuickJS has neither TextEncoder nor TextDecoder.
function encodeUtf8(text) {
  const escaped = unescape(encodeURIComponent(text));
  const bytes = new Uint8Array(escaped.length);
  for (let i = 0; i < escaped.length; i++) bytes[i] = escaped.charCodeAt(i);
  return bytes;
}

function decodeUtf8(bytes) {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 4096) binary += String.fromCharCode(...bytes.subarray(i, i + 4096));
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    // Not UTF-8: as Latin-1, rather than not at all.
    return binary;
  }
}
