package opentelemetry

import (
	"strconv"
	"sync/atomic"

	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// notedFrames are a trace's frames that are noted as they are encoded, for somebody who would encode them again.
type notedFrames struct {
	otlp.Frames
	notes *plugin.Notes
}

// AppendFrames is queue.Encoder.
func (f notedFrames) AppendFrames(buf []byte) (out []byte, n int) {
	out, n = f.Frames.AppendFrames(buf)
	f.notes.Spans = append(f.notes.Spans[:0], out[len(buf):]...)
	return out, n
}

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
		return rateNote(sampler.Rate(), sampled)
	}
}

// rateNotes are what because says of the rate that it was asked for last, which is nearly always the next one too.
type rateNotes struct {
	rate          float64
	kept, dropped string
}

var lastRate atomic.Pointer[rateNotes]

func rateNote(rate float64, sampled bool) string {
	notes := lastRate.Load()
	if notes == nil || notes.rate != rate {
		text := "rate " + strconv.FormatFloat(rate, 'g', 6, 64)
		notes = &rateNotes{rate: rate, kept: "sampled: " + text, dropped: "not sampled: " + text}
		lastRate.Store(notes)
	}
	if sampled {
		return notes.kept
	}
	return notes.dropped
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
