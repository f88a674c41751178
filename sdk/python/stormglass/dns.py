"""The DNS. Needs `uses: [dns]` in plugin.yaml, and a grant for the name."""

from __future__ import annotations

from dataclasses import dataclass

from . import _host
from .errors import PluginError


class DnsError(PluginError):
    """`kind` is `denied`, `invalid`, `no-such-name`, `timeout` or `other`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, retryable=kind in ("timeout", "other"))
        self.kind = kind


@dataclass
class Exchange:
    """A mail server."""

    preference: int
    host: str


@dataclass
class Service:
    """Where a service is."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass
class Record:
    """`data` is an Exchange of `mx`, a Service of `srv`, and a text of all others."""

    name: str
    ttl_seconds: int
    data: str | Exchange | Service


def lookup(name: str, type: str, *, server: str | None = None, timeout_ms: int | None = None) -> list[Record]:
    """Records of a type: `a`, `aaaa`, `cname`, `mx`, `ns`, `ptr`, `srv` or `txt`. `server` is `host:port` of another one than
    the system's."""
    return _host.of("dns").lookup(name, type, server, timeout_ms)
