/**
 * Spans as a processor sees them, to and from the interface's records.
 *
 * The runtime hands integers over as numbers: those beyond 2^53, and with them times in nanoseconds since the epoch, are
 * rounded, times to a multiple of 256. The server puts right what comes back unchanged.
 */

/** A list or a map within an attribute, as JSON: numbers in it are exact, which `parse` need not keep. */
export class Json {
  constructor(text) {
    this.text = text;
  }

  parse() {
    return JSON.parse(this.text);
  }
}

/** From the interface's records: attributes become a Map, all else is as the interface has it. */
export function spansIn(raw) {
  return {
    resources: Array.from(raw.resources, attributesIn),
    scopes: Array.from(raw.scopes, (scope) => ({ ...scope, attributes: attributesIn(scope.attributes) })),
    spans: Array.from(raw.spans, (span) => ({
      ...span,
      attributes: attributesIn(span.attributes),
      events: Array.from(span.events, (event) => ({ ...event, attributes: attributesIn(event.attributes) })),
      links: Array.from(span.links, (link) => ({ ...link, attributes: attributesIn(link.attributes) })),
    })),
  };
}

/** To the interface's records. */
export function spansOut(spans) {
  return {
    resources: spans.resources.map(attributesOut),
    scopes: spans.scopes.map((scope) => ({ ...scope, attributes: attributesOut(scope.attributes) })),
    spans: spans.spans.map((span) => ({
      ...span,
      attributes: attributesOut(span.attributes),
      events: span.events.map((event) => ({ ...event, attributes: attributesOut(event.attributes) })),
      links: span.links.map((link) => ({ ...link, attributes: attributesOut(link.attributes) })),
    })),
  };
}

function attributesIn(attributes) {
  return new Map(Array.from(attributes, ({ key, value }) => [key, valueIn(value)]));
}

function valueIn({ tag, val }) {
  switch (tag) {
    case "json":
      return new Json(val);
    case "int":
      return BigInt(val);
    case "bytes":
      return Uint8Array.from(val);
    case "empty":
      return null;
    default:
      return val;
  }
}

function attributesOut(attributes) {
  return Array.from(attributes, ([key, value]) => ({ key, value: valueOut(value) }));
}

function valueOut(value) {
  switch (typeof value) {
    case "string":
      return { tag: "text", val: value };
    case "boolean":
      return { tag: "boolean", val: value };
    case "bigint":
      return { tag: "int", val: Number(value) };
    case "number":
      return { tag: "double", val: value };
  }
  if (value === null || value === undefined) return { tag: "empty" };
  if (value instanceof Uint8Array) return { tag: "bytes", val: value };
  return { tag: "json", val: value instanceof Json ? value.text : JSON.stringify(value) };
}
