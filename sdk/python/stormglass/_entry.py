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

from . import _host, batch, calls, clock, dns, kinds, spans
from .errors import PluginError
from .files import FileError
from .http import HttpError, Response
from .kv import KvError
from .metrics import Metrics
from .net import NetError, Tls
from .query import QueryError
from .secrets import SecretError


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
_kv = _bound("imports.kv")
_secrets = _bound("imports.secrets")
_telemetry = _bound("imports.telemetry")
_query = _bound("imports.query")
# There are two interfaces of this name.
_net = _bound("imports.stormglass_host_net")
_net_types = _bound("imports.stormglass_types_net")
_dns = _bound("imports.dns")
_types = _bound("imports.types")
_meta = _bound("exports.meta")
_collector = _bound("exports.collector")
_discoverer = _bound("exports.discoverer")
_receiver = _bound("exports.receiver")
_detector = _bound("exports.detector")
_prober = _bound("exports.prober")
_decoder = _bound("exports.decoder")
_function = _bound("exports.function")
_spans = _bound("exports.span_processor")


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


class _Kv:
    def _ask(self, ask: Any, *arguments: Any) -> Any:
        try:
            return ask(*arguments)
        except Err as error:
            kind = _case(error.value)
            raise KvError(kind, _told(kind, error.value)) from None

    def get(self, key: str) -> bytes | None:
        value = self._ask(_kv.get, key)
        return None if value is None else bytes(value)

    def set(self, key: str, value: bytes, ttl_ms: int | None) -> None:
        self._ask(_kv.set, key, value, ttl_ms)

    def delete(self, key: str) -> None:
        self._ask(_kv.delete, key)

    def keys(self, prefix: str) -> list[str]:
        return self._ask(_kv.keys, prefix)


class _Secrets:
    def get(self, name: str) -> str:
        try:
            return _secrets.get(name)
        except Err as error:
            kind = _case(error.value)
            raise SecretError(kind, _told(kind, error.value)) from None


class _Telemetry:
    def counter_add(self, name: str, labels: dict[str, str], amount: float) -> None:
        _telemetry.counter_add(name, _pairs(labels), amount)

    def gauge_set(self, name: str, labels: dict[str, str], value: float) -> None:
        _telemetry.gauge_set(name, _pairs(labels), value)


class _Query:
    def _ask(self, expr: str, ask: Any, *arguments: Any) -> batch.Batch:
        try:
            return _batch_in(ask(expr, *arguments))
        except Err as error:
            kind = _case(error.value)
            raise QueryError(kind, f"query {expr}: {_told(kind, error.value)}") from None

    def instant(self, expr: str, at_ms: int | None) -> batch.Batch:
        return self._ask(expr, _query.instant, at_ms)

    def range(self, expr: str, start_ms: int, end_ms: int, step_ms: int) -> batch.Batch:
        return self._ask(expr, _query.range, start_ms, end_ms, step_ms)


class _Net:
    def connect(self, host: str, port: int, tls: Tls | None, family: str, timeout_ms: int | None) -> _Connection:
        how = _net.ConnectOptions(timeout_ms, _net_types.Family[family.upper()], tls and _tls_out(tls))
        place = f"{host}:{port}"
        return _Connection(_net_asked(place, _net.connect, host, port, how), place)


class _Connection:
    def __init__(self, raw: Any, place: str) -> None:
        self._raw = raw
        self._place = place

    def read(self, most: int, timeout_ms: int | None) -> bytes:
        return bytes(_net_asked(self._place, self._raw.read, most, timeout_ms))

    def write(self, data: bytes, timeout_ms: int | None) -> None:
        _net_asked(self._place, self._raw.write, data, timeout_ms)

    def start_tls(self, tls: Tls, timeout_ms: int | None) -> None:
        _net_asked(self._place, self._raw.start_tls, _tls_out(tls), timeout_ms)

    def session(self) -> Any:
        return self._raw.session()

    def peer(self) -> str:
        return self._raw.peer()

    def close(self) -> None:
        self._raw.__exit__(None, None, None)


def _net_asked(place: str, ask: Any, *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except Err as error:
        kind = _case(error.value)
        raise NetError(kind, f"{place}: {_told(kind, error.value)}") from None


def _tls_out(tls: Tls) -> Any:
    return _net_types.TlsOptions(
        tls.server_name, tls.authorities, tls.certificate, tls.key, tls.accept_invalid, list(tls.protocols)
    )


class _Dns:
    def lookup(self, name: str, type: str, server: str | None, timeout_ms: int | None) -> list[dns.Record]:
        try:
            entries = _dns.lookup(name, _dns.RecordType[type.upper()], server, timeout_ms)
        except Err as error:
            kind = _case(error.value)
            raise dns.DnsError(kind, f"look up {name}: {_told(kind, error.value)}") from None
        return [dns.Record(entry.name, entry.ttl_seconds, _dns_data(entry.data.value)) for entry in entries]


def _dns_data(value: Any) -> Any:
    if isinstance(value, _dns.Exchange):
        return dns.Exchange(value.preference, value.host)
    if isinstance(value, _dns.Service):
        return dns.Service(value.priority, value.weight, value.port, value.target)
    return value


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
    ("kv", _kv and _Kv()),
    ("secrets", _secrets and _Secrets()),
    ("telemetry", _telemetry and _Telemetry()),
    ("query", _query and _Query()),
    ("net", _net and _Net()),
    ("dns", _dns and _Dns()),
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


def _batch_in(raw: Any) -> batch.Batch:
    made = batch.Batch()
    made.series = batch.series_of(raw)
    for h in raw.histograms:
        made.series[h.series].histograms.append(
            batch.Histogram(
                h.timestamp_ms,
                h.schema,
                h.zero_threshold,
                h.zero_count,
                h.count,
                h.sum,
                [(span.offset, span.length) for span in h.positive_spans],
                h.positive_counts,
                [(span.offset, span.length) for span in h.negative_spans],
                h.negative_counts,
                h.custom_bounds,
            )
        )
    for e in raw.exemplars:
        made.series[e.series].exemplars.append(batch.Exemplar(_dict(e.labels), e.value, e.timestamp_ms))
    for f in raw.families:
        made.families.append(batch.MetricFamily(f.name, f.kind.name.lower().replace("_", "-"), f.help, f.unit))
    return made


def _batch_out(made: batch.Batch) -> Any:
    families = [
        _types.Family(f.name, _types.MetricKind[f.kind.upper().replace("-", "_")], f.help, f.unit)
        for f in made.families
    ]
    histograms = []
    exemplars = []
    for index, series in enumerate(made.series):
        for h in series.histograms:
            histograms.append(
                _types.NativeHistogram(
                    index,
                    h.timestamp_ms,
                    h.schema,
                    h.zero_threshold,
                    h.zero_count,
                    h.count,
                    h.sum,
                    [_types.BucketSpan(*span) for span in h.positive_spans],
                    h.positive_counts,
                    [_types.BucketSpan(*span) for span in h.negative_spans],
                    h.negative_counts,
                    h.custom_bounds,
                )
            )
        for e in series.exemplars:
            exemplars.append(_types.Exemplar(index, _pairs(e.labels), e.value, e.timestamp_ms))
    return _types.Batch(
        **batch.columns(made, clock.now_ms), families=families, histograms=histograms, exemplars=exemplars
    )


def _attributes_in(attributes: list) -> dict[str, Any]:
    return {a.key: _value_in(_case(a.value), getattr(a.value, "value", None)) for a in attributes}


def _value_in(case: str, value: Any) -> Any:
    if case == "json":
        return json.loads(value)
    return bytes(value) if case == "bytes" else value


def _attributes_out(attributes: dict[str, Any]) -> list:
    return [_spans.Attribute(key, _value_out(value)) for key, value in attributes.items()]


def _value_out(value: Any) -> Any:
    # bool before int: every bool is one.
    if isinstance(value, str):
        return _spans.AttributeValue_Text(value)
    if isinstance(value, bool):
        return _spans.AttributeValue_Boolean(value)
    if isinstance(value, int):
        return _spans.AttributeValue_Int(value)
    if isinstance(value, float):
        return _spans.AttributeValue_Double(value)
    if isinstance(value, bytes):
        return _spans.AttributeValue_Bytes(value)
    if value is None:
        return _spans.AttributeValue_Empty()
    return _spans.AttributeValue_Json(json.dumps(value))


def _spans_in(raw: Any) -> spans.Spans:
    return spans.Spans(
        [_attributes_in(resource) for resource in raw.resources],
        [spans.Scope(s.name, s.version, _attributes_in(s.attributes)) for s in raw.scopes],
        [
            spans.Span(
                bytes(s.trace_id),
                bytes(s.span_id),
                bytes(s.parent_span_id),
                s.trace_state,
                s.name,
                s.kind.name.lower(),
                s.start_ns,
                s.end_ns,
                s.status.name.lower(),
                s.status_message,
                _attributes_in(s.attributes),
                [spans.Event(e.time_ns, e.name, _attributes_in(e.attributes)) for e in s.events],
                [
                    spans.Link(bytes(link.trace_id), bytes(link.span_id), link.trace_state, _attributes_in(link.attributes))
                    for link in s.links
                ],
                s.trace_flags,
                s.resource_index,
                s.scope_index,
            )
            for s in raw.spans
        ],
    )


def _spans_out(made: spans.Spans) -> Any:
    return _spans.Spans(
        [_attributes_out(resource) for resource in made.resources],
        [_spans.Scope(s.name, s.version, _attributes_out(s.attributes)) for s in made.scopes],
        [
            _spans.Span(
                s.trace_id,
                s.span_id,
                s.parent_span_id,
                s.trace_state,
                s.name,
                _spans.SpanKind[s.kind.upper()],
                s.start_ns,
                s.end_ns,
                _spans.StatusCode[s.status.upper()],
                s.status_message,
                _attributes_out(s.attributes),
                [_spans.Event(e.time_ns, e.name, _attributes_out(e.attributes)) for e in s.events],
                [
                    _spans.Link(link.trace_id, link.span_id, link.trace_state, _attributes_out(link.attributes))
                    for link in s.links
                ],
                s.trace_flags,
                s.resource_index,
                s.scope_index,
            )
            for s in made.spans
        ],
    )


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


class Prober:
    def probe(self, target: str, params: list, deadline_ms: int) -> Any:
        def work() -> Any:
            named: dict[str, list[str]] = {}
            for param in params:
                named.setdefault(param.name, []).append(param.value)
            out = Metrics(deadline_ms)
            _plugin.probe(target, named, out)
            return _types.Payload_Text(out.render())

        return _guarded(work)


class Trainer:
    def train(self, history: Any, prior: bytes) -> bytes:
        job = kinds.Job(history.start_ms, history.step_ms, history.steps, history.series, history.values)
        return _guarded(lambda: _plugin.train(job, bytes(prior)))

    def load(self, model: bytes) -> None:
        _guarded(lambda: _plugin.load(bytes(model)))


class Decoder:
    def decode(self, chunk: Any) -> Any:
        def work() -> Any:
            given = calls.Chunk(bytes(chunk.data), chunk.datagram_ends, chunk.content_type, chunk.last)
            out = batch.Batch()
            _plugin.decode(given, out)
            return _decoder.Decoded(_batch_out(out), given.consumed, given.rejected, given.reason)

        return _guarded(work)


class Function:
    def signatures(self) -> list:
        return [
            _function.Signature(s.name, s.help, [_function.ValueType[p.upper()] for p in s.parameters], s.optional)
            for s in _plugin.signatures()
        ]

    def eval(self, call: Any) -> list[float]:
        def work() -> list[float]:
            return _plugin.eval(
                calls.FunctionCall(
                    call.name,
                    call.start_ms,
                    call.step_ms,
                    call.steps,
                    call.series,
                    call.values,
                    call.timestamps_ms,
                    call.window_starts,
                    call.window_ends,
                    call.scalars,
                    call.texts,
                )
            )

        return _guarded(work)


class SampleProcessor:
    def process(self, given: Any) -> Any:
        return _guarded(lambda: _batch_out(_plugin.process_samples(_batch_in(given))))


class SpanProcessor:
    def process(self, given: Any) -> Any:
        return _guarded(lambda: _spans_out(_plugin.process_spans(_spans_in(given))))
