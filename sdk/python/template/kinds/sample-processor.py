from stormglass import Batch, SampleProcessor, plugin


@plugin
class Hello(SampleProcessor):
    def process_samples(self, batch: Batch) -> Batch:
        for series in batch.series:
            series.labels["planet"] = "earth"
        return batch
