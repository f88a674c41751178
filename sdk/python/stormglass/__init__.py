"""Write Stormglass plugins in Python.

A plugin is one class, marked with `@plugin`, that has the method of its kind:

    from stormglass import Collector, Metrics, plugin

    @plugin
    class Hello(Collector):
        def collect(self, out: Metrics) -> None:
            out.gauge("hello_answer", "The answer.").set(42, planet="earth")

One object of the class lives as long as the instance and is what all calls work on. What a plugin may ask of
the server is in the modules `log`, `clock`, `http`, `files`, `kv`, `secrets` and `telemetry`; those named under
`uses:` in plugin.yaml are there, `log` and `clock` always.
"""

from .errors import PluginError
from .kinds import (
    Alert,
    Collector,
    Detector,
    Discoverer,
    Job,
    Notification,
    Plugin,
    Receiver,
    Scores,
    Snapshot,
    Target,
    TargetGroup,
    plugin,
)
from .metrics import Family, Metrics

__all__ = [
    "Alert",
    "Collector",
    "Detector",
    "Discoverer",
    "Family",
    "Job",
    "Metrics",
    "Notification",
    "Plugin",
    "PluginError",
    "Receiver",
    "Scores",
    "Snapshot",
    "Target",
    "TargetGroup",
    "plugin",
]
