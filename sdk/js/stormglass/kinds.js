/** What a plugin is, and what each kind is asked. */

/**
 * How a plugin starts; every kind builds on it. A plugin has the methods of its kinds, which plugin.yaml names:
 *
 * - collector: `collect(out)` fills `out`, a Metrics; when it throws, nothing of it is kept and `up` is 0.
 * - discoverer: `poll()` answers `{groups: [{source, targets: [{address, labels}], labels}], nextPollMs}`, all there is
 *   now; when it throws, the server keeps the groups it has.
 * - receiver: `notify(notification)` delivers a group of alerts; returning says that it has arrived.
 * - detector: `detect(job)` answers `{scores, lower, upper}`, one value for each of `job.values` in the same order, or
 *   empty bounds.
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
