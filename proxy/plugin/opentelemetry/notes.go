package opentelemetry

import (
	"strconv"

	"sidekong/tracing"
)

// because tells why a trace is, or is not, sampled when its request comes.
func because(caller tracing.Decision, strategy tracing.Strategy, sampler tracing.Sampler, sampled bool) string {
	verdict := "not sampled: "
	if sampled {
		verdict = "sampled: "
	}
	switch {
	case caller == tracing.Force:
		return verdict + "the caller demands it"
	case caller == tracing.Drop:
		return verdict + "the caller does not record"
	case caller == tracing.Keep && strategy == tracing.ParentProbabilityFallback:
		return verdict + "the caller records"
	default:
		return verdict + "rate " + strconv.FormatFloat(sampler.Rate(), 'g', 6, 64)
	}
}

// tailNote adds what tail_sampling has made of it.
func tailNote(keep bool, reason string) string {
	switch {
	case !keep && reason == "":
		return "; dropped by tail_sampling"
	case reason == reasonHead:
		return ""
	default:
		return "; kept by tail_sampling: " + reason
	}
}
