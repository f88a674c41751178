//go:build !wasip1

package clock

import "stormglass/stormglasstest"

func now() int64 { return stormglasstest.NowMs() }
