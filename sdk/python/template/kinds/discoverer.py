from stormglass import Discoverer, Snapshot, Target, TargetGroup, plugin


@plugin
class Hello(Discoverer):
    def poll(self) -> Snapshot:
        return Snapshot([TargetGroup("hello", [Target("127.0.0.1:9100", {"planet": "earth"})])])
