"""What a plugin is, and what each kind is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .batch import Batch
from .calls import Chunk, FunctionCall, Signature
from .metrics import Metrics
from .spans import Spans

Labels = dict[str, str]

#: The class that `@plugin` marked.
_registered: type[Plugin] | None = None


def plugin(cls: type) -> type:
    """Marks the class that is the plugin. There is one in a project."""
    global _registered
    if _registered is not None:
        raise TypeError(f"{cls.__name__} and {_registered.__name__} are both marked with @plugin; a project has one plugin")
    _registered = cls
    return cls


class Plugin:
    """How a plugin starts; every kind builds on it. A plugin of several kinds inherits from each."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Called once in each new instance. `config` is the configured object, already valid by the schema in
        plugin.yaml."""
        self.config = config


class Collector(Plugin):
    """Yields samples at an interval, like a scrape target: the server adds job and instance labels, `up` and the
    `scrape_*` series, and ends the series that a collection no longer has."""

    def collect(self, out: Metrics) -> None:
        """Collects once. When it raises, nothing of `out` is kept and `up` is 0."""
        raise NotImplementedError


class Discoverer(Plugin):
    """Finds scrape targets, for the scrape jobs that name it."""

    def poll(self) -> Snapshot:
        """All there is now: a source that is missing is gone. When it raises, the server keeps the groups it has."""
        raise NotImplementedError


class Receiver(Plugin):
    """Delivers groups of alerts."""

    def notify(self, notification: Notification) -> None:
        """Delivers one notification. Returning says that it has arrived; a retryable error asks for another
        attempt."""
        raise NotImplementedError


class Detector(Plugin):
    """Scores how unusual the latest values of series are."""

    def detect(self, job: Job) -> Scores:
        """One score for each value of the job, and bounds where the detector has them."""
        raise NotImplementedError


class Prober(Plugin):
    """Yields samples of a target that it is told, for the scrape jobs that name it."""

    def probe(self, target: str, params: dict[str, list[str]], out: Metrics) -> None:
        """Probes a target once. One that does not answer is told by a sample, such as `probe_success 0`; raising says
        that the plugin could not do its work."""
        raise NotImplementedError


class Trainer(Detector):
    """Learns ahead of time what the detector uses. The server keeps the model."""

    def train(self, history: Job, prior: bytes) -> bytes:
        """Learns from a longer job and answers a model; `prior` is the one there is, empty before the first."""
        raise NotImplementedError

    def load(self, model: bytes) -> None:
        """Takes the model that `detect` is to use."""
        raise NotImplementedError


class Decoder(Plugin):
    """Reads what comes in at a listener of the server."""

    def decode(self, chunk: Chunk, out: Batch) -> None:
        """Decodes a chunk into `out`; `chunk` is told how much of it is done with, and what made no sense."""
        raise NotImplementedError


class Function(Plugin):
    """Has functions of PromQL, called as `wasm_<name>(...)`. They are pure: such a plugin calls nothing of the server but
    `log`, and keeps nothing between calls."""

    def signatures(self) -> list[Signature]:
        """What functions there are."""
        raise NotImplementedError

    def eval(self, call: FunctionCall) -> list[float]:
        """One value for each series and step of the call."""
        raise NotImplementedError


class SampleProcessor(Plugin):
    """Stands between what brings samples and storage."""

    def process_samples(self, batch: Batch) -> Batch:
        """Answers the samples to store in place of these; it may be the same batch, changed."""
        raise NotImplementedError


class SpanProcessor(Plugin):
    """Stands between what brings spans and the trace store."""

    def process_spans(self, spans: Spans) -> Spans:
        """Answers the spans to store in place of these; they may be the same, changed."""
        raise NotImplementedError


@dataclass
class Target:
    """Where to scrape: `host:port`."""

    address: str
    labels: Labels = field(default_factory=dict)


@dataclass
class TargetGroup:
    """Targets with common labels. A group replaces the earlier one of its source."""

    source: str
    targets: list[Target]
    labels: Labels = field(default_factory=dict)


@dataclass
class Snapshot:
    """All groups there are; when to ask again, where that is not the configured interval."""

    groups: list[TargetGroup]
    next_poll_ms: int | None = None


@dataclass
class Alert:
    """One alert; names follow Alertmanager's webhook body. `status` is `firing` or `resolved`."""

    status: str
    labels: Labels
    annotations: Labels
    starts_at: str
    ends_at: str
    generator_url: str
    fingerprint: str


@dataclass
class Notification:
    """One group of alerts; `idempotency_key` is the same for every attempt to deliver the same thing."""

    idempotency_key: str
    attempt: int
    group_key: str
    status: str
    receiver: str
    group_labels: Labels
    common_labels: Labels
    common_annotations: Labels
    external_url: str
    truncated_alerts: int
    alerts: list[Alert]


@dataclass
class Job:
    """Series over a range, at the same steps: `values[s * steps + i]` is series `s` at step `i`, NaN where it has
    none."""

    start_ms: int
    step_ms: int
    steps: int
    series: int
    values: list[float]

    def rows(self) -> list[list[float]]:
        """The values of each series, in order."""
        return [self.values[s * self.steps : (s + 1) * self.steps] for s in range(self.series)]


@dataclass
class Scores:
    """One value for each of the job's, in the same order; bounds are empty where the detector has none."""

    scores: list[float]
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
