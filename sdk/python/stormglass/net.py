"""Connections over TCP. Needs `uses: [net]` in plugin.yaml, and a grant for host and port.

    with net.connect("cache.example", 6379) as connection:
        connection.write(b"PING\\r\\n")
        answer = connection.read_line()

A connection ends with the call that made it: make one in each call. All waiting is within the call's deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _host
from .errors import PluginError

#: Bytes that one read of the server's gives at most.
_READ_BYTES_MAX = 64 << 10


class NetError(PluginError):
    """`kind` is `denied`, `invalid`, `connect`, `tls`, `timeout`, `closed`, `limit` or `other`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, retryable=kind in ("connect", "tls", "timeout", "closed", "other"))
        self.kind = kind


@dataclass
class Tls:
    """How TLS is spoken; certificates and key are PEM. Without authorities the system's count."""

    server_name: str | None = None
    authorities: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    accept_invalid: bool = False
    protocols: tuple[str, ...] = ()


class Connection:
    """A connection; it ends with the call that made it."""

    def __init__(self, raw: Any, place: str) -> None:
        self._raw = raw
        self._place = place
        self._left = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, most: int = _READ_BYTES_MAX, *, timeout_ms: int | None = None) -> bytes:
        """Bytes, at least one; none at the end of what the other side sends."""
        some = self._left or self._raw.read(most, timeout_ms)
        self._left = some[most:]
        return some[:most]

    def read_exact(self, length: int, *, timeout_ms: int | None = None) -> bytes:
        """Just as many bytes; an error where the other side sends fewer."""
        parts = bytearray()
        while len(parts) < length:
            some = self.read(length - len(parts), timeout_ms=timeout_ms)
            if not some:
                raise NetError("closed", f"{self._place}: closed after {len(parts)} of {length} bytes")
            parts += some
        return bytes(parts)

    def read_line(self, *, most: int = _READ_BYTES_MAX, timeout_ms: int | None = None) -> bytes | None:
        """A line without its end; None where there is none any more. One of more than `most` bytes is an error."""
        line = bytearray()
        while True:
            some = self.read(timeout_ms=timeout_ms)
            begin, end, rest = some.partition(b"\n")
            line += begin
            self._left = rest
            if len(line) > most:
                raise NetError("limit", f"{self._place}: a line of more than {most} bytes")
            if not some and not line:
                return None
            if end or not some:
                return bytes(line.removesuffix(b"\r"))

    def write(self, data: bytes | str, *, timeout_ms: int | None = None) -> None:
        """Sends all of it."""
        self._raw.write(data.encode() if isinstance(data, str) else data, timeout_ms)

    def start_tls(self, tls: Tls | None = None, *, timeout_ms: int | None = None) -> None:
        """Speaks TLS from here on. Bytes that the other side sent before and nobody has read are an error."""
        if self._left:
            raise NetError("invalid", f"{self._place}: there is more in plain text")
        self._raw.start_tls(tls or Tls(), timeout_ms)

    def session(self) -> Any:
        """What the TLS handshake told: version, cipher, protocol, certificates; None where there was none."""
        return self._raw.session()

    def peer(self) -> str:
        """The address of the other side: `192.0.2.1:5432`."""
        return self._raw.peer()

    def close(self) -> None:
        self._raw.close()


def connect(
    host: str, port: int, *, tls: Tls | bool = False, family: str = "any", timeout_ms: int | None = None
) -> Connection:
    """Connects to the first of the host's addresses that takes it. `tls` is True, or how, for TLS from the first byte on;
    `family` is `any`, `ipv4` or `ipv6`."""
    how = tls if isinstance(tls, Tls) else Tls() if tls else None
    return Connection(_host.of("net").connect(host, port, how, family, timeout_ms), f"{host}:{port}")
