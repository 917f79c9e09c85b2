package propagation

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/tracing"
)

// vector is one line of testdata/vectors.jsonl: a request that was sent through Kong, and what came out.
type vector struct {
	ID               string       `json:"id"`
	Class            string       `json:"class"`
	Kong             []string     `json:"kong"` // versions that give this result
	Instrumentations string       `json:"instrumentations"`
	GlobalRate       float64      `json:"global_sampling_rate"`
	Config           pluginConfig `json:"config"`
	Headers          headers      `json:"headers"`
	Out              headers      `json:"out"`
	Exported         exported     `json:"exported"`
	ExtractedFrom    *string      `json:"extracted_from"`
	Tags             []string     `json:"tags"`
	Status           int          `json:"status"`
}

type pluginConfig struct {
	HeaderType   json.RawMessage `json:"header_type"`
	SamplingRate *float64        `json:"sampling_rate"`
	Propagation  struct {
		Extract       []string `json:"extract"`
		Inject        []string `json:"inject"`
		Clear         []string `json:"clear"`
		DefaultFormat string   `json:"default_format"`
	} `json:"propagation"`
}

type exported struct {
	Sampled      bool   `json:"sampled"`
	TraceID      string `json:"trace_id"`
	RootParentID string `json:"root_parent_id"`
}

// headers has lower-case names; in JSON a single value stands for itself.
type headers map[string][]string

func (h *headers) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil || raw == nil {
		return err
	}
	*h = headers{}
	for name, data := range raw {
		var one string
		if json.Unmarshal(data, &one) == nil {
			(*h)[name] = []string{one}
			continue
		}
		var many []string
		if err := json.Unmarshal(data, &many); err != nil {
			return err
		}
		(*h)[name] = many
	}
	return nil
}

func (h headers) canonical() http.Header {
	out := http.Header{}
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return out
}

func lowerCase(h http.Header) headers {
	out := headers{}
	for name, values := range h {
		out[strings.ToLower(name)] = values
	}
	return out
}

// The ids that the tests generate, which the vectors name by placeholders.
var (
	newTrace = mustTraceID("0af7651916cd43dd8448eb211c80319c")
	rootSpan = mustSpanID("b7ad6b7169203331")
	balancer = mustSpanID("00f067aa0ba902b7")
)

func mustTraceID(digits string) (id tracing.TraceID) {
	if n, err := hex.Decode(id[:], []byte(digits)); err != nil || n != len(id) {
		panic("bad trace id " + digits)
	}
	return id
}

func mustSpanID(digits string) (id tracing.SpanID) {
	if n, err := hex.Decode(id[:], []byte(digits)); err != nil || n != len(id) {
		panic("bad span id " + digits)
	}
	return id
}

func decimal(id []byte) string { return strconv.FormatUint(binary.BigEndian.Uint64(id), 10) }

var placeholders = strings.NewReplacer(
	"<TRACE>", newTrace.String(),
	"<TRACE_LO64>", newTrace.String()[16:],
	"<TRACE_LO64_DEC>", decimal(newTrace[8:]),
	"<TRACE_HI32>", newTrace.String()[:8],
	"<TRACE_LO96>", newTrace.String()[8:],
	"<ROOT>", rootSpan.String(),
	"<ROOT_DEC>", decimal(rootSpan[:]),
	"<BAL>", balancer.String(),
	"<BAL_DEC>", decimal(balancer[:]),
)

// outcome is what a request leads to.
type outcome struct {
	Out           headers
	Exported      exported
	ExtractedFrom string // "" for none
}

func (v *vector) want() outcome {
	want := outcome{Out: headers{}, Exported: v.Exported}
	for name, values := range v.Out {
		for _, value := range values {
			want.Out[name] = append(want.Out[name], placeholders.Replace(value))
		}
	}
	want.Exported.TraceID = placeholders.Replace(v.Exported.TraceID)
	if v.ExtractedFrom != nil {
		want.ExtractedFrom = *v.ExtractedFrom
	}
	return want
}

func (v *vector) propagator(t *testing.T) *Propagator {
	t.Helper()
	config := Config{
		Extract:          v.Config.Propagation.Extract,
		Inject:           v.Config.Propagation.Inject,
		Clear:            v.Config.Propagation.Clear,
		DefaultFormat:    v.Config.Propagation.DefaultFormat,
		HeaderType:       "preserve", // the plugin's default
		InstanaByDefault: !slices.Contains(v.Kong, "3.9.3"),
	}
	if v.Config.HeaderType != nil {
		config.HeaderType = ""
		if err := json.Unmarshal(v.Config.HeaderType, &config.HeaderType); err != nil {
			t.Fatal(err)
		}
	}
	p, err := New(config)
	if err != nil {
		t.Fatalf("New(%+v): %v", config, err)
	}
	return p
}

// run does with the vector's request what the opentelemetry plugin does.
func (v *vector) run(t *testing.T) outcome {
	t.Helper()
	p, h := v.propagator(t), v.Headers.canonical()
	extract := p.Extract
	if v.Instrumentations == "off" {
		extract = p.ExtractUnrecorded
	}
	in := extract(h)

	out := Outgoing{TraceID: in.TraceID, SpanID: rootSpan, ParentID: in.Parent()}
	if !out.TraceID.IsValid() {
		out.TraceID = newTrace
	}
	if v.Instrumentations == "all" {
		out.SpanID, out.ParentID = balancer, rootSpan
	}
	rate := v.GlobalRate
	if v.Config.SamplingRate != nil {
		rate = *v.Config.SamplingRate
	}
	var strategy tracing.Strategy
	out.Sampled = v.Instrumentations != "off" && strategy.Decide(in.Sampled, tracing.NewSampler(rate), out.TraceID)

	p.Clear(h)
	p.Inject(h, &in, out)

	got := outcome{Out: lowerCase(h), Exported: exported{Sampled: out.Sampled, TraceID: out.TraceID.String()}}
	if parent := in.Parent(); parent.IsValid() {
		got.Exported.RootParentID = parent.String()
	}
	if got.ExtractedFrom = in.Format.String(); in.Format == B3Single {
		got.ExtractedFrom = B3.String()
	}
	return got
}

func readLines[T any](t testing.TB, name string) (lines []T) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		decoder := json.NewDecoder(bytes.NewReader(scanner.Bytes()))
		decoder.DisallowUnknownFields()
		var line T
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("%s: %v in %s", name, err, scanner.Bytes())
		}
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil || len(lines) == 0 {
		t.Fatalf("%s: %d lines, %v", name, len(lines), err)
	}
	return lines
}

// faulty reports whether the vector shows a fault of Kong's.
func (v *vector) faulty() bool {
	return slices.ContainsFunc(v.Tags, func(tag string) bool {
		return strings.HasPrefix(tag, "bug:") || strings.HasPrefix(tag, "w3c-violation:")
	})
}

// mended is one line of testdata/mended.jsonl: what Sidekong does where a vector shows a fault of Kong's. Fields are
// given where they differ from the vector.
type mended struct {
	ID            string    `json:"id"`
	Ours          string    `json:"ours"`
	Out           headers   `json:"out"`
	Exported      *exported `json:"exported"`
	ExtractedFrom *string   `json:"extracted_from"`
}

// notOurs are vectors of Kong 3.10 that are not about Instana: 3.9 is followed where they differ.
var notOurs = []string{"aws-extra-equals/a@3.10-dev"}

// TestKongVectors runs every recorded request: those that show Kong right come out exactly as from Kong, those that
// show a fault as testdata/mended.jsonl says.
func TestKongVectors(t *testing.T) {
	fixes := map[string]mended{}
	for _, fix := range readLines[mended](t, "testdata/mended.jsonl") {
		fixes[fix.ID] = fix
	}
	for _, v := range readLines[vector](t, "testdata/vectors.jsonl") {
		if slices.Contains(notOurs, v.ID) {
			continue
		}
		fix, isMended := fixes[v.ID]
		delete(fixes, v.ID)
		if isMended != v.faulty() {
			t.Errorf("%s has tags %q; mended: %t", v.ID, v.Tags, isMended)
		}
		t.Run(v.ID, func(t *testing.T) {
			if isMended {
				if fix.Out != nil {
					v.Out = fix.Out
				}
				if fix.Exported != nil {
					v.Exported = *fix.Exported
				}
				if fix.ExtractedFrom != nil {
					v.ExtractedFrom = fix.ExtractedFrom
				}
				if fix.Ours == "" {
					t.Error("mended.jsonl does not say what is done")
				}
			}
			if diff := cmp.Diff(v.want(), v.run(t)); diff != "" {
				t.Errorf("%v: (-want +got)\n%s", v.Headers, diff)
			}
		})
	}
	for id := range fixes {
		t.Errorf("mended.jsonl names %s, which is no vector", id)
	}
}
