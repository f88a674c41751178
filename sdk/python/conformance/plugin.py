"""The conformance plugin: see sdk/conformance."""

from stormglass import (
    Batch,
    Chunk,
    Collector,
    Decoder,
    Discoverer,
    Job,
    Metrics,
    Notification,
    PluginError,
    Prober,
    Receiver,
    SampleProcessor,
    Scores,
    Snapshot,
    SpanProcessor,
    Spans,
    Target,
    TargetGroup,
    Trainer,
    clock,
    dns,
    files,
    http,
    kv,
    log,
    net,
    plugin,
    query,
    secrets,
    telemetry,
)


@plugin
class Conformance(Collector, Prober, Discoverer, Receiver, Trainer, Decoder, SampleProcessor, SpanProcessor):
    def __init__(self, config: dict) -> None:
        super().__init__(config)
        self.calls = 0
        self.model = b""

    def collect(self, out: Metrics) -> None:
        self.calls += 1
        family = None
        for op, *rest in self.config["ops"]:
            match op:
                case "gauge":
                    family = out.gauge(*rest)
                case "counter":
                    family = out.counter(*rest)
                case "set":
                    family.set(float(rest[0]), dict(zip(rest[1::2], rest[2::2])))
                case "many":
                    for i in range(rest[0]):
                        family.set(i, i=str(i))
                case "text":
                    out.text(rest[0])
                case "now":
                    out.gauge("now_ms", "The clock.").set(clock.now_ms())
                case "calls":
                    out.gauge("calls", "Collections so far.").set(self.calls)
                case "fetch":
                    response = http.get(rest[0])
                    out.gauge("fetch_status", "Status.").set(response.status)
                    out.gauge("fetch_bytes", "Body.").set(len(response.body))
                case "read":
                    out.gauge("read_bytes", "File.").set(len(files.read(rest[0])))
                case "log":
                    {"info": log.info, "warn": log.warn}[rest[0]](rest[1])
                case "fail":
                    raise PluginError(rest[0], retryable=rest[1])
                case "kv-set":
                    kv.set(*rest)
                case "kv-get":
                    value = kv.get(rest[0])
                    out.gauge("kv_bytes", "Value.").set(-1 if value is None else len(value))
                case "kv-delete":
                    kv.delete(rest[0])
                case "kv-keys":
                    out.gauge("kv_keys", "Keys.").set(len(kv.keys(rest[0])))
                case "secret":
                    out.gauge("secret_bytes", "Secret.").set(len(secrets.get(rest[0])))
                case "count":
                    telemetry.counter_add(rest[0], rest[1], {rest[2]: rest[3]})
                case "measure":
                    telemetry.gauge_set(*rest)
                case "query":
                    for series in query.instant(rest[0]).series:
                        series.labels.pop("__name__", None)
                        out.gauge("answer", "Answer.").set(series.samples[0][1], series.labels)
                case "lookup":
                    for record in dns.lookup(rest[0], rest[1]):
                        match record.data:
                            case dns.Exchange(preference, host):
                                data = f"{preference} {host}"
                            case dns.Service(priority, weight, port, target):
                                data = f"{priority} {weight} {port} {target}"
                            case text:
                                data = text
                        out.gauge("record_ttl", "A record.").set(record.ttl_seconds, name=record.name, data=data)
                case "talk":
                    host, port, mode, *lines = rest
                    with net.connect(host, port, tls=mode == "tls") as connection:
                        for i, line in enumerate(lines):
                            if mode == "start-tls" and i == 1:
                                connection.start_tls()
                            connection.write(line + "\r\n")
                            answer = connection.read_line()
                            out.gauge("talk_line", "An answer.").set(i, text=(answer or b"").decode())
                        if session := connection.session():
                            out.gauge("talk_tls", "TLS.").set(1, version=session.version)
                case "query-range":
                    values = [value for series in query.range(*rest).series for _, value in series.samples]
                    out.gauge("answer_samples", "Samples.").set(len(values))
                    out.gauge("answer_sum", "Sum.").set(sum(values))

    def probe(self, target: str, params: dict[str, list[str]], out: Metrics) -> None:
        if target == "unreachable":
            raise PluginError("no way to unreachable")
        pairs = [(name, value) for name, values in params.items() for value in values]
        out.gauge("probe_params", "Parameters.").set(len(pairs), target=target)
        for name, value in pairs:
            out.gauge("probe_param", "A parameter.").set(1, name=name, value=value)

    def poll(self) -> Snapshot:
        targets = [Target(op[1], {op[2]: op[3]}) for op in self.config["ops"] if op[0] == "target"]
        return Snapshot([TargetGroup("conformance", targets, {"from": "conformance"})], next_poll_ms=60000)

    def notify(self, notification: Notification) -> None:
        for op, *rest in self.config["ops"]:
            if op == "fail":
                raise PluginError(rest[0], retryable=rest[1])
        n = notification
        log.info(f"{'somebody' if n.receiver else 'nobody'} {n.status} {len(n.alerts)} {n.alerts[0].labels['alertname']}")

    def train(self, history: Job, prior: bytes) -> bytes:
        total = sum(value for value in history.values if value == value)
        return (prior + b";" if prior else b"") + b"sum=%d" % total

    def load(self, model: bytes) -> None:
        self.model = model

    def detect(self, job: Job) -> Scores:
        plus = lambda by: [value + by for value in job.values]  # noqa: E731
        return Scores(plus(len(self.model)), plus(-1), plus(1))

    def decode(self, chunk: Chunk, out: Batch) -> None:
        for line in chunk.lines():
            name, *rest = line.split(" ")
            if line == "refuse":
                raise PluginError("refused")
            if not rest:
                chunk.reject(f"no value: {line}")
            else:
                out.add(name, {"type": chunk.content_type}, float(rest[0]), int(rest[1]) if rest[1:] else None)

    def process_samples(self, batch: Batch) -> Batch:
        def change(labels: dict[str, str]) -> bool:
            labels.pop("secret", None)
            labels["env"] = "test"
            return not labels["__name__"].startswith("drop_")

        return batch.rewrite(change)

    def process_spans(self, spans: Spans) -> Spans:
        def hide(attributes: dict) -> None:
            if "secret" in attributes:
                attributes["secret"] = "x"

        spans.spans = [span for span in spans.spans if span.name != "drop"]
        for resource in spans.resources:
            hide(resource)
        for span in spans.spans:
            span.attributes["seen"] = len(span.attributes)
            hide(span.attributes)
            for event in span.events:
                hide(event.attributes)
        return spans
