package stormglass

import (
	"math"
	"strconv"
	"strings"
)

// Metrics are the samples of one collection. They cross to the server as one exposition text: from Go that is faster than
// typed records, because every string that crosses by itself is an allocation.
type Metrics struct {
	// DeadlineMs is how long this collection may take before the server interrupts it; 0 in tests.
	DeadlineMs uint64

	families []*Family
	byName   map[string]*Family
	text     string
	isText   bool
}

// Gauge is a family of values that go up and down.
func (m *Metrics) Gauge(name, help string) *Family { return m.Family(name, "gauge", help) }

// Counter is a family of values that only rise, except back to 0 at a restart. Its name ends in _total.
func (m *Metrics) Counter(name, help string) *Family { return m.Family(name, "counter", help) }

// Family is a family of any kind. Asking for the same name again adds to the same family.
func (m *Metrics) Family(name, kind, help string) *Family {
	if found := m.byName[name]; found != nil {
		return found
	}
	if m.byName == nil {
		m.byName = make(map[string]*Family)
	}
	family := &Family{name: name}
	family.text = append(family.text, "# HELP "+name+" "+helpEscapes.Replace(help)+"\n# TYPE "+name+" "+kind+"\n"...)
	m.families = append(m.families, family)
	m.byName[name] = family
	return family
}

// Text yields this text, in the Prometheus exposition format (OpenMetrics where it ends in "# EOF"), rather than samples:
// for what already speaks it, and for histograms.
func (m *Metrics) Text(text string) { m.text, m.isText = text, true }

// Render is all of it, as exposition text.
func (m *Metrics) Render() (string, error) {
	if m.isText {
		if len(m.families) > 0 {
			return "", Permanent("collection holds both text and samples; yield one of them, or split the plugin")
		}
		return m.text, nil
	}
	size := 0
	for _, family := range m.families {
		size += len(family.text)
	}
	var text strings.Builder
	text.Grow(size)
	for _, family := range m.families {
		text.Write(family.text)
	}
	return text.String(), nil
}

// Family is one metric family, open for samples.
type Family struct {
	name string
	text []byte
}

var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// Set adds the sample of one series, named by its labels: name, value, name, value. A series may have only one sample in a
// collection.
func (f *Family) Set(value float64, labels ...string) *Family {
	text := append(f.text, f.name...)
	for i := 0; i+1 < len(labels); i += 2 {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		text = append(text, separator)
		text = append(text, labels[i]...)
		text = append(text, '=', '"')
		if strings.ContainsAny(labels[i+1], "\\\n\"") {
			text = append(text, labelEscapes.Replace(labels[i+1])...)
		} else {
			text = append(text, labels[i+1]...)
		}
		text = append(text, '"')
	}
	if len(labels) > 1 {
		text = append(text, '}')
	}
	text = append(text, ' ')
	switch {
	case math.IsNaN(value):
		text = append(text, "NaN"...)
	case math.IsInf(value, 1):
		text = append(text, "+Inf"...)
	case math.IsInf(value, -1):
		text = append(text, "-Inf"...)
	default:
		text = strconv.AppendFloat(text, value, 'g', -1, 64)
	}
	f.text = append(text, '\n')
	return f
}
