"""Time. Needs no grant. `time` and `datetime` of the standard library work as well."""

from . import _host


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return _host.of("clock").now_ms()
