package tracing

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Decision is what a caller says about recording its trace. The zero value is no decision at all.
type Decision uint8

const (
	Undecided Decision = iota // absent or deferred: the receiver decides
	Drop                      // the caller does not record
	Keep                      // the caller records
	Force                     // the caller asks for recording whatever the rate (B3's debug)
)

// String gives a word for logs.
func (d Decision) String() string {
	switch d {
	case Drop:
		return "drop"
	case Keep:
		return "keep"
	case Force:
		return "force"
	default:
		return "undecided"
	}
}

// Sampler keeps a fixed share of all traces, by trace id alone, so that every hop with the same rate keeps the same
// traces. The zero value keeps none.
//
// Kong: kong/pdk/tracing.lua get_trace_id_based_sampler
type Sampler struct {
	bound uint64 // ids below it are kept
	all   bool   // the bound would be 2^64
}

// NewSampler makes a sampler for a rate from 0 (none) to 1 (all). A rate outside of that range counts as its nearer
// end, one that is not a number as 0.
func NewSampler(rate float64) Sampler {
	switch {
	case rate >= 1:
		return Sampler{all: true}
	case rate > 0:
		return Sampler{bound: uint64(math.Ldexp(rate, 64))}
	default:
		return Sampler{}
	}
}

// Rate is the share that the sampler keeps, 0 to 1.
func (s Sampler) Rate() float64 {
	if s.all {
		return 1
	}
	return math.Ldexp(float64(s.bound), -64)
}

// Sample reports whether the trace is kept: its first eight bytes, read little endian, are below rate x 2^64.
//
// Kong sees only zeros in a padded 64-bit id and so keeps every such trace; here its last eight bytes, where the
// randomness is, are read instead.
func (s Sampler) Sample(id TraceID) bool {
	if s.all {
		return true
	}
	number := binary.LittleEndian.Uint64(id[:8])
	if number == 0 {
		number = binary.LittleEndian.Uint64(id[8:])
	}
	return number < s.bound
}

// Strategy says how a caller's decision and the rate together decide. Kong: sampling_strategy of the opentelemetry
// plugin, from 3.11 on.
type Strategy uint8

const (
	// ParentDropProbabilityFallback lets a caller forbid recording, but not demand it: the rate decides unless the
	// caller drops. It is what Kong before 3.11 always does.
	ParentDropProbabilityFallback Strategy = iota
	// ParentProbabilityFallback follows the caller both ways; the rate decides where the caller has not.
	ParentProbabilityFallback
)

var strategyNames = [...]string{"parent_drop_probability_fallback", "parent_probability_fallback"}

// String gives Kong's name.
func (s Strategy) String() string {
	if int(s) < len(strategyNames) {
		return strategyNames[s]
	}
	return fmt.Sprintf("Strategy(%d)", uint8(s))
}

// ParseStrategy reads Kong's name.
func ParseStrategy(name string) (Strategy, error) {
	for i, known := range strategyNames {
		if name == known {
			return Strategy(i), nil
		}
	}
	return 0, fmt.Errorf("parse sampling strategy: %q is not one of %q", name, strategyNames)
}

// Decide reports whether a request is recorded, from what the caller said and the trace id it is recorded under.
// Force wins under either strategy.
func (s Strategy) Decide(caller Decision, sampler Sampler, id TraceID) bool {
	switch {
	case caller == Force:
		return true
	case caller == Drop:
		return false
	case caller == Keep && s == ParentProbabilityFallback:
		return true
	default:
		return sampler.Sample(id)
	}
}
