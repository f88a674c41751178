package abi

// Family is `family` of the shared types.
type Family struct {
	Name string
	Kind uint8
	Help string
	Unit string
}

// BucketSpan is `bucket-span` of the shared types.
type BucketSpan struct {
	Offset int32
	Length uint32
}

// NativeHistogram is `native-histogram` of the shared types.
type NativeHistogram struct {
	Series         uint32
	TimestampMs    *int64
	Schema         int32
	ZeroThreshold  float64
	ZeroCount      float64
	Count          float64
	Sum            float64
	PositiveSpans  []BucketSpan
	PositiveCounts []float64
	NegativeSpans  []BucketSpan
	NegativeCounts []float64
	CustomBounds   []float64
}

// Exemplar is `exemplar` of the shared types.
type Exemplar struct {
	Series      uint32
	Labels      []Label
	Value       float64
	TimestampMs *int64
}

// Batch is `batch` of the shared types.
type Batch struct {
	Strings      []string
	LabelRefs    []uint32
	LabelEnds    []uint32
	SampleEnds   []uint32
	TimestampsMs []int64
	Values       []float64
	Families     []Family
	Histograms   []NativeHistogram
	Exemplars    []Exemplar
}

// Payload is `payload` of the shared types. Samples cross as text from Go.
type Payload struct {
	Variant
	Text     *string
	Protobuf *[]byte
	Columns  *Batch
}
