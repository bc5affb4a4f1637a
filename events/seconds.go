package events

import (
	"math"
	"time"
)

// Seconds is a number of seconds as people write it: what is longer than a time.Duration can say is the longest of them,
// and not one that is long over.
func Seconds(n int64) time.Duration {
	return time.Duration(max(min(n, math.MaxInt64/int64(time.Second)), math.MinInt64/int64(time.Second))) * time.Second
}
