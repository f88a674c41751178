"""Secrets of the operator, by name. Needs `uses: [secrets]` in plugin.yaml, and a grant for each.

A secret that the configuration sends as a header needs nothing here: the server sets it in each request."""

from __future__ import annotations

from . import _host
from .errors import PluginError


class SecretError(PluginError):
    """`kind` is `denied` or `unavailable`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, retryable=kind == "unavailable")
        self.kind = kind


def get(name: str) -> str:
    """The secret as it is now. Ask each time it is needed, so that a changed one is used."""
    return _host.of("secrets").get(name)
