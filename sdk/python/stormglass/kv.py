"""Values that outlive the instance: they are there again after a trap, a reload, a new version of the plugin and a restart
of the server. Needs `uses: [kv]` in plugin.yaml and no grant; `limits.kv` says how much there may be."""

from __future__ import annotations

import json as _json
from typing import Any

from . import _host
from .errors import PluginError


class KvError(PluginError):
    """`kind` is `invalid-key`, `full` or `other`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, retryable=kind == "other")
        self.kind = kind


def get(key: str) -> bytes | None:
    """The value, if there is one."""
    return _host.of("kv").get(key)


def get_json(key: str) -> Any:
    """The value, read as JSON; None where there is none."""
    value = get(key)
    return None if value is None else _json.loads(value)


def set(key: str, value: bytes | str, *, ttl_ms: int | None = None) -> None:
    """Stores a value; gone after `ttl_ms`, where that is given."""
    _host.of("kv").set(key, value.encode() if isinstance(value, str) else value, ttl_ms)


def set_json(key: str, value: Any, *, ttl_ms: int | None = None) -> None:
    set(key, _json.dumps(value), ttl_ms=ttl_ms)


def delete(key: str) -> None:
    """Removes a value; one that is not there is no error."""
    _host.of("kv").delete(key)


def keys(prefix: str = "") -> list[str]:
    """The keys that begin with `prefix`, sorted."""
    return _host.of("kv").keys(prefix)
