"""The functions of the conformance cases: see sdk/conformance."""

from stormglass import Function, FunctionCall, PluginError, Signature, plugin


@plugin
class Functions(Function):
    def signatures(self) -> list[Signature]:
        return [
            Signature("scale", "Multiplies, by 2 unless told.", ["vector", "scalar"], optional=1),
            Signature("window_count", "Samples of each window.", ["range"]),
            Signature("window_span", "Seconds from first to last.", ["range"]),
            Signature("text_bytes", "Adds the length of a text.", ["vector", "text"]),
            Signature("refuse", "Fails.", ["vector"]),
        ]

    def eval(self, call: FunctionCall) -> list[float]:
        match call.name:
            case "scale":
                return [value * call.scalar(0, step, 2) for row in call.rows() for step, value in enumerate(row)]
            case "window_count":
                return [len(values) for _, values in call.windows()]
            case "window_span":
                return [(times[-1] - times[0]) / 1000 if times else 0.0 for times, _ in call.windows()]
            case "text_bytes":
                return [value + len(call.texts[0].encode()) for value in call.values]
        raise PluginError("refused")
