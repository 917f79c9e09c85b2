package traces

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"
)

func zipped(body []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(body)
	w.Close()
	return out.Bytes()
}

// post sends a body to a receiver and gives status, content type and body of the answer.
func post(handler http.HandlerFunc, body []byte, header ...string) (int, string, []byte) {
	r := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler(w, r)
	answer, _ := io.ReadAll(w.Result().Body)
	return w.Code, w.Header().Get("Content-Type"), answer
}

// TestReceiver: what the protocol asks of a receiver.
func TestReceiver(t *testing.T) {
	id := traceOf(1)
	good := backendSpan(id, spanOf(1), spanOf(0), "good", tracepb.Span_SPAN_KIND_SERVER, 0, 1)
	bad := backendSpan(id, spanOf(2), spanOf(0), "bad", tracepb.Span_SPAN_KIND_SERVER, 0, 1)
	bad.TraceId = bad.TraceId[:8]
	request := &collectortrace.ExportTraceServiceRequest{ResourceSpans: sentBy("backend", good)}
	mixed := &collectortrace.ExportTraceServiceRequest{ResourceSpans: sentBy("backend", good, bad)}
	binary, _ := proto.Marshal(request)
	mixedBinary, _ := proto.Marshal(mixed)
	text, err := MarshalJSON(request)
	if err != nil {
		t.Fatal(err)
	}
	const proto, jsonType = "application/x-protobuf", "application/json"
	cases := []struct {
		name   string
		body   []byte
		header []string
		status int
		kind   string
		spans  int
		answer string
	}{
		{"protobuf", binary, []string{"Content-Type", proto}, 200, proto, 1, ""},
		{"json", text, []string{"Content-Type", "application/json; charset=utf-8"}, 200, jsonType, 1, "{}"},
		{"gzip", zipped(binary), []string{"Content-Type", proto, "Content-Encoding", "gzip"}, 200, proto, 1, ""},
		{"gzip json", zipped(text), []string{"Content-Type", jsonType, "Content-Encoding", "gzip"}, 200, jsonType, 1, "{}"},
		{"nothing", nil, []string{"Content-Type", proto}, 200, proto, 0, ""},
		{"no type", binary, nil, 415, jsonType, 0, "content type"},
		{"other type", binary, []string{"Content-Type", "text/plain"}, 415, jsonType, 0, "content type"},
		{"other encoding", binary, []string{"Content-Type", jsonType, "Content-Encoding", "br"}, 415, jsonType, 0, "gzip"},
		{"no gzip", binary, []string{"Content-Type", jsonType, "Content-Encoding", "gzip"}, 400, jsonType, 0, "gzip"},
		{"no protobuf", []byte("\xff\xff"), []string{"Content-Type", proto}, 400, proto, 0, ""},
		{"no json", []byte("{"), []string{"Content-Type", jsonType}, 400, jsonType, 0, "read OTLP JSON"},
		{"json ids that are no digits", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz"}]}]}]}`), []string{"Content-Type", jsonType}, 400, jsonType, 0, "traceId"},
		{"partial", mixedBinary, []string{"Content-Type", proto}, 200, proto, 1, "16 bytes"},
		{"bomb", zipped(make([]byte, maxPost+1)), []string{"Content-Type", proto, "Content-Encoding", "gzip"}, 413, proto, 0, "larger"},
		{"large", make([]byte, maxPost+1), []string{"Content-Type", jsonType}, 413, jsonType, 0, "larger"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, 0)
			status, kind, answer := post(NewReceiver(s).ServeTraces, c.body, c.header...)
			if status != c.status || kind != c.kind || !strings.Contains(string(answer), c.answer) {
				t.Errorf("got %d %s %q, want %d %s %q", status, kind, answer, c.status, c.kind, c.answer)
			}
			spans := 0
			for _, row := range s.List(nil, "", 10).Traces {
				spans += row.Spans
			}
			if spans != c.spans {
				t.Errorf("%d spans are stored, want %d", spans, c.spans)
			}
		})
	}
}

// TestReceiverIsBounded: more posts at once than there are slots are told to come again.
func TestReceiverIsBounded(t *testing.T) {
	h := NewReceiver(newStore(t, 0))
	for range maxPosts {
		h.slots <- struct{}{}
	}
	if status, _, _ := post(h.ServeTraces, nil, "Content-Type", "application/json"); status != http.StatusTooManyRequests {
		t.Errorf("status %d", status)
	}
}

// TestReceiveLogs: records join their trace; those without one are passed over.
func TestReceiveLogs(t *testing.T) {
	s := newStore(t, 0)
	sent := append(logged("backend", traceOf(1), 3, "one"), logged("backend", [16]byte{}, 3, "none")...)
	body, err := proto.Marshal(&collectorlogs.ExportLogsServiceRequest{ResourceLogs: sent})
	if err != nil {
		t.Fatal(err)
	}
	status, _, answer := post(NewReceiver(s).ServeLogs, body, "Content-Type", "application/x-protobuf")
	if status != 200 || len(answer) != 0 {
		t.Errorf("got %d %q", status, answer)
	}
	rows := s.List(nil, "", 10).Traces
	if len(rows) != 1 || rows[0].Logs != 1 {
		t.Errorf("rows %+v", rows)
	}
}

// TestManyTracesOfALargeResource: a resource is stored with each trace, so that both together are bounded.
func TestManyTracesOfALargeResource(t *testing.T) {
	s := newStore(t, 0)
	var spans []*tracepb.Span
	for i := range 1000 {
		spans = append(spans, backendSpan([16]byte{1, byte(i), byte(i >> 8)}, spanOf(1), spanOf(0), "s", 2, 0, 1))
	}
	sent := sentBy(strings.Repeat("r", 200<<10), spans...)
	taken := s.TakeSpans(sent)
	if taken.Spans == 0 || taken.Rejected == 0 || taken.Spans+taken.Rejected != 1000 {
		t.Errorf("taken %d, rejected %d (%s)", taken.Spans, taken.Rejected, taken.Reason)
	}
}

// TestImportWhatIsExported: a file of one store is the same trace in another.
func TestImportWhatIsExported(t *testing.T) {
	from, to := newStore(t, 0), newStore(t, 0)
	id := request{path: "/ä?x=1", try: spanOf(3), status: 500}.add(t, from)
	from.TakeSpans(sentBy("backend", backendSpan(id, spanOf(4), spanOf(3), "work", 2, 3, 5)))
	data, ok := from.OTLP(hexID(id))
	if !ok {
		t.Fatal("nothing to export")
	}
	file, err := MarshalJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(file) || !strings.Contains(string(file), `"traceId":"`+hexID(id)+`"`) || !strings.Contains(string(file), `"kind":2`) {
		t.Errorf("file %s", file)
	}
	taken, err := to.Import(file)
	if err != nil || taken.Spans != 7 || taken.Rejected != 0 {
		t.Fatalf("got %+v, %v", taken, err)
	}
	want, _ := from.Get(hexID(id))
	got, _ := to.Get(hexID(id))
	if diff := cmp.Diff(want.Spans, got.Spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	again, _ := to.OTLP(hexID(id))
	second, err := MarshalJSON(again)
	if err != nil {
		t.Fatal(err)
	}
	third := newStore(t, 0)
	if _, err := third.Import(append(append(second, '\n'), second...)); err != nil {
		t.Errorf("two documents: %v", err)
	}
}

func TestImportFaults(t *testing.T) {
	s := newStore(t, 0)
	for _, file := range []string{"", "{", "{}", `{"resourceSpans": 7}`, "hello", `{"resourceSpans":[]} x`, strings.Repeat(`{"resourceSpans":[`, 300)} {
		if taken, err := s.Import([]byte(file)); err == nil || !strings.HasPrefix(err.Error(), "import: ") {
			t.Errorf("%.20q: %+v, %v", file, taken, err)
		}
	}
}

// FuzzImport: whatever a file holds, it is imported or refused, and what was stored can be shown.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"x"}}]},"scopeSpans":[{"spans":[` +
		`{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"a","startTimeUnixNano":"1","endTimeUnixNano":"2",` +
		`"attributes":[{"key":"k","value":{"arrayValue":{"values":[{"intValue":"1"}]}}}],"links":[{"traceId":"00","spanId":"00"}]}]}]}]}`))
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"5b8efff798038103d269b633813fc60c","body":{"kvlistValue":{"values":[{"key":"a"}]}}}]}]}]}`))
	request := &collectortrace.ExportTraceServiceRequest{ResourceSpans: sentBy("backend", backendSpan(traceOf(1), spanOf(1), spanOf(2), "x", 2, 3, 1))}
	binary, _ := proto.Marshal(request)
	f.Add(binary)
	f.Fuzz(func(t *testing.T, file []byte) {
		s := newStore(t, minLimit)
		if _, err := s.Import(file); err != nil {
			return
		}
		for _, row := range s.List(nil, "", 100).Traces {
			trace, ok := s.Get(row.ID)
			if !ok {
				t.Fatalf("%s is in the list alone", row.ID)
			}
			if _, err := json.Marshal(trace); err != nil {
				t.Errorf("show %s: %v", row.ID, err)
			}
			if data, ok := s.OTLP(row.ID); ok {
				if _, err := MarshalJSON(data); err != nil {
					t.Errorf("export %s: %v", row.ID, err)
				}
			}
		}
		s.Map()
		s.Completions()
	})
}

// FuzzNote: whatever stands in a file, it is a note or an error.
func FuzzNote(f *testing.F) {
	f.Add(appendNote(nil, &Note{Sampling: "rate", TraceIn: [][2]string{{"a", "b"}}, Tries: []Attempt{{IP: "::1", Port: 1}}}))
	f.Add([]byte{noteVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseNote(data)
		if err != nil {
			return
		}
		again, err := parseNote(appendNote(nil, &n))
		if diff := cmp.Diff(n, again); err != nil || diff != "" {
			t.Errorf("%v (-first +again):\n%s", err, diff)
		}
	})
}
