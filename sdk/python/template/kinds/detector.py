from stormglass import Detector, Job, Scores, plugin


@plugin
class Hello(Detector):
    def detect(self, job: Job) -> Scores:
        return Scores([float(value > 100) for value in job.values])
