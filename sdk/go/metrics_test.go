package stormglass

import (
	"math"
	"testing"
)

func TestFamiliesKeepTogetherAndTextsAreEscaped(t *testing.T) {
	var out Metrics
	out.Gauge("a", "Two\nlines, a \\.").Set(1).Set(math.NaN(), "v", "\"\\\n")
	out.Counter("b_total", "B.").Set(math.Inf(1), "x", "1", "y", "2")
	out.Gauge("a", "Other.").Set(math.Inf(-1), "z", "")
	expected := "# HELP a Two\\nlines, a \\\\.\n# TYPE a gauge\na 1\na{v=\"\\\"\\\\\\n\"} NaN\na{z=\"\"} -Inf\n" +
		"# HELP b_total B.\n# TYPE b_total counter\nb_total{x=\"1\",y=\"2\"} +Inf\n"
	if text, err := out.Render(); err != nil || text != expected {
		t.Errorf("rendered %q, %v", text, err)
	}
	out.Text("c 1\n")
	if _, err := out.Render(); err == nil {
		t.Error("text and samples were both taken")
	}
}

func TestErrorsSayWhetherToTryAgain(t *testing.T) {
	for _, c := range []struct {
		err       error
		retryable bool
	}{{Permanent("no %d", 1), false}, {Retryable("later"), true}, {error(testError{}), true}} {
		if crossed := ErrorOf(c.err); crossed.Retryable != c.retryable || crossed.Message != c.err.Error() {
			t.Errorf("%v crosses as %+v", c.err, crossed)
		}
	}
	if ErrorOf(nil) != nil {
		t.Error("no error crosses as one")
	}
}

type testError struct{}

func (testError) Error() string { return "of another kind" }
