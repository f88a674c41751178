"""Spans as a processor sees them, as OpenTelemetry's trace data model has them.

Attributes are a dict. Values are str, bool, int, float, bytes, None, and lists and dicts of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Attributes = dict[str, Any]


@dataclass
class Event:
    """Something that happened within a span."""

    time_ns: int
    name: str
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Link:
    """A reference to another span."""

    trace_id: bytes
    span_id: bytes
    trace_state: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Span:
    """`kind` is `unspecified`, `internal`, `server`, `client`, `producer` or `consumer`; `status` is `unset`, `ok` or
    `error`. `parent_span_id` is empty for a root."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    trace_state: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: Attributes
    events: list[Event]
    links: list[Link]
    trace_flags: int
    #: Index into the resources.
    resource_index: int
    #: Index into the scopes.
    scope_index: int


@dataclass
class Scope:
    """The instrumentation that made a span."""

    name: str
    version: str
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Spans:
    """Spans and what they come from: the attributes of each resource, `service.name` among them."""

    resources: list[Attributes]
    scopes: list[Scope]
    spans: list[Span]
