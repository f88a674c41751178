"""Metrics of the plugin about itself, shown among the server's as `stormglass_plugin_own_<name>`. Needs
`uses: [telemetry]` in plugin.yaml and no grant. What is no metric, and series over the limit, are dropped and counted."""

from __future__ import annotations

from . import _host


def counter_add(name: str, amount: float = 1.0, labels: dict[str, str] | None = None) -> None:
    _host.of("telemetry").counter_add(name, labels or {}, amount)


def gauge_set(name: str, value: float, labels: dict[str, str] | None = None) -> None:
    _host.of("telemetry").gauge_set(name, labels or {}, value)
