from stormglass import Batch, Chunk, Decoder, plugin


@plugin
class Hello(Decoder):
    def decode(self, chunk: Chunk, out: Batch) -> None:
        for line in chunk.lines():
            name, *value = line.split()
            if value:
                out.add(name, {}, float(value[0]))
            else:
                chunk.reject(f"no value: {line}")
