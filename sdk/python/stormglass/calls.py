"""What decoders and functions are given."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Chunk:
    """A stretch of bytes that came in at a listener."""

    data: bytes
    #: Exclusive ends of the datagrams in `data`; empty for a stream.
    datagram_ends: list[int] = field(default_factory=list)
    content_type: str = ""
    #: Whether nothing follows.
    last: bool = True
    #: Bytes that are done with; the rest comes again before what follows. All of them, unless it is set.
    consumed: int = -1
    #: Messages that made no sense.
    rejected: int = 0
    #: What was wrong with the first.
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.consumed < 0:
            self.consumed = len(self.data)

    def lines(self) -> list[str]:
        """The lines, without their ends and empty ones. In a stream that goes on, what follows the last end of a line is
        left for the next chunk, and `consumed` is set so; a datagram's end is the end of a line."""
        whole = len(self.data) if self.last else self.data.rfind(b"\n") + 1
        self.consumed = whole
        lines = []
        start = 0
        for end in [*self.datagram_ends, whole]:
            end = min(end, whole)
            for line in self.data[start:end].decode("utf-8", "replace").split("\n"):
                line = line.removesuffix("\r")
                if line:
                    lines.append(line)
            start = end
        return lines

    def reject(self, reason: str) -> None:
        """Counts a message that made no sense."""
        self.rejected += 1
        if self.reason is None:
            self.reason = reason


@dataclass
class Signature:
    """A function of PromQL and what it takes: `vector` or `range` first, then `scalar` and `text`, of which the last
    `optional` may be left out."""

    name: str
    help: str
    parameters: list[str]
    optional: int = 0


@dataclass
class FunctionCall:
    """One function over some series of a query at all of its steps. Of a vector, `values[s * steps + i]` is series `s` at
    step `i`; of a range, the samples of all series."""

    name: str
    start_ms: int
    step_ms: int
    steps: int
    series: int
    values: list[float] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    window_starts: list[int] = field(default_factory=list)
    window_ends: list[int] = field(default_factory=list)
    scalars: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def rows(self) -> list[list[float]]:
        """The values of each series of a vector, in order."""
        return [self.values[s * self.steps : (s + 1) * self.steps] for s in range(self.series)]

    def windows(self) -> list[tuple[list[int], list[float]]]:
        """The windows of a range, series by series and step by step: times in milliseconds and values."""
        return [
            (self.timestamps_ms[start:end], self.values[start:end])
            for start, end in zip(self.window_starts, self.window_ends)
        ]

    def scalar(self, argument: int, step: int, otherwise: float) -> float:
        """A scalar argument at a step; `otherwise` where it was left out."""
        at = argument * self.steps + step
        return self.scalars[at] if at < len(self.scalars) else otherwise
