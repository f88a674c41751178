"""A server in miniature, so that ordinary unit tests can call a plugin as the server would.

    host = Host(now_ms=1000, http=lambda method, url, headers, body: (200, "{}"))
    with host:
        plugin = Hello({})
        assert collect(plugin) == 'hello_answer{planet="earth"} 42.0\\n'
"""

from __future__ import annotations

from typing import Any, Callable

from . import _host
from .batch import Batch
from .dns import DnsError, Record
from .files import FileError
from .http import HttpError, Response
from .metrics import Metrics
from .net import NetError
from .query import QueryError
from .secrets import SecretError


class Host:
    """What the plugin under test finds around it, while a `with` of it lasts."""

    def __init__(
        self,
        *,
        now_ms: int = 0,
        http: Callable[[str, str, list, bytes], Any] | None = None,
        files: dict[str, bytes | str] | None = None,
        kv: dict[str, bytes] | None = None,
        secrets: dict[str, str] | None = None,
        query: Callable[[str], Batch] | None = None,
        net: Callable[[str], list[tuple[bytes, bytes]]] | None = None,
        dns: Callable[[str, str], list[Record]] | None = None,
    ) -> None:
        #: What is said over a connection to `host:port`: pairs of what the plugin has to send, which may be empty, and what it
        #: is sent then.
        self._net = net
        self._dns = dns
        self.now = now_ms
        self.lines: list[tuple[str, str]] = []
        self.kv = dict(kv or {})
        #: The plugin's metrics about itself, by name and labels.
        self.telemetry: dict[tuple, float] = {}
        self._query = query
        self._http = http
        self._files = {path: text.encode() if isinstance(text, str) else text for path, text in (files or {}).items()}
        self._secrets = dict(secrets or {})
        self._before: dict[str, Any] = {}

    def __enter__(self) -> Host:
        self._before = dict(_host.functions)
        _host.functions.update(
            log=_Log(self),
            clock=_Clock(self),
            http=_Http(self),
            files=_Files(self),
            kv=_Kv(self),
            secrets=_Secrets(self),
            telemetry=_Telemetry(self),
            query=_Query(self),
            net=_Net(self),
            dns=_Dns(self),
        )
        return self

    def __exit__(self, *_: object) -> None:
        _host.functions.clear()
        _host.functions.update(self._before)


class _Part:
    def __init__(self, host: Host) -> None:
        self._host = host


class _Log(_Part):
    def line(self, level: str, message: str) -> None:
        self._host.lines.append((level, message))


class _Clock(_Part):
    def now_ms(self) -> int:
        return self._host.now


class _Http(_Part):
    def fetch(self, method: str, url: str, headers: list, body: bytes, timeout_ms: int | None) -> Response:
        if self._host._http is None:
            raise HttpError("denied", f"http: {url} is not granted")
        answer = self._host._http(method, url, headers, body)
        if isinstance(answer, Response):
            return answer
        status, text = answer
        return Response(status, [], text.encode() if isinstance(text, str) else text)


class _Files(_Part):
    def read(self, path: str) -> bytes:
        try:
            return self._host._files[path]
        except KeyError:
            raise FileError("not-found", f"{path}: no such file") from None

    def read_dir(self, path: str) -> list[tuple[str, str]]:
        prefix = path.rstrip("/") + "/"
        found = {}
        for name in self._host._files:
            if name.startswith(prefix):
                first, slash, _ = name[len(prefix) :].partition("/")
                found[first] = "directory" if slash else "file"
        if not found:
            raise FileError("not-found", f"{path}: no such file")
        return sorted(found.items())

    def read_link(self, path: str) -> str:
        raise FileError("not-found", f"{path}: no such link")


class _Kv(_Part):
    def get(self, key: str) -> bytes | None:
        return self._host.kv.get(key)

    def set(self, key: str, value: bytes, ttl_ms: int | None) -> None:
        self._host.kv[key] = value

    def delete(self, key: str) -> None:
        self._host.kv.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._host.kv if key.startswith(prefix))


class _Secrets(_Part):
    def get(self, name: str) -> str:
        try:
            return self._host._secrets[name]
        except KeyError:
            raise SecretError("denied", f"secrets: {name} is not granted") from None


class _Telemetry(_Part):
    def counter_add(self, name: str, labels: dict[str, str], amount: float) -> None:
        key = (name, *sorted(labels.items()))
        self._host.telemetry[key] = self._host.telemetry.get(key, 0.0) + amount

    def gauge_set(self, name: str, labels: dict[str, str], value: float) -> None:
        self._host.telemetry[(name, *sorted(labels.items()))] = value


class _Query(_Part):
    def instant(self, expr: str, at_ms: int | None) -> Batch:
        if self._host._query is None:
            raise QueryError("denied", "query: is not granted")
        return self._host._query(expr)

    def range(self, expr: str, start_ms: int, end_ms: int, step_ms: int) -> Batch:
        return self.instant(expr, None)


class _Dns(_Part):
    def lookup(self, name: str, type: str, server: str | None, timeout_ms: int | None) -> list[Record]:
        if self._host._dns is None:
            raise DnsError("denied", f"dns: {name} is not granted")
        return self._host._dns(name, type)


class _Net(_Part):
    def connect(self, host: str, port: int, tls: Any, family: str, timeout_ms: int | None) -> _Scripted:
        place = f"{host}:{port}"
        if self._host._net is None:
            raise NetError("denied", f"net: {place} is not granted")
        return _Scripted(self._host._net(place), place)


class _Scripted:
    """The other side of a connection, which keeps to pairs of what it is sent and what it answers."""

    def __init__(self, talk: list[tuple[bytes, bytes]], place: str) -> None:
        self._talk = [[sent, received] for sent, received in talk]
        self._place = place

    def write(self, data: bytes, timeout_ms: int | None) -> None:
        while data:
            turn = next((turn for turn in self._talk if turn[0] or turn[1]), [b"", b""])
            length = min(len(turn[0]), len(data))
            if length == 0 or turn[0][:length] != data[:length]:
                raise NetError("other", f"{self._place}: the test does not expect {data!r}")
            turn[0], data = turn[0][length:], data[length:]

    def read(self, most: int, timeout_ms: int | None) -> bytes:
        for turn in self._talk:
            if turn[0]:
                raise NetError("other", f"{self._place}: the test waits for {turn[0]!r}")
            if turn[1]:
                given, turn[1] = turn[1][:most], turn[1][most:]
                return given
        return b""

    def start_tls(self, tls: Any, timeout_ms: int | None) -> None:
        pass

    def session(self) -> None:
        return None

    def peer(self) -> str:
        return self._place

    def close(self) -> None:
        pass


def collect(plugin: Any) -> str:
    """Collects once; gives the lines of the samples, without help and types."""
    out = Metrics()
    plugin.collect(out)
    lines = [line for line in out.render().splitlines() if line and not line.startswith("#")]
    return "".join(line + "\n" for line in lines)
