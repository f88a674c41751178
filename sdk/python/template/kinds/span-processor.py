from stormglass import SpanProcessor, Spans, plugin


@plugin
class Hello(SpanProcessor):
    def process_spans(self, spans: Spans) -> Spans:
        for span in spans.spans:
            span.attributes["planet"] = "earth"
        return spans
