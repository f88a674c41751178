"""Files of the server's machine. Needs `uses: [files]` in plugin.yaml, and a grant for a directory above the path.
Paths are absolute."""

from __future__ import annotations

from dataclasses import dataclass

from . import _host
from .errors import PluginError


class FileError(PluginError):
    """`kind` is `denied`, `not-found`, `too-large` or `other`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, retryable=kind == "other")
        self.kind = kind


@dataclass
class Entry:
    """`kind` is `file`, `directory`, `link` or `other`."""

    name: str
    kind: str


def read(path: str) -> bytes:
    """The whole file."""
    return _host.of("files").read(path)


def read_text(path: str) -> str:
    return read(path).decode("utf-8", "replace")


def read_dir(path: str) -> list[Entry]:
    """What a directory holds, without `.` and `..`, by name."""
    return [Entry(name, kind) for name, kind in _host.of("files").read_dir(path)]


def read_link(path: str) -> str:
    """Where a link points, as it is written."""
    return _host.of("files").read_link(path)
