package inventory

import (
	"math"
	"time"
)

// latency counts durations in buckets that grow by 9 % each, from a microsecond to more than an hour.
type latency [256]uint32

const bucketsPerDoubling = 8

func (l *latency) add(d time.Duration) {
	bucket := 0
	if us := float64(d) / 1000; us > 1 {
		bucket = min(int(math.Log2(us)*bucketsPerDoubling), len(l)-1)
	}
	if l[bucket] < math.MaxUint32 {
		l[bucket]++
	}
}

func (l *latency) merge(other *latency) {
	for i, n := range other {
		l[i] = uint32(min(uint64(l[i])+uint64(n), math.MaxUint32))
	}
}

// quantile is the duration that a share q of all does not exceed, within 5 %; 0 without any.
func (l *latency) quantile(q float64) time.Duration {
	total := uint64(0)
	for _, n := range l {
		total += uint64(n)
	}
	if total == 0 {
		return 0
	}
	rank, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for i, n := range l {
		if seen += uint64(n); seen >= rank {
			return time.Duration(math.Exp2((float64(i)+0.5)/bucketsPerDoubling) * 1000)
		}
	}
	return 0
}
