"""Write Stormglass plugins in Python.

A plugin is one class, marked with `@plugin`, that has the method of its kind:

    from stormglass import Collector, Metrics, plugin

    @plugin
    class Hello(Collector):
        def collect(self, out: Metrics) -> None:
            out.gauge("hello_answer", "The answer.").set(42, planet="earth")

One object of the class lives as long as the instance and is what all calls work on. What a plugin may ask of
the server is in the modules `log`, `clock`, `http`, `files`, `kv`, `secrets`, `telemetry`, `query`, `net` and `dns`; those
named under `uses:` in plugin.yaml are there, `log` and `clock` always.
"""

from .batch import Batch, Exemplar, Histogram, MetricFamily, Series
from .calls import Chunk, FunctionCall, Signature
from .errors import PluginError
from .kinds import (
    Alert,
    Collector,
    Decoder,
    Detector,
    Discoverer,
    Function,
    Job,
    Notification,
    Plugin,
    Prober,
    Receiver,
    SampleProcessor,
    Scores,
    Snapshot,
    SpanProcessor,
    Target,
    TargetGroup,
    Trainer,
    plugin,
)
from .metrics import Family, Metrics
from .spans import Event, Link, Scope, Span, Spans

__all__ = [
    "Alert",
    "Batch",
    "Chunk",
    "Collector",
    "Decoder",
    "Detector",
    "Discoverer",
    "Event",
    "Exemplar",
    "Family",
    "Function",
    "FunctionCall",
    "Histogram",
    "Job",
    "Link",
    "MetricFamily",
    "Metrics",
    "Notification",
    "Plugin",
    "PluginError",
    "Prober",
    "Receiver",
    "SampleProcessor",
    "Scope",
    "Scores",
    "Series",
    "Signature",
    "Snapshot",
    "Span",
    "SpanProcessor",
    "Spans",
    "Target",
    "TargetGroup",
    "Trainer",
    "plugin",
]
