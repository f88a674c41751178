/**
 * What the component exports: the bindings' calls, handed to the plugin's class. The build writes a module that calls
 * `start` with the plugin, what its plugin.yaml says, and the imports that it names.
 */

import { Batch, batchIn, batchOut } from "./batch.js";
import { Chunk, FunctionCall } from "./calls.js";
import { PluginError } from "./errors.js";
import { clock, functions } from "./host.js";
import { Metrics } from "./metrics.js";
import { spansIn, spansOut } from "./spans.js";
import { encodeUtf8 } from "./text.js";

export function start(Plugin, info, imports) {
  Object.assign(functions, imports);
  if (typeof Plugin !== "function") throw new TypeError("plugin.js has no class as its default export");
  let plugin = null;

  return {
    meta: { describe: () => info },
    lifecycle: {
      init: (config) =>
        guarded(() => {
          plugin = new Plugin(JSON.parse(config));
        }),
    },
    collector: {
      collect: (deadlineMs) =>
        guarded(() => {
          const out = new Metrics(Number(deadlineMs));
          plugin.collect(out);
          return { tag: "text", val: out.render() };
        }),
    },
    discoverer: {
      poll: () =>
        guarded(() => {
          const { groups, nextPollMs } = plugin.poll();
          return {
            groups: groups.map(({ source, targets, labels = {} }) => ({
              source,
              targets: targets.map(({ address, labels = {} }) => ({ address, labels: pairs(labels) })),
              labels: pairs(labels),
            })),
            nextPollMs,
          };
        }),
    },
    receiver: {
      notify: (notification) =>
        guarded(() => {
          const { groupLabels, commonLabels, commonAnnotations, alerts } = notification;
          plugin.notify({
            ...notification,
            groupLabels: object(groupLabels),
            commonLabels: object(commonLabels),
            commonAnnotations: object(commonAnnotations),
            alerts: alerts.map((alert) => ({
              ...alert,
              labels: object(alert.labels),
              annotations: object(alert.annotations),
            })),
          });
        }),
    },
    prober: {
      probe: (target, params, deadlineMs) =>
        guarded(() => {
          const named = {};
          for (const { name, value } of params) (named[name] ??= []).push(value);
          const out = new Metrics(Number(deadlineMs));
          plugin.probe(target, named, out);
          return { tag: "text", val: out.render() };
        }),
    },
    trainer: {
      train: (history, prior) =>
        guarded(() => {
          const model = plugin.train(history, Uint8Array.from(prior));
          return typeof model === "string" ? encodeUtf8(model) : model;
        }),
      load: (model) =>
        guarded(() => {
          plugin.load(Uint8Array.from(model));
        }),
    },
    decoder: {
      decode: (raw) =>
        guarded(() => {
          const chunk = new Chunk({ ...raw, data: Uint8Array.from(raw.data) });
          const out = new Batch();
          plugin.decode(chunk, out);
          const { consumed, rejected, reason } = chunk;
          return { batch: batchOut(out, clock.nowMs), consumed, rejected, reason };
        }),
    },
    function: {
      signatures: () =>
        plugin.signatures().map(({ name, help, parameters, optional = 0 }) => ({ name, help, parameters, optional })),
      eval: (call) => guarded(() => plugin.eval(new FunctionCall(call))),
    },
    sampleProcessor: {
      process: (batch) => guarded(() => batchOut(plugin.processSamples(batchIn(batch)), clock.nowMs)),
    },
    spanProcessor: {
      process: (spans) => guarded(() => spansOut(plugin.processSpans(spansIn(spans)))),
    },
    detector: {
      detect: (job) =>
        guarded(() => {
          const { scores, lower = [], upper = [] } = plugin.detect(job);
          return { scores, lower, upper };
        }),
    },
  };
}

/** Runs it, and turns what it throws into the error that the interface has. */
function guarded(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof PluginError) {
      const { message, retryable, retryAfterMs } = error;
      throw { message, retryable, retryAfterMs };
    }
    functions.log.stderr(`${error}\n${error?.stack ?? ""}`);
    throw { message: String(error), retryable: true, retryAfterMs: undefined };
  }
}

function pairs(labels) {
  return Object.entries(labels).map(([name, value]) => ({ name, value: String(value) }));
}

function object(labels) {
  return Object.fromEntries(labels.map(({ name, value }) => [name, value]));
}
