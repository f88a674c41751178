package decoder

import (
	"stormglass"
	"stormglass/clock"
	"stormglass/internal/abi"
	"stormglass/internal/component"
)

type decoded struct {
	Batch    abi.Batch
	Consumed uint32
	Rejected uint64
	Reason   *string
}

//go:wasmexport stormglass:plugin/decoder@0.1.2#decode
func decode(data, length, ends, endsLength, contentType, contentTypeLength, last uint32) uint32 {
	abi.Enter()
	chunk := Chunk{
		Data:         abi.LoadList[byte](data, length),
		DatagramEnds: abi.LoadList[uint32](ends, endsLength),
		ContentType:  abi.LoadString(contentType, contentTypeLength),
		Last:         last != 0,
		Consumed:     int(length),
	}
	abi.Release()
	var out stormglass.Batch
	err := stormglass.Instance().(Decoder).Decode(&chunk, &out)
	var answer decoded
	if err == nil {
		answer = decoded{Batch: stormglass.BatchOut(&out, clock.NowMs), Consumed: uint32(chunk.Consumed), Rejected: chunk.Rejected}
		if chunk.Rejected > 0 {
			answer.Reason = &chunk.Reason
		}
	}
	return component.Answer(answer, err)
}

//go:wasmexport cabi_post_stormglass:plugin/decoder@0.1.2#decode
func postDecode(uint32) { abi.Release() }
