package propagation

import (
	"math/bits"
	"net/http"
	"slices"
	"strings"
)

// contextKeys are the headers that name a trace or decide on its recording, in all formats.
var contextKeys = []string{
	traceparentKey, tracestateKey,
	b3Key, b3TraceIDKey, b3SpanIDKey, b3ParentIDKey, b3SampledKey, b3FlagsKey,
	jaegerKey,
	otTraceIDKey, otSpanIDKey, otSampledKey,
	datadogTraceIDKey, datadogParentIDKey, datadogPriorityKey,
	awsKey,
	gcpKey,
	instanaTraceKey, instanaSpanKey, instanaLevelKey,
}

// keys are the headers of a format.
var keys = [...][]string{
	W3C: {traceparentKey, tracestateKey}, B3: {b3TraceIDKey, b3SpanIDKey, b3ParentIDKey, b3SampledKey, b3FlagsKey}, B3Single: {b3Key},
	Jaeger: {jaegerKey}, OT: {otTraceIDKey, otSpanIDKey, otSampledKey},
	Datadog: {datadogTraceIDKey, datadogParentIDKey, datadogPriorityKey}, AWS: {awsKey}, GCP: {gcpKey},
	Instana: {instanaTraceKey, instanaSpanKey, instanaLevelKey},
}

// AppendInjected appends the headers that Inject has written for a context, and those of the fields that came which are
// still there, as AppendFields gives them.
func (p *Propagator) AppendInjected(fields [][2]string, h http.Header, in *Context, came [][2]string) [][2]string {
	from := len(fields)
	for rest := uint(p.injected(in)); rest != 0; rest &= rest - 1 {
		for _, name := range keys[bits.TrailingZeros(rest)] {
			fields = appendField(fields, name, h[name])
		}
	}
	for i := range came {
		name := came[i][0]
		if !slices.ContainsFunc(fields[from:], func(f [2]string) bool { return f[0] == name }) {
			fields = appendField(fields, name, h[name])
		}
	}
	sortFields(fields[from:])
	return fields
}

// AppendFields appends the headers of every format as they stand, baggage too, each occurrence as name and value, in the
// order of their names.
func AppendFields(fields [][2]string, h http.Header) [][2]string {
	from := len(fields)
	for name, values := range h {
		if carriesContext(name) {
			fields = appendField(fields, name, values)
		}
	}
	sortFields(fields[from:])
	return fields
}

func appendField(fields [][2]string, name string, values []string) [][2]string {
	for _, value := range values {
		fields = append(fields, [2]string{name, value})
	}
	return fields
}

func sortFields(fields [][2]string) {
	if len(fields) > 1 {
		slices.SortStableFunc(fields, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	}
}

// carriesContext reports whether a header, by its canonical name, belongs to a format or is baggage.
func carriesContext(name string) bool {
	switch name {
	case traceparentKey, tracestateKey, b3Key, b3TraceIDKey, b3SpanIDKey, b3ParentIDKey, b3SampledKey, b3FlagsKey, jaegerKey,
		otTraceIDKey, otSpanIDKey, otSampledKey, datadogTraceIDKey, datadogParentIDKey, datadogPriorityKey, awsKey, gcpKey,
		instanaTraceKey, instanaSpanKey, instanaLevelKey, "Baggage":
		return true
	}
	return strings.HasPrefix(name, jaegerBaggageStem) || strings.HasPrefix(name, otBaggageStem)
}

// Strip removes the headers of every format, whatever the configuration names, so that nobody further on continues a
// trace that was not continued here. Baggage stays: it is the caller's data, as any other header is.
func Strip(h http.Header) {
	for _, name := range contextKeys {
		delete(h, name)
	}
}
