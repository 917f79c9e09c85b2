package propagation

import "net/http"

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

// Strip removes the headers of every format, whatever the configuration names, so that nobody further on continues a
// trace that was not continued here. Baggage stays: it is the caller's data, as any other header is.
func Strip(h http.Header) {
	for _, name := range contextKeys {
		delete(h, name)
	}
}
