"""Lines in the server's log. Needs no grant; lines over the limit are dropped and counted."""

from . import _host


def debug(message: str) -> None:
    _host.of("log").line("debug", message)


def info(message: str) -> None:
    _host.of("log").line("info", message)


def warn(message: str) -> None:
    _host.of("log").line("warn", message)


def error(message: str) -> None:
    _host.of("log").line("error", message)
