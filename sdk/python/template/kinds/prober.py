from stormglass import Metrics, Prober, plugin


@plugin
class Hello(Prober):
    def probe(self, target: str, params: dict[str, list[str]], out: Metrics) -> None:
        out.gauge("hello_target_bytes", "How long the target's name is.").set(len(target), target=target)
