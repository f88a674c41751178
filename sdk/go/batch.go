package stormglass

import (
	"math"
	"slices"
	"sort"
	"strings"

	"stormglass/internal/abi"
)

// Now is the time of a sample that has none of its own.
const Now int64 = math.MinInt64

// Batch is samples of any number of series and times: what decoders yield, processors change and queries answer.
type Batch struct {
	Series   []*Series
	Families []MetricFamily

	known map[string]*Series
}

// Series is one series; its labels have the metric's name as __name__.
type Series struct {
	Labels     map[string]string
	Samples    []Sample
	Histograms []Histogram
	Exemplars  []Exemplar
}

// Sample is a value and its time in milliseconds since the Unix epoch, or Now.
type Sample struct {
	AtMs  int64
	Value float64
}

// BucketSpan is a stretch of adjacent buckets of a histogram.
type BucketSpan = abi.BucketSpan

// Histogram is a native histogram, as Prometheus' specification has it.
type Histogram struct {
	AtMs           int64
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

// Exemplar is one observation with labels of its own.
type Exemplar struct {
	Labels map[string]string
	Value  float64
	AtMs   int64
}

// MetricFamily is what is known of a metric; Kind is counter, gauge, histogram and so on.
type MetricFamily struct {
	Name string
	Kind string
	Help string
	Unit string
}

// Add adds a sample of now, of the series with these labels: name, value, name, value.
func (b *Batch) Add(name string, value float64, labels ...string) {
	b.AddAt(Now, name, value, labels...)
}

// AddAt adds a sample of a time in milliseconds since the Unix epoch.
func (b *Batch) AddAt(atMs int64, name string, value float64, labels ...string) {
	all := map[string]string{"__name__": name}
	for i := 0; i+1 < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	if b.known == nil {
		b.known = make(map[string]*Series, len(b.Series))
		for _, series := range b.Series {
			b.known[keyOf(series.Labels)] = series
		}
	}
	key := keyOf(all)
	series := b.known[key]
	if series == nil {
		series = &Series{Labels: all}
		b.known[key] = series
		b.Series = append(b.Series, series)
	}
	series.Samples = append(series.Samples, Sample{AtMs: atMs, Value: value})
}

// Family says what a metric is.
func (b *Batch) Family(name, kind, help string) {
	b.Families = append(b.Families, MetricFamily{Name: name, Kind: kind, Help: help})
}

// Rewrite lets change have the labels of every series, to change them where they are, and drops the series for which it
// answers false.
func (b *Batch) Rewrite(change func(labels map[string]string) bool) {
	b.Series = slices.DeleteFunc(b.Series, func(series *Series) bool { return !change(series.Labels) })
	b.known = nil
}

func keyOf(labels map[string]string) string {
	var key strings.Builder
	for _, name := range sortedNames(labels) {
		key.WriteString(name)
		key.WriteByte(0xff)
		key.WriteString(labels[name])
		key.WriteByte(0xff)
	}
	return key.String()
}

func sortedNames(labels map[string]string) []string {
	names := make([]string, 0, len(labels))
	for name := range labels {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// kinds are the names of metric kinds, in the interface's order.
var kinds = []string{"unknown", "counter", "gauge", "histogram", "gauge-histogram", "summary", "info", "state-set", "other"}

func timeIn(atMs *int64) int64 {
	if atMs == nil {
		return Now
	}
	return *atMs
}

func timeOut(atMs int64) *int64 {
	if atMs == Now {
		return nil
	}
	return &atMs
}

// BatchIn reads the interface's columns. For the kinds' packages.
func BatchIn(raw abi.Batch) *Batch {
	batch := &Batch{}
	var label, sample uint32
	for index, labelEnd := range raw.LabelEnds {
		series := &Series{Labels: make(map[string]string, (labelEnd-label)/2)}
		for ; label < labelEnd; label += 2 {
			series.Labels[raw.Strings[raw.LabelRefs[label]]] = raw.Strings[raw.LabelRefs[label+1]]
		}
		var sampleEnd uint32
		if len(raw.SampleEnds) > 0 {
			sampleEnd = raw.SampleEnds[index]
		} else if len(raw.Values) > 0 {
			sampleEnd = uint32(index) + 1
		}
		for ; sample < sampleEnd; sample++ {
			read := Sample{AtMs: Now, Value: raw.Values[sample]}
			if len(raw.TimestampsMs) > 0 {
				read.AtMs = raw.TimestampsMs[sample]
			}
			series.Samples = append(series.Samples, read)
		}
		batch.Series = append(batch.Series, series)
	}
	for _, h := range raw.Histograms {
		series := batch.Series[h.Series]
		series.Histograms = append(series.Histograms, Histogram{timeIn(h.TimestampMs), h.Schema, h.ZeroThreshold, h.ZeroCount,
			h.Count, h.Sum, h.PositiveSpans, h.PositiveCounts, h.NegativeSpans, h.NegativeCounts, h.CustomBounds})
	}
	for _, e := range raw.Exemplars {
		labels := make(map[string]string, len(e.Labels))
		for _, label := range e.Labels {
			labels[label.Name] = label.Value
		}
		series := batch.Series[e.Series]
		series.Exemplars = append(series.Exemplars, Exemplar{labels, e.Value, timeIn(e.TimestampMs)})
	}
	for _, f := range raw.Families {
		batch.Families = append(batch.Families, MetricFamily{f.Name, kinds[f.Kind], f.Help, f.Unit})
	}
	return batch
}

// BatchOut writes the interface's columns; now is asked where only some of the samples have a time. For the kinds'
// packages.
func BatchOut(batch *Batch, now func() int64) abi.Batch {
	var raw abi.Batch
	known := map[string]uint32{}
	intern := func(text string) uint32 {
		at, ok := known[text]
		if !ok {
			at = uint32(len(raw.Strings))
			known[text] = at
			raw.Strings = append(raw.Strings, text)
		}
		return at
	}
	timed := slices.ContainsFunc(batch.Series, func(series *Series) bool {
		return slices.ContainsFunc(series.Samples, func(sample Sample) bool { return sample.AtMs != Now })
	})
	var nowMs int64
	if timed {
		nowMs = now()
	}
	for index, series := range batch.Series {
		for _, name := range sortedNames(series.Labels) {
			raw.LabelRefs = append(raw.LabelRefs, intern(name), intern(series.Labels[name]))
		}
		raw.LabelEnds = append(raw.LabelEnds, uint32(len(raw.LabelRefs)))
		for _, sample := range series.Samples {
			raw.Values = append(raw.Values, sample.Value)
			if timed && sample.AtMs == Now {
				sample.AtMs = nowMs
			}
			if timed {
				raw.TimestampsMs = append(raw.TimestampsMs, sample.AtMs)
			}
		}
		raw.SampleEnds = append(raw.SampleEnds, uint32(len(raw.Values)))
		for _, h := range series.Histograms {
			raw.Histograms = append(raw.Histograms, abi.NativeHistogram{Series: uint32(index), TimestampMs: timeOut(h.AtMs),
				Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, ZeroCount: h.ZeroCount, Count: h.Count, Sum: h.Sum,
				PositiveSpans: h.PositiveSpans, PositiveCounts: h.PositiveCounts,
				NegativeSpans: h.NegativeSpans, NegativeCounts: h.NegativeCounts, CustomBounds: h.CustomBounds})
		}
		for _, e := range series.Exemplars {
			var labels []abi.Label
			for _, name := range sortedNames(e.Labels) {
				labels = append(labels, abi.Label{Name: name, Value: e.Labels[name]})
			}
			raw.Exemplars = append(raw.Exemplars, abi.Exemplar{Series: uint32(index), Labels: labels, Value: e.Value, TimestampMs: timeOut(e.AtMs)})
		}
	}
	for _, f := range batch.Families {
		kind := max(slices.Index(kinds, f.Kind), 0)
		raw.Families = append(raw.Families, abi.Family{Name: f.Name, Kind: uint8(kind), Help: f.Help, Unit: f.Unit})
	}
	return raw
}
