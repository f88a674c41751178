from stormglass import Collector, Metrics, plugin


@plugin
class Hello(Collector):
    def collect(self, out: Metrics) -> None:
        out.gauge("hello_answer", "The answer.").set(42, planet="earth")
