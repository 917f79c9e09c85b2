package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sidekong/internal/collector"
	"sidekong/internal/upstream"
)

// oneOrMore is a header's values; in JSON a single value stands for itself.
type oneOrMore []string

func (v *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*v = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(v))
}

// propagationVector is a line of package propagation's vectors: a request that was sent through Kong.
type propagationVector struct {
	ID               string
	Kong             []string
	Instrumentations string
	GlobalRate       float64 `json:"global_sampling_rate"`
	Config           map[string]any
	Headers, Out     map[string]oneOrMore
	Exported         *struct {
		Sampled      bool
		TraceID      string `json:"trace_id"`
		RootParentID string `json:"root_parent_id"`
	}
}

// readPropagation gives the vectors of Kong 3.9, with what Sidekong does better put in its place.
func readPropagation(t *testing.T) []propagationVector {
	t.Helper()
	read := func(name string) (all []propagationVector) {
		data, err := os.ReadFile("../propagation/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var v propagationVector
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		return all
	}
	mended := map[string]propagationVector{}
	for _, fix := range read("mended.jsonl") {
		mended[fix.ID] = fix
	}
	vectors := slices.DeleteFunc(read("vectors.jsonl"), func(v propagationVector) bool {
		return !slices.Contains(v.Kong, "3.9.3") // its configuration is refused, as by Kong 3.9
	})
	for i := range vectors {
		v, fix := &vectors[i], mended[vectors[i].ID]
		if fix.Out != nil {
			v.Out = fix.Out
		}
		if fix.Exported != nil {
			v.Exported = fix.Exported
		}
	}
	return vectors
}

// related reports whether a header is about tracing.
var related = regexp.MustCompile(`^(traceparent|tracestate|baggage|b3|x-b3-.*|uber-trace-id|uberctx-.*|ot-.*|x-datadog-.*|x-amzn-trace-id|x-cloud-trace-context|x-instana-.*)$`)

// ids are what the placeholders of a vector stand for: exact values where the request was exported, else patterns.
func ids(spans map[string]collector.Span) map[string]string {
	out := map[string]string{
		"<TRACE>": `[0-9a-f]{32}`, "<TRACE_LO64>": `[0-9a-f]{16}`, "<TRACE_LO64_DEC>": `\d+`, "<TRACE_HI32>": `[0-9a-f]{8}`,
		"<TRACE_LO96>": `[0-9a-f]{24}`, "<ROOT>": `[0-9a-f]{16}`, "<ROOT_DEC>": `\d+`, "<BAL>": `[0-9a-f]{16}`, "<BAL_DEC>": `\d+`,
	}
	decimal := func(id []byte) string { return strconv.FormatUint(binary.BigEndian.Uint64(id), 10) }
	if root, ok := spans["kong"]; ok {
		trace := hexID(root.TraceId)
		out["<TRACE>"], out["<TRACE_LO64>"], out["<TRACE_LO64_DEC>"] = trace, trace[16:], decimal(root.TraceId[8:])
		out["<TRACE_HI32>"], out["<TRACE_LO96>"] = trace[:8], trace[8:]
		out["<ROOT>"], out["<ROOT_DEC>"] = hexID(root.SpanId), decimal(root.SpanId)
	}
	if balancer, ok := spans["kong.balancer"]; ok {
		out["<BAL>"], out["<BAL_DEC>"] = hexID(balancer.SpanId), decimal(balancer.SpanId)
	}
	return out
}

// TestPropagationVectors sends every recorded request through the gateway: what arrives upstream and what is exported
// are as package propagation says, with the ids of the exported spans.
func TestPropagationVectors(t *testing.T) {
	type key struct {
		instrumentations string
		rate             float64
	}
	groups := map[key][]propagationVector{}
	total := 0
	for _, v := range readPropagation(t) {
		k := key{v.Instrumentations, v.GlobalRate}
		groups[k] = append(groups[k], v)
		total++
	}
	if total < 380 {
		t.Errorf("%d vectors", total)
	}
	for k, vectors := range groups {
		t.Run(fmt.Sprint(k.instrumentations, k.rate), func(t *testing.T) {
			rate := k.rate
			if rate == 0 {
				rate = -1
			}
			up := upstream.Start(t, nil)
			e := start(t, setup{instrumentations: k.instrumentations, rate: rate})
			requestIDs := make([]string, len(vectors))
			for i, v := range vectors {
				requestIDs[i] = v.send(t, e, up)
			}
			requests := map[string]upstream.Request{}
			for _, r := range up.Requests() {
				requests[r.Header.Get("X-Kong-Request-Id")] = r
			}
			exported := map[string]map[string]collector.Span{} // by trace id and root, then name
			all := e.spans()
			byRoot := map[string]map[string]collector.Span{}
			for _, span := range all {
				if span.Name == "kong" {
					set := map[string]collector.Span{"kong": span}
					exported[span.Attribute("kong.request.id").(string)] = set
					byRoot[hexID(span.SpanId)] = set
				}
			}
			for _, span := range all {
				if span.Name == "kong.balancer" {
					byRoot[hexID(span.ParentSpanId)]["kong.balancer"] = span
				}
			}
			for i, v := range vectors {
				v.check(t, requests[requestIDs[i]], exported[requestIDs[i]])
			}
		})
	}
}

// send sends the vector's request with its configuration in force and gives the request's id.
func (v *propagationVector) send(t *testing.T, e *env, up *upstream.Upstream) string {
	t.Helper()
	config := map[string]any{"traces_endpoint": "COLLECTOR"}
	maps.Copy(config, v.Config)
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	e.apply("services:\n- {url: '" + up.URL() + "', routes: [{paths: [/]}]}\nplugins:\n- {name: opentelemetry, config: " + string(text) + "}\n")
	head := "GET / HTTP/1.1\r\nHost: a.test\r\n"
	for name, values := range v.Headers {
		for _, value := range values {
			head += name + ": " + value + "\r\n"
		}
	}
	conn := e.dial()
	defer conn.Close()
	_, _ = io.WriteString(conn, head+"\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", v.ID, err)
	}
	if res.StatusCode != 200 {
		t.Errorf("%s: status %d", v.ID, res.StatusCode)
	}
	return res.Header.Get("X-Kong-Request-Id")
}

func (v *propagationVector) check(t *testing.T, r upstream.Request, spans map[string]collector.Span) {
	t.Helper()
	ids := ids(spans)
	got := map[string][]string{}
	for name, values := range r.Header {
		if name := strings.ToLower(name); related.MatchString(name) {
			got[name] = values
		}
	}
	for name, values := range v.Out {
		pattern := regexp.QuoteMeta(strings.Join(values, "\n"))
		for placeholder, id := range ids {
			pattern = strings.ReplaceAll(pattern, placeholder, id)
		}
		if sent := strings.Join(got[name], "\n"); !regexp.MustCompile("^" + pattern + "$").MatchString(sent) {
			t.Errorf("%s: %s: %q, want %q", v.ID, name, sent, pattern)
		}
		delete(got, name)
	}
	for name, values := range got {
		t.Errorf("%s: %s: %q went upstream", v.ID, name, values)
	}
	root, sampled := spans["kong"]
	if sampled != v.Exported.Sampled {
		t.Errorf("%s: exported %v, want %v", v.ID, sampled, v.Exported.Sampled)
	}
	if !sampled {
		return
	}
	if want := strings.ReplaceAll(v.Exported.TraceID, "<TRACE>", ids["<TRACE>"]); hexID(root.TraceId) != want {
		t.Errorf("%s: trace id %x, want %s", v.ID, root.TraceId, want)
	}
	if hexID(root.ParentSpanId) != v.Exported.RootParentID {
		t.Errorf("%s: root's parent %x, want %q", v.ID, root.ParentSpanId, v.Exported.RootParentID)
	}
}
