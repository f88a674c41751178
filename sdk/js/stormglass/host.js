/**
 * What a plugin may ask of the server. `functions` holds the real functions in a component and a test's own in
 * testing.js, by the import's name in WIT.
 */

import { batchIn } from "./batch.js";
import { PluginError } from "./errors.js";
import { decodeUtf8, encodeUtf8 } from "./text.js";

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

/** `kind` is `invalid-key`, `full` or `other`. */
export class KvError extends PluginError {
  constructor(kind, message) {
    super(message, { retryable: kind === "other" });
    this.kind = kind;
  }
}

/**
 * Values that outlive the instance: they are there again after a trap, a reload, a new version of the plugin and a restart
 * of the server. Needs `uses: [kv]` in plugin.yaml and no grant; `limits.kv` says how much there may be.
 */
export const kv = {
  /** The value as bytes; undefined where there is none. */
  get(key) {
    const value = asked(KvError, "", () => of("kv").get(key));
    return value === undefined || value === null ? undefined : Uint8Array.from(value);
  },
  getText(key) {
    const value = kv.get(key);
    return value === undefined ? undefined : decodeUtf8(value);
  },
  getJson(key) {
    const text = kv.getText(key);
    return text === undefined ? undefined : JSON.parse(text);
  },
  /** Stores bytes or a text; gone after `ttlMs`, where that is given. */
  set(key, value, { ttlMs = undefined } = {}) {
    const bytes = typeof value === "string" ? encodeUtf8(value) : value;
    asked(KvError, "", () => of("kv").set(key, bytes, ttlMs));
  },
  setJson: (key, value, options = {}) => kv.set(key, JSON.stringify(value), options),
  delete: (key) => asked(KvError, "", () => of("kv").delete(key)),
  /** The keys that begin with `prefix`, sorted. */
  keys: (prefix = "") => Array.from(asked(KvError, "", () => of("kv").keys(prefix))),
};

/** `kind` is `denied` or `unavailable`. */
export class SecretError extends PluginError {
  constructor(kind, message) {
    super(message, { retryable: kind === "unavailable" });
    this.kind = kind;
  }
}

/**
 * Secrets of the operator, by name. Needs `uses: [secrets]` in plugin.yaml, and a grant for each. One that the
 * configuration sends as a header needs nothing here: the server sets it in each request.
 */
export const secrets = {
  /** The secret as it is now. Ask each time it is needed, so that a changed one is used. */
  get: (name) => asked(SecretError, "", () => of("secrets").get(name)),
};

/**
 * Metrics of the plugin about itself, shown among the server's as `stormglass_plugin_own_<name>`. Needs
 * `uses: [telemetry]` in plugin.yaml and no grant. What is no metric, and series over the limit, are dropped and counted.
 */
export const telemetry = {
  counterAdd: (name, amount = 1, labels = {}) => of("telemetry").counterAdd(name, pairs(labels), amount),
  gaugeSet: (name, value, labels = {}) => of("telemetry").gaugeSet(name, pairs(labels), value),
};

function pairs(labels) {
  return Object.entries(labels).map(([name, value]) => ({ name, value: String(value) }));
}

/** `kind` is `denied`, `invalid`, `timeout` or `other`. */
export class QueryError extends PluginError {
  constructor(kind, message) {
    super(message, { retryable: kind === "timeout" || kind === "other" });
    this.kind = kind;
  }
}

/** The server's own metrics, through PromQL. Needs `uses: [query]` in plugin.yaml, and the grant `query`. */
export const query = {
  /** The vector or scalar of an expression, now or at a time: a Batch whose series have one sample each. */
  instant(expr, atMs = undefined) {
    return batchIn(asked(QueryError, `query ${expr}: `, () => of("query").instant(expr, atMs)));
  },
  /** The series of an expression at every step of a range, both ends included: a Batch. */
  range(expr, startMs, endMs, stepMs) {
    return batchIn(asked(QueryError, `query ${expr}: `, () => of("query").range(expr, startMs, endMs, stepMs)));
  },
};

/** `kind` is `denied`, `invalid`, `connect`, `tls`, `timeout`, `closed`, `limit` or `other`. */
export class NetError extends PluginError {
  constructor(kind, message) {
    super(message, { retryable: ["connect", "tls", "timeout", "closed", "other"].includes(kind) });
    this.kind = kind;
  }
}

/** A connection; it ends with the call that made it. */
export class Connection {
  #raw;
  #place;
  /** What was read and not yet asked for. */
  #left = new Uint8Array(0);

  constructor(raw, place) {
    this.#raw = raw;
    this.#place = place;
  }

  #asked = (ask) => asked(NetError, `${this.#place}: `, ask);

  /** Bytes, `max` at most and at least one; none at the end of what the other side sends. */
  read(max = 65536, { timeoutMs = undefined } = {}) {
    const bytes = this.#left.length > 0 ? this.#left : Uint8Array.from(this.#asked(() => this.#raw.read(max, timeoutMs)));
    this.#left = bytes.subarray(max);
    return bytes.subarray(0, max);
  }

  /** Just as many bytes; an error where the other side sends fewer. */
  readExact(length, options = {}) {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const some = this.read(length - at, options);
      if (some.length === 0) throw new NetError("closed", `${this.#place}: closed after ${at} of ${length} bytes`);
      bytes.set(some, at);
      at += some.length;
    }
    return bytes;
  }

  /** A line as text, without its end; undefined where there is none any more. One of more than `max` bytes is an error. */
  readLine({ max = 65536, timeoutMs = undefined } = {}) {
    let line = new Uint8Array(0);
    for (;;) {
      const some = this.read(65536, { timeoutMs });
      const end = some.indexOf(10);
      const both = new Uint8Array(line.length + (end < 0 ? some.length : end));
      both.set(line);
      both.set(end < 0 ? some : some.subarray(0, end), line.length);
      line = both;
      if (end >= 0) this.#left = some.subarray(end + 1);
      if (line.length > max) throw new NetError("limit", `${this.#place}: a line of more than ${max} bytes`);
      if (some.length === 0 && line.length === 0) return undefined;
      if (end >= 0 || some.length === 0) return decodeUtf8(line.at(-1) === 13 ? line.subarray(0, -1) : line);
    }
  }

  /** Sends all of a text or of bytes. */
  write(data, { timeoutMs = undefined } = {}) {
    const bytes = typeof data === "string" ? encodeUtf8(data) : data;
    this.#asked(() => this.#raw.write(bytes, timeoutMs));
  }

  /**
   * Speaks TLS from here on. Bytes that the other side sent before and nobody has read are an error.
   * @param {{serverName?: string, authorities?: string, certificate?: string, key?: string, acceptInvalid?: boolean,
   *   protocols?: string[], timeoutMs?: number}} options certificates and key as PEM
   */
  startTls(options = {}) {
    if (this.#left.length > 0) throw new NetError("invalid", `${this.#place}: there is more in plain text`);
    this.#asked(() => this.#raw.startTls(tlsOut(options), options.timeoutMs));
  }

  /** What the TLS handshake told: version, cipher, protocol, certificates; undefined where there was none. */
  session() {
    return this.#raw.session() ?? undefined;
  }

  /** The address of the other side: `192.0.2.1:5432`. */
  peer() {
    return this.#raw.peer();
  }

  close() {
    this.#raw[Symbol.dispose]?.();
  }
}

function tlsOut({ serverName = undefined, authorities = "", certificate = "", key = "", acceptInvalid = false, protocols = [] }) {
  const pem = (text) => (typeof text === "string" ? encodeUtf8(text) : text);
  return { serverName, authorities: pem(authorities), certificate: pem(certificate), key: pem(key), acceptInvalid, protocols };
}

/** Connections over TCP. Needs `uses: [net]` in plugin.yaml, and a grant for host and port. */
export const net = {
  /**
   * Connects to the first of the host's addresses that takes it. `tls` is true, or options as `startTls` takes them, for TLS
   * from the first byte on; `family` is `any`, `ipv4` or `ipv6`.
   */
  connect(host, port, { tls = false, family = "any", timeoutMs = undefined } = {}) {
    const options = { timeoutMs, family, tls: tls === false ? undefined : tlsOut(tls === true ? {} : tls) };
    const place = `${host}:${port}`;
    return new Connection(asked(NetError, `${place}: `, () => of("net").connect(host, port, options)), place);
  },
};

/** `kind` is `denied`, `invalid`, `no-such-name`, `timeout` or `other`. */
export class DnsError extends PluginError {
  constructor(kind, message) {
    super(message, { retryable: kind === "timeout" || kind === "other" });
    this.kind = kind;
  }
}

/** The DNS. Needs `uses: [dns]` in plugin.yaml, and a grant for the name. */
export const dns = {
  /**
   * Looks up records of a type: `a`, `aaaa`, `cname`, `mx`, `ns`, `ptr`, `srv` or `txt`. Answers
   * `{name, ttlSeconds, data}`; `data` is a text, of `mx` `{preference, host}`, of `srv` `{priority, weight, port, target}`.
   * `server` is `host:port` of another one than the system's.
   */
  lookup(name, type, { server = undefined, timeoutMs = undefined } = {}) {
    const entries = asked(DnsError, `look up ${name}: `, () => of("dns").lookup(name, type, server, timeoutMs));
    return Array.from(entries, ({ name, ttlSeconds, data }) => ({ name, ttlSeconds, data: data.val }));
  },
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

