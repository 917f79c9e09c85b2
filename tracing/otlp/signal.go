package otlp

// Signal is a kind of telemetry. The messages of all signals have one shape on the wire: a request holds resources in
// field 1, each of them a Resource in 1 and scopes in 2, each of these a scope in 1 and records in 2. So whatever its
// signal, a record's frame is field 2, and what the client sends around frames is the same for all.
// https://github.com/open-telemetry/opentelemetry-proto (collector, trace, logs, metrics)
type Signal uint8

// The signals. The records of Traces are spans.
const (
	Traces Signal = iota
	Logs
	Metrics
)

// String gives the name that the signal has in endpoints.
func (s Signal) String() string {
	switch s {
	case Logs:
		return "logs"
	case Metrics:
		return "metrics"
	default:
		return "traces"
	}
}

// Records names the signal's records, for log lines and errors.
func (s Signal) Records() string {
	switch s {
	case Logs:
		return "log records"
	case Metrics:
		return "metrics"
	default:
		return "spans"
	}
}
