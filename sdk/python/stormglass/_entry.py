"""What the component exports: the bindings' calls, handed to the plugin's class. Only ever imported by the build.

Everything is looked up when a component is built, so that a plugin has just the kinds and imports that its plugin.yaml
names.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
import traceback
from typing import Any

import stormglass_manifest
from componentize_py_types import Err

from . import _host, kinds
from .errors import PluginError
from .files import FileError
from .http import HttpError, Response
from .metrics import Metrics


def _bound(name: str) -> Any:
    """A module of the bindings, where the component has it."""
    try:
        return importlib.import_module(f"wit_world.{name}")
    except ImportError:
        return None


_log = _bound("imports.log")
_clock = _bound("imports.clock")
_http = _bound("imports.http")
_files = _bound("imports.files")
_types = _bound("imports.types")
_meta = _bound("exports.meta")
_collector = _bound("exports.collector")
_discoverer = _bound("exports.discoverer")
_receiver = _bound("exports.receiver")
_detector = _bound("exports.detector")


def _case(value: Any) -> str:
    """The name of a variant's case as WIT has it: `Error_TooLarge` is `too-large`."""
    name = type(value).__name__.partition("_")[2]
    return "".join("-" + c.lower() if c.isupper() else c for c in name).lstrip("-")


class _Log:
    def line(self, level: str, message: str) -> None:
        _log.log(_log.Level[level.upper()], message)


class _Http:
    def fetch(self, method: str, url: str, headers: list, body: bytes, timeout_ms: int | None) -> Response:
        fields = [_http.Header(name, value) for name, value in headers]
        try:
            response = _http.fetch(_http.Request(method, url, fields, body, timeout_ms))
        except Err as error:
            kind = _case(error.value)
            raise HttpError(kind, f"{method} {url}: {_told(kind, error.value)}") from None
        return Response(response.status, [(h.name, h.value) for h in response.headers], bytes(response.body))


class _Files:
    def _ask(self, ask: Any, path: str) -> Any:
        try:
            return ask(path)
        except Err as error:
            kind = _case(error.value)
            raise FileError(kind, _told(kind, error.value)) from None

    def read(self, path: str) -> bytes:
        return bytes(self._ask(_files.read, path))

    def read_dir(self, path: str) -> list[tuple[str, str]]:
        return [(entry.name, entry.kind.name.lower()) for entry in self._ask(_files.read_dir, path)]

    def read_link(self, path: str) -> str:
        return self._ask(_files.read_link, path)


def _told(kind: str, error: Any) -> str:
    """What a case says: its text, or its name where it has none."""
    value = getattr(error, "value", None)
    if isinstance(value, int):
        return f"{kind}: the limit is {value} bytes"
    return value or kind


for _name, _functions in (
    ("log", _log and _Log()),
    ("clock", _clock),
    ("http", _http and _Http()),
    ("files", _files and _Files()),
):
    if _functions:
        _host.functions[_name] = _functions

# The author's module; it marks its class with `@plugin`. It runs while the component is built, and what it leaves behind is
# what every instance starts with.
importlib.import_module("plugin")
if kinds._registered is None:
    raise TypeError("plugin.py marks no class with @plugin")

_plugin: Any = None


def _guarded(work: Any) -> Any:
    """Runs it and turns what it raises into the error that the interface has."""
    try:
        return work()
    except PluginError as error:
        raise Err(_types.PluginError(error.message, error.retryable, error.retry_after_ms)) from None
    except Exception as error:  # noqa: BLE001: whatever it is, the server is to hear of it
        _log.stderr(traceback.format_exc())
        where = traceback.extract_tb(sys.exc_info()[2])[-1]
        message = f"{type(error).__name__}: {error} (at {where.filename.rpartition('/')[2]}:{where.lineno})"
        raise Err(_types.PluginError(message, True, None)) from None


def _pairs(labels: dict[str, str]) -> list:
    return [_types.Label(name, value) for name, value in labels.items()]


def _dict(labels: list) -> dict[str, str]:
    return {label.name: label.value for label in labels}


class Meta:
    def describe(self) -> Any:
        info = stormglass_manifest.INFO
        wishes = [_meta.Wish(w["capability"], w["target"], w["reason"]) for w in info["wishes"]]
        return _meta.Info(info["name"], info["version"], info["description"], info["config_schema"], wishes)


class Lifecycle:
    def init(self, config: str) -> None:
        def work() -> None:
            global _plugin
            # What the build left behind would be the same in every instance.
            random.seed()
            _plugin = kinds._registered(json.loads(config))

        _guarded(work)


class Collector:
    def collect(self, deadline_ms: int) -> Any:
        def work() -> Any:
            out = Metrics(deadline_ms)
            _plugin.collect(out)
            return _collector.Payload_Text(out.render())

        return _guarded(work)


class Discoverer:
    def poll(self) -> Any:
        def work() -> Any:
            snapshot = _plugin.poll()
            groups = []
            for group in snapshot.groups:
                targets = [_discoverer.Target(t.address, _pairs(t.labels)) for t in group.targets]
                groups.append(_discoverer.TargetGroup(group.source, targets, _pairs(group.labels)))
            return _discoverer.Snapshot(groups, snapshot.next_poll_ms)

        return _guarded(work)


class Receiver:
    def notify(self, notification: Any) -> None:
        n = notification
        alerts = [
            kinds.Alert(
                a.status.name.lower(),
                _dict(a.labels),
                _dict(a.annotations),
                a.starts_at,
                a.ends_at,
                a.generator_url,
                a.fingerprint,
            )
            for a in n.alerts
        ]
        told = kinds.Notification(
            n.idempotency_key,
            n.attempt,
            n.group_key,
            n.status.name.lower(),
            n.receiver,
            _dict(n.group_labels),
            _dict(n.common_labels),
            _dict(n.common_annotations),
            n.external_url,
            n.truncated_alerts,
            alerts,
        )
        _guarded(lambda: _plugin.notify(told))


class Detector:
    def detect(self, job: Any) -> Any:
        def work() -> Any:
            scores = _plugin.detect(kinds.Job(job.start_ms, job.step_ms, job.steps, job.series, job.values))
            return _detector.Scores(scores.scores, scores.lower, scores.upper)

        return _guarded(work)
