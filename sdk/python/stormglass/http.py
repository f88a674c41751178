"""Outgoing HTTP. Needs `uses: [http]` in plugin.yaml, and a grant for scheme, host and port of the URL and of every
redirect."""

from __future__ import annotations

import json as _json
from dataclasses import dataclass
from typing import Any

from . import _host
from .errors import PluginError


@dataclass
class Response:
    """Any status is a response, not an error."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name, whatever its case."""
        wanted = name.lower()
        return next((value for name, value in self.headers if name.lower() == wanted), None)

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return _json.loads(self.body)

    def check(self) -> Response:
        """Itself, unless the status is 400 or higher. 429 and 5xx are worth another attempt."""
        if self.status < 400:
            return self
        raise PluginError(f"answered {self.status}", retryable=self.status == 429 or self.status >= 500)


class HttpError(PluginError):
    """No response. `kind` is `denied`, `invalid`, `connect`, `timeout`, `too-large` or `other`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, retryable=kind in ("connect", "timeout", "other"))
        self.kind = kind


def get(url: str, *, headers: dict[str, str] | None = None, timeout_ms: int | None = None) -> Response:
    return request("GET", url, headers=headers, timeout_ms=timeout_ms)


def post(
    url: str,
    *,
    body: bytes | str = b"",
    json: Any = None,
    headers: dict[str, str] | None = None,
    timeout_ms: int | None = None,
) -> Response:
    return request("POST", url, body=body, json=json, headers=headers, timeout_ms=timeout_ms)


def request(
    method: str,
    url: str,
    *,
    body: bytes | str = b"",
    json: Any = None,
    headers: dict[str, str] | None = None,
    timeout_ms: int | None = None,
) -> Response:
    """Sends one request and waits for the whole response. `json`, where it is given, is the body."""
    headers = dict(headers or {})
    if json is not None:
        body = _json.dumps(json)
        headers.setdefault("content-type", "application/json")
    if isinstance(body, str):
        body = body.encode()
    return _host.of("http").fetch(method, url, list(headers.items()), body, timeout_ms)
