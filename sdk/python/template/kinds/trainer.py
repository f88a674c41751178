from stormglass import Job, Scores, Trainer, plugin


@plugin
class Hello(Trainer):
    largest = float("inf")

    def train(self, history: Job, prior: bytes) -> bytes:
        return b"%g" % max(value for value in history.values if value == value)

    def load(self, model: bytes) -> None:
        self.largest = float(model)

    def detect(self, job: Job) -> Scores:
        return Scores([float(value > self.largest) for value in job.values])
