"""The server's own metrics, through PromQL. Needs `uses: [query]` in plugin.yaml, and the grant `query`."""

from __future__ import annotations

from . import _host
from .batch import Batch
from .errors import PluginError


class QueryError(PluginError):
    """`kind` is `denied`, `invalid`, `timeout` or `other`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, retryable=kind in ("timeout", "other"))
        self.kind = kind


def instant(expr: str, at_ms: int | None = None) -> Batch:
    """The vector or scalar of an expression, now or at a time: series with one sample each."""
    return _host.of("query").instant(expr, at_ms)


def range(expr: str, start_ms: int, end_ms: int, step_ms: int) -> Batch:
    """The series of an expression at every step, both ends included."""
    return _host.of("query").range(expr, start_ms, end_ms, step_ms)
