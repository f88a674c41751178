package stormglass

import "testing"

func TestSamplesAreGatheredBySeries(t *testing.T) {
	var batch Batch
	batch.AddAt(10, "m", 1, "a", "1")
	batch.Add("m", 2, "a", "2")
	batch.AddAt(30, "m", 3, "a", "1")
	raw := BatchOut(&batch, func() int64 { return 20 })
	if len(raw.SampleEnds) != 2 || raw.SampleEnds[0] != 2 || raw.TimestampsMs[2] != 20 || len(raw.Strings) != 5 {
		t.Errorf("%+v", raw)
	}
	read := BatchIn(raw)
	read.Rewrite(func(labels map[string]string) bool { return labels["a"] == "1" })
	if len(read.Series) != 1 || read.Series[0].Samples[1] != (Sample{AtMs: 30, Value: 3}) {
		t.Errorf("%+v", read.Series)
	}
}
