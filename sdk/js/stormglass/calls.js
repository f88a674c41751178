/** What decoders and functions are given. */

import { decodeUtf8 } from "./text.js";

/** A stretch of bytes that came in at a listener. */
export class Chunk {
  constructor({ data, datagramEnds = [], contentType = "", last = true }) {
    /** @type {Uint8Array} */
    this.data = data;
    /** Exclusive ends of the datagrams in `data`; empty for a stream. */
    this.datagramEnds = datagramEnds;
    this.contentType = contentType;
    /** Whether nothing follows. */
    this.last = last;
    /** Bytes that are done with; the rest comes again before what follows. All of them, unless it is set. */
    this.consumed = data.length;
    /** Messages that made no sense, and what was wrong with the first. */
    this.rejected = 0;
    this.reason = undefined;
  }

  /**
   * The lines, without their ends and empty ones. In a stream that goes on, what follows the last end of a line is left for
   * the next chunk, and `consumed` is set so; a datagram's end is the end of a line.
   */
  lines() {
    let whole = this.data.length;
    if (!this.last) whole = this.data.lastIndexOf(10) + 1;
    this.consumed = whole;
    const lines = [];
    let start = 0;
    for (const end of [...this.datagramEnds, whole]) {
      const text = decodeUtf8(this.data.subarray(start, Math.min(end, whole)));
      for (const line of text.split("\n")) {
        const plain = line.endsWith("\r") ? line.slice(0, -1) : line;
        if (plain !== "") lines.push(plain);
      }
      start = Math.min(end, whole);
    }
    return lines;
  }

  /** Counts a message that made no sense. */
  reject(reason) {
    this.rejected += 1;
    this.reason ??= String(reason);
  }
}

/** One function over some series of a query at all of its steps. */
export class FunctionCall {
  constructor({ name, startMs = 0, stepMs = 0, steps, series, values = [], timestampsMs = [], windowStarts = [], windowEnds = [], scalars = [], texts = [] }) {
    this.name = name;
    this.startMs = startMs;
    this.stepMs = stepMs;
    this.steps = steps;
    this.series = series;
    /** Of a vector, `values[s * steps + i]` is series `s` at step `i`; of a range, the samples of all series. */
    this.values = values;
    this.timestampsMs = timestampsMs;
    this.windowStarts = windowStarts;
    this.windowEnds = windowEnds;
    this.scalars = scalars;
    this.texts = texts;
  }

  /** The values of each series of a vector: one list of `steps` values each. */
  rows() {
    const rows = [];
    for (let s = 0; s < this.series; s++) rows.push(this.values.slice(s * this.steps, (s + 1) * this.steps));
    return rows;
  }

  /** The windows of a range, series by series and step by step: pairs of times in milliseconds and values. */
  windows() {
    return Array.from(this.windowStarts, (start, at) => {
      const end = this.windowEnds[at];
      return [this.timestampsMs.slice(start, end), this.values.slice(start, end)];
    });
  }

  /** A scalar argument at a step; undefined where it was left out. */
  scalar(argument, step) {
    return this.scalars[argument * this.steps + step];
  }
}
