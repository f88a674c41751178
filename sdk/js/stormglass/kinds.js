/** What a plugin is, and what each kind is asked. */

/**
 * How a plugin starts; every kind builds on it. A plugin has the methods of its kinds, which plugin.yaml names:
 *
 * - collector: `collect(out)` fills `out`, a Metrics; when it throws, nothing of it is kept and `up` is 0.
 * - discoverer: `poll()` answers `{groups: [{source, targets: [{address, labels}], labels}], nextPollMs}`, all there is
 *   now; when it throws, the server keeps the groups it has.
 * - receiver: `notify(notification)` delivers a group of alerts; returning says that it has arrived.
 * - prober: `probe(target, params, out)` fills `out` with samples of one target; `params` has a list of texts for each
 *   name. A target that does not answer is told by a sample such as `probe_success 0`; throwing says that the plugin could
 *   not do its work.
 * - detector: `detect(job)` answers `{scores, lower, upper}`, one value for each of `job.values` in the same order, or
 *   empty bounds.
 * - trainer: `train(history, prior)` learns from a longer job and answers a model, as bytes or text; `prior` is the one there
 *   is, empty before the first. `load(model)` takes the bytes that `detect` is to use; the server keeps them.
 * - decoder: `decode(chunk, out)` reads a Chunk that came in at a listener and adds to `out`, a Batch.
 * - function: `signatures()` answers `[{name, help, parameters, optional}]`, parameters of `vector`, `range`, `scalar` and
 *   `text`; `eval(call)` answers one value for each series and step of a FunctionCall. Functions are pure: such a plugin
 *   calls nothing of the server but `log`, and keeps nothing between calls.
 * - sample-processor: `processSamples(batch)` answers the Batch to store in place of this one; it may be the same, changed.
 * - span-processor: `processSpans(spans)` answers `{resources, scopes, spans}` to store in place of these. Attributes are a
 *   Map; integers are BigInt, doubles are numbers, bytes are Uint8Array, lists and maps are Json.
 *
 * Labels are plain objects. Records have the names of the interfaces in camelCase; times are numbers of milliseconds.
 */
export class Plugin {
  /**
   * Called once in each new instance.
   * @param {object} config the configured object, already valid by the schema in plugin.yaml
   */
  constructor(config) {
    this.config = config;
  }
}
