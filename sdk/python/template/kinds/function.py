from stormglass import Function, FunctionCall, Signature, plugin


@plugin
class Hello(Function):
    def signatures(self) -> list[Signature]:
        return [Signature("double", "Twice as much.", ["vector"])]

    def eval(self, call: FunctionCall) -> list[float]:
        return [2 * value for value in call.values]
