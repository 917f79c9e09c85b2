package tracing

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

func traceID(t *testing.T, digits string) (id TraceID) {
	t.Helper()
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil || len(digits) != 32 {
		t.Fatalf("bad trace id %q: %v", digits, err)
	}
	return id
}

func TestSampler(t *testing.T) {
	cases := []struct {
		name string
		rate float64
		id   string
		want bool
	}{
		{"all", 1, "ffffffffffffffffffffffffffffffff", true},
		{"more than all", 7, "ffffffffffffffffffffffffffffffff", true},
		{"none", 0, "01000000000000000000000000000000", false},
		{"less than none", -1, "01000000000000000000000000000000", false},
		{"not a number", math.NaN(), "01000000000000000000000000000000", false},
		{"last id below a half", 0.5, "ffffffffffffff7f3945b9ab389c73e7", true},
		{"first id above a half", 0.5, "00000000000000800a0abdde77a1b64d", false},
		{"last id below a tenth", 0.1, "ff9999999999991996875476c7f61fa1", true},
		{"first id above a tenth", 0.1, "009a999999999919ab27d0a7ab06bef9", false},
		{"little endian, kept", 0.5, "92a54b3e1a7c4f2dd613a1893d5d0061", true},
		{"little endian, dropped", 0.5, "4bf92f3577b34da6edbb2ad6d889956d", false},
		{"64-bit id below", 0.5, "000000000000000000000000000000" + "7f", true},
		{"64-bit id above", 0.5, "000000000000000000000000000000" + "80", false},
		{"64-bit id at a small rate", 0.0001, "0000000000000000edc582cd6253d4a6", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := NewSampler(c.rate).Sample(traceID(t, c.id)); got != c.want {
				t.Errorf("rate %v, id %s: sampled %t, want %t", c.rate, c.id, got, c.want)
			}
		})
	}
	if (Sampler{}).Sample(TraceID{1}) {
		t.Error("the zero sampler keeps a trace")
	}
}

// The share kept is the rate, for ids of both widths.
func TestSamplerShare(t *testing.T) {
	const ids, rate = 20000, 0.2
	random := rand.New(rand.NewPCG(1, 2))
	sampler := NewSampler(rate)
	for _, width := range []string{"128 bits", "64 bits"} {
		kept := 0
		for range ids {
			var id TraceID
			if width == "128 bits" {
				binary.BigEndian.PutUint64(id[:8], random.Uint64())
			}
			binary.BigEndian.PutUint64(id[8:], random.Uint64())
			if sampler.Sample(id) {
				kept++
			}
		}
		if share := float64(kept) / ids; math.Abs(share-rate) > 0.02 {
			t.Errorf("%s: kept %.3f of the traces, want %.3f", width, share, rate)
		}
	}
}

func TestStrategyDecide(t *testing.T) {
	all, none := NewSampler(1), NewSampler(0)
	cases := []struct {
		strategy      Strategy
		caller        Decision
		atAll, atNone bool // what comes out at rate 1 and at rate 0
	}{
		{ParentDropProbabilityFallback, Undecided, true, false},
		{ParentDropProbabilityFallback, Drop, false, false},
		{ParentDropProbabilityFallback, Keep, true, false},
		{ParentDropProbabilityFallback, Force, true, true},
		{ParentProbabilityFallback, Undecided, true, false},
		{ParentProbabilityFallback, Drop, false, false},
		{ParentProbabilityFallback, Keep, true, true},
		{ParentProbabilityFallback, Force, true, true},
	}
	for _, c := range cases {
		t.Run(c.strategy.String()+"/"+c.caller.String(), func(t *testing.T) {
			if got := c.strategy.Decide(c.caller, all, TraceID{1}); got != c.atAll {
				t.Errorf("rate 1: %t, want %t", got, c.atAll)
			}
			if got := c.strategy.Decide(c.caller, none, TraceID{1}); got != c.atNone {
				t.Errorf("rate 0: %t, want %t", got, c.atNone)
			}
		})
	}
}

func TestParseStrategy(t *testing.T) {
	for _, want := range []Strategy{ParentDropProbabilityFallback, ParentProbabilityFallback} {
		if got, err := ParseStrategy(want.String()); err != nil || got != want {
			t.Errorf("ParseStrategy(%q) = %v, %v", want, got, err)
		}
	}
	if _, err := ParseStrategy("always"); err == nil {
		t.Error("an unknown strategy is accepted")
	}
}

func BenchmarkSampler(b *testing.B) {
	sampler, id := NewSampler(0.5), TraceID{0: 0x92, 15: 1}
	b.ReportAllocs()
	for b.Loop() {
		if !sampler.Sample(id) {
			b.Fatal("dropped")
		}
	}
}
