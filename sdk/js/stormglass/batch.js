/** Samples of any number of series and times: what decoders yield, processors change and queries answer. */

/** @typedef {{labels: Record<string, string>, samples: [number | null, number][], histograms: any[], exemplars: any[]}} Series */

/**
 * `series` is a list of `{labels, samples, histograms, exemplars}`. Labels are a plain object, with the metric's name as
 * `__name__`; samples are pairs of time in milliseconds (null for now) and value. `families` is a list of
 * `{name, kind, help, unit}`.
 */
export class Batch {
  /** @type {Series[]} */
  series = [];
  families = [];
  #known = null;

  /** Adds a sample; of now where it has no time. */
  add(name, labels, value, atMs = null) {
    this.#known ??= new Map(this.series.map((series) => [key(series.labels), series]));
    const all = { ...labels, __name__: name };
    const named = key(all);
    let series = this.#known.get(named);
    if (series === undefined) {
      for (const label in all) all[label] = String(all[label]);
      series = { labels: all, samples: [], histograms: [], exemplars: [] };
      this.#known.set(named, series);
      this.series.push(series);
    }
    series.samples.push([atMs, Number(value)]);
    return this;
  }

  /** Says what a metric is. */
  family(name, kind, help) {
    this.families.push({ name, kind, help, unit: "" });
    return this;
  }

  /**
   * Lets `change` have the labels of every series, to change them where they are; drops the series for which it answers
   * false. Answers itself.
   * @param {(labels: Record<string, string>) => boolean | void} change
   */
  rewrite(change) {
    this.series = this.series.filter((series) => change(series.labels) !== false);
    this.#known = null;
    return this;
  }
}

function key(labels) {
  return JSON.stringify(Object.keys(labels).sort().map((name) => [name, String(labels[name])]));
}

/** From the interface's columns. */
export function batchIn(raw) {
  const batch = new Batch();
  let label = 0;
  let sample = 0;
  raw.labelEnds.forEach((labelEnd, index) => {
    const labels = {};
    for (; label < labelEnd; label += 2) labels[raw.strings[raw.labelRefs[label]]] = raw.strings[raw.labelRefs[label + 1]];
    const sampleEnd = raw.sampleEnds.length > 0 ? raw.sampleEnds[index] : raw.values.length > 0 ? index + 1 : 0;
    const samples = [];
    for (; sample < sampleEnd; sample++) {
      const at = raw.timestampsMs[sample];
      samples.push([at ?? null, raw.values[sample]]);
    }
    batch.series.push({ labels, samples, histograms: [], exemplars: [] });
  });
  for (const histogram of raw.histograms) batch.series[histogram.series].histograms.push(histogram);
  for (const exemplar of raw.exemplars) batch.series[exemplar.series].exemplars.push(exemplar);
  batch.families = Array.from(raw.families);
  return batch;
}

/** To the interface's columns. `nowMs` is asked where only some of the samples have a time. */
export function batchOut(batch, nowMs) {
  const raw = {
    strings: [],
    labelRefs: [],
    labelEnds: [],
    sampleEnds: [],
    timestampsMs: [],
    values: [],
    families: batch.families,
    histograms: [],
    exemplars: [],
  };
  const known = new Map();
  const intern = (text) => {
    let at = known.get(text);
    if (at === undefined) {
      at = raw.strings.push(text) - 1;
      known.set(text, at);
    }
    return at;
  };
  const timed = batch.series.some(({ samples }) => samples.some(([at]) => at !== null && at !== undefined));
  const now = timed ? nowMs() : 0;
  batch.series.forEach((series, index) => {
    for (const name in series.labels) raw.labelRefs.push(intern(name), intern(String(series.labels[name])));
    raw.labelEnds.push(raw.labelRefs.length);
    for (const [at, value] of series.samples) {
      raw.values.push(value);
      if (timed) raw.timestampsMs.push(at ?? now);
    }
    raw.sampleEnds.push(raw.values.length);
    for (const histogram of series.histograms) raw.histograms.push({ ...histogram, series: index });
    for (const exemplar of series.exemplars) raw.exemplars.push({ ...exemplar, series: index });
  });
  return raw;
}
