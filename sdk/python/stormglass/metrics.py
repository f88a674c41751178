"""What a collection yields.

Samples cross to the server as one exposition text: from Python that costs a quarter of what typed records cost.
"""

from __future__ import annotations

from .errors import PluginError

_HELP = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_LABEL = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Metrics:
    """The samples of one collection."""

    def __init__(self, deadline_ms: int | None = None) -> None:
        #: How long this collection may take before the server interrupts it; None in tests.
        self.deadline_ms = deadline_ms
        self._families: dict[str, Family] = {}
        self._text: str | None = None

    def gauge(self, name: str, help: str) -> Family:
        """A family of values that go up and down."""
        return self.family(name, "gauge", help)

    def counter(self, name: str, help: str) -> Family:
        """A family of values that only rise, except back to 0 at a restart. Its name ends in `_total`."""
        return self.family(name, "counter", help)

    def family(self, name: str, kind: str, help: str) -> Family:
        """A family of any kind. Asking for the same name again adds to the same family."""
        found = self._families.get(name)
        if found is None:
            found = self._families[name] = Family(name, kind, help)
        return found

    def text(self, text: str) -> None:
        """Yields this text, in the Prometheus exposition format (OpenMetrics where it ends in `# EOF`), rather
        than samples: for what already speaks it, and for histograms."""
        self._text = text

    def render(self) -> str:
        """All of it, as exposition text."""
        if self._text is not None:
            if self._families:
                raise PluginError(
                    "collection holds both text and samples; yield one of them, or split the plugin"
                )
            return self._text
        lines: list[str] = []
        for family in self._families.values():
            lines += family._lines
        lines.append("")
        return "\n".join(lines)


class Family:
    """One metric family, open for samples."""

    __slots__ = ("_name", "_lines")

    def __init__(self, name: str, kind: str, help: str) -> None:
        self._name = name
        self._lines = [f"# HELP {name} {help.translate(_HELP)}", f"# TYPE {name} {kind}"]

    def set(self, value: float, labels: dict[str, str] | None = None, /, **more: str) -> Family:
        """Adds the sample of one series, named by its labels: as keywords, or as a dict where a name is no
        keyword. A series may have only one sample in a collection."""
        if labels:
            more = {**labels, **more}
        if more:
            pairs = ",".join([f'{name}="{str(text).translate(_LABEL)}"' for name, text in more.items()])
            self._lines.append(f"{self._name}{{{pairs}}} {_number(value)}")
        else:
            self._lines.append(f"{self._name} {_number(value)}")
        return self


def _number(value: float) -> str:
    value = float(value)
    if value - value == 0.0:
        return repr(value)
    if value != value:
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
