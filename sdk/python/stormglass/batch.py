"""Samples of any number of series and times: what decoders yield, processors change and queries answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

Labels = dict[str, str]


@dataclass
class Series:
    """Labels have the metric's name as `__name__`; samples are pairs of time in milliseconds (None for now) and value."""

    labels: Labels
    samples: list[tuple[int | None, float]] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    exemplars: list[Exemplar] = field(default_factory=list)


@dataclass
class Histogram:
    """A native histogram, as Prometheus' specification has it; spans are pairs of offset and length."""

    timestamp_ms: int | None
    schema: int
    zero_threshold: float
    zero_count: float
    count: float
    sum: float
    positive_spans: list[tuple[int, int]]
    positive_counts: list[float]
    negative_spans: list[tuple[int, int]]
    negative_counts: list[float]
    custom_bounds: list[float]


@dataclass
class Exemplar:
    """One observation with labels of its own."""

    labels: Labels
    value: float
    timestamp_ms: int | None = None


@dataclass
class MetricFamily:
    """What is known of a metric; `kind` is `counter`, `gauge`, `histogram` and so on."""

    name: str
    kind: str
    help: str = ""
    unit: str = ""


class Batch:
    """Series and what is known of their metrics."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.families: list[MetricFamily] = []
        self._known: dict[frozenset, Series] | None = None

    def add(
        self, name: str, labels: Labels | None, value: float, at_ms: int | None = None
    ) -> Batch:
        """Adds a sample; of now where it has no time."""
        if self._known is None:
            self._known = {frozenset(series.labels.items()): series for series in self.series}
        named = {**(labels or {}), "__name__": name}
        key = frozenset(named.items())
        series = self._known.get(key)
        if series is None:
            series = self._known[key] = Series(named)
            self.series.append(series)
        series.samples.append((at_ms, value))
        return self

    def family(self, name: str, kind: str, help: str) -> Batch:
        """Says what a metric is."""
        self.families.append(MetricFamily(name, kind, help))
        return self

    def rewrite(self, change: Callable[[Labels], Any]) -> Batch:
        """Lets `change` have the labels of every series, to change them where they are; drops the series for which it
        answers False. Answers itself."""
        self.series = [series for series in self.series if change(series.labels) is not False]
        self._known = None
        return self


def columns(batch: Batch, now_ms: Callable[[], int]) -> dict[str, list]:
    """The columns of the interface, but for families, histograms and exemplars. `now_ms` is asked where only some of the
    samples have a time."""
    strings: list[str] = []
    known: dict[str, int] = {}

    def intern(text: str) -> int:
        at = known.get(text)
        if at is None:
            at = known[text] = len(strings)
            strings.append(text)
        return at

    timed = any(at is not None for series in batch.series for at, _ in series.samples)
    now = now_ms() if timed else 0
    refs: list[int] = []
    label_ends: list[int] = []
    sample_ends: list[int] = []
    times: list[int] = []
    values: list[float] = []
    for series in batch.series:
        for name, value in series.labels.items():
            refs.append(intern(name))
            refs.append(intern(value))
        label_ends.append(len(refs))
        for at, value in series.samples:
            values.append(value)
            if timed:
                times.append(now if at is None else at)
        sample_ends.append(len(values))
    return {
        "strings": strings,
        "label_refs": refs,
        "label_ends": label_ends,
        "sample_ends": sample_ends,
        "timestamps_ms": times,
        "values": values,
    }


def series_of(raw: Any) -> list[Series]:
    """From the columns of the interface, but for histograms and exemplars."""
    found = []
    label = sample = 0
    for index, label_end in enumerate(raw.label_ends):
        texts = [raw.strings[at] for at in raw.label_refs[label:label_end]]
        label = label_end
        if raw.sample_ends:
            sample_end = raw.sample_ends[index]
        else:
            sample_end = index + 1 if raw.values else 0
        times = raw.timestamps_ms[sample:sample_end] or [None] * (sample_end - sample)
        samples = list(zip(times, raw.values[sample:sample_end]))
        sample = sample_end
        found.append(Series(dict(zip(texts[::2], texts[1::2])), samples))
    return found
