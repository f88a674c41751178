from stormglass import Collector, Metrics, plugin

@plugin
class Many(Collector):
    def collect(self, out: Metrics) -> None:
        family = out.gauge("many", "Many.")
        for i in range(self.config["series"]):
            family.set(i, i=str(i))
