"""The conformance plugin: see sdk/conformance."""

from stormglass import Collector, Metrics, PluginError, clock, files, http, log, plugin


@plugin
class Conformance(Collector):
    def __init__(self, config: dict) -> None:
        super().__init__(config)
        self.calls = 0

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
