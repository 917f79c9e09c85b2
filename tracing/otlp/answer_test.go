package otlp

import (
	"testing"

	logscollectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricscollectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// TestPartialSuccessOfSignals: the answers of all signals are understood, in both encodings.
func TestPartialSuccessOfSignals(t *testing.T) {
	encode := func(m proto.Message) string {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	const protobuf, json = "application/x-protobuf", "application/json"
	for _, test := range []struct {
		kind, body string
		rejected   int64
		message    string
	}{
		{json, `{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "no"}}`, 3, "no"},
		{json, `{"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "no"}}`, 2, "no"},
		{json, `{"partialSuccess": {"rejectedDataPoints": 1}}`, 1, ""},
		{json, `{"partialSuccess": {"rejectedLogRecords": "many"}}`, 0, ""},
		{json, `{}`, 0, ""},
		{json, `[`, 0, ""},
		{protobuf, encode(&logscollectorpb.ExportLogsServiceResponse{
			PartialSuccess: &logscollectorpb.ExportLogsPartialSuccess{RejectedLogRecords: 4, ErrorMessage: "no"},
		}), 4, "no"},
		{protobuf, encode(&metricscollectorpb.ExportMetricsServiceResponse{
			PartialSuccess: &metricscollectorpb.ExportMetricsPartialSuccess{RejectedDataPoints: 5},
		}), 5, ""},
		{"text/plain", "rejectedSpans", 0, ""},
	} {
		rejected, message := partialSuccess(test.kind, []byte(test.body))
		if rejected != test.rejected || message != test.message {
			t.Errorf("%s %q: got %d, %q, want %d, %q", test.kind, test.body, rejected, message, test.rejected, test.message)
		}
	}
}
