package function

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	lua "github.com/yuin/gopher-lua"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// vector is one recorded run of Kong's PDK.
type vector struct {
	ID       string `json:"id"`
	Function string `json:"function"`
	Phase    string `json:"phase"`
	Script   string `json:"script"`
	Scripts  []struct {
		Phase  string `json:"phase"`
		Script string `json:"script"`
		Plugin string `json:"plugin"`
	} `json:"scripts"`
	Repeat  int `json:"repeat"`
	Request struct {
		Raw raw `json:"raw"`
	} `json:"request"`
	Upstream *reply         `json:"upstream"`
	Settings settings       `json:"settings"`
	Result   map[string]any `json:"result"`
	Effects  map[string]any `json:"effects"`
}

// vectorsFile names another file of vectors than ours.
const vectorsFile = "SIDEKONG_PDK_VECTORS"

func readVectors(t *testing.T) []vector {
	t.Helper()
	path := "testdata/pdk.jsonl"
	if other := os.Getenv(vectorsFile); other != "" {
		path = other
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []vector
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var v vector
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&v); err != nil {
			t.Errorf("vector %d: %v", len(all)+1, err)
			continue
		}
		all = append(all, v)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		t.Fatalf("got %d vectors, error %v", len(all), err)
	}
	return all
}

// differences are the vectors that a table of docs/parity.md excuses: those in the first column below a heading.
func differences(t *testing.T, heading string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../../docs/parity.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n#### "+heading+"\n")
	if !found {
		t.Fatalf("docs/parity.md has no heading %q", heading)
	}
	section, _, _ := strings.Cut(after, "\n#")
	known := map[string]bool{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) > 3 && strings.Contains(cells[1], "-") && !strings.HasPrefix(strings.TrimSpace(cells[1]), "-") {
			for id := range strings.SplitSeq(cells[1], ",") {
				known[strings.TrimSpace(id)] = true
			}
		}
	}
	return known
}

// The headings of the tables.
const (
	scriptsDiffer  = "Where scripts see something other than in Kong"
	gatewayDiffers = "Where a whole gateway does something other than Kong"
)

// Every vector gives what Kong gave, save those that the table of differences names: of these none may pass, lest the
// table outlives its reasons.
func TestVectors(t *testing.T) {
	known := differences(t, scriptsDiffer)
	own := os.Getenv(vectorsFile) == ""
	passed, failed := 0, 0
	for _, v := range readVectors(t) {
		diff := runVector(t, &v)
		switch {
		case diff == "":
			passed++
			if known[v.ID] && own {
				t.Errorf("%s: got what Kong gives, but it stands in the table of differences", v.ID)
			}
		case known[v.ID]:
			failed++
		default:
			failed++
			t.Errorf("%s: %s\n(-Kong +ours)\n%s", v.ID, v.Script, diff)
		}
		delete(known, v.ID)
	}
	if own {
		for id := range known {
			t.Errorf("%s: the table of differences names a vector that doesn't exist", id)
		}
	}
	t.Logf("%d of %d vectors pass", passed, passed+failed)
}

func runVector(t *testing.T, v *vector) string {
	t.Helper()
	var calls []any
	options := Options{
		UntrustedLua: Mode(v.Settings.UntrustedLua), SandboxRequires: v.Settings.Requires,
		SandboxEnvironment: v.Settings.Environment, NodeID: uuid.NewString(), Trusted: v.Settings.trusted,
		BodyBuffer: 16 << 10,
	}
	options.observe = func(_ string, p phase, values []lua.LValue, err error) {
		calls = append(calls, record(p, values, err))
	}
	steps, err := vectorSteps(v, options)
	got := map[string]any{}
	var out outcome
	if err != nil {
		inner := err
		for errors.Unwrap(inner) != nil {
			inner = errors.Unwrap(inner)
		}
		got["load_error"] = inner.Error()
	} else {
		up := v.Upstream
		if up == nil {
			up = &reply{Status: 200, Headers: [][2]string{{"Content-Type", "text/plain"}}, Body: "ok"}
		}
		var tracer *tracing.Tracer
		if len(v.Settings.Instruments) > 0 {
			set, err := tracing.ParseInstrumentations(v.Settings.Instruments)
			if err != nil {
				t.Fatal(err)
			}
			tracer = tracing.NewTracer(set, 1)
		}
		for range max(v.Repeat, 1) {
			d, ok := newDriver(&v.Settings, []byte(v.Request.Raw))
			out = d.serve(&v.Settings, tracer, steps, up, ok)
		}
		got = result(v.Result, calls)
	}
	want := maps.Clone(v.Result)
	diff := cmp.Diff(want, got)
	if v.Effects != nil && got["load_error"] == nil {
		diff += compareEffects(v.Effects, out)
	}
	return diff
}

// result shapes the recorded calls as the vector shows them.
func result(want map[string]any, calls []any) map[string]any {
	if _, ok := want["calls"]; ok {
		return map[string]any{"calls": append([]any{}, calls...)}
	}
	if len(calls) == 0 {
		return map[string]any{"no_return": true}
	}
	one := maps.Clone(calls[0].(map[string]any))
	delete(one, "phase")
	return one
}

func vectorSteps(v *vector, options Options) ([]step, error) {
	chunks := v.config()
	var steps []step
	for _, definition := range Define(options) {
		if chunks[definition.Name] == nil {
			continue
		}
		config := entity.Object{}
		for phase, list := range chunks[definition.Name] {
			config[phase] = list
		}
		made, err := definition.New(&entity.Plugin{Name: definition.Name, Config: config}, plugin.Env{})
		if err != nil {
			return nil, err
		}
		one := step{name: definition.Name}
		one.instance = unwrap(made)
		steps = append(steps, one)
	}
	return steps, nil
}

func compareEffects(want map[string]any, out outcome) string {
	diff := ""
	if client, ok := want["client_response"]; ok {
		diff += compareMessage(client, out.Client)
	}
	if upstream, ok := want["upstream_request"]; ok {
		diff += compareMessage(upstream, out.Upstream)
	}
	if spans, ok := want["spans"]; ok {
		if list, ok := spans.([]any); ok {
			var all []map[string]any
			for _, one := range list {
				span := maps.Clone(one.(map[string]any))
				if attributes, ok := span["attributes"].([]any); ok && len(attributes) == 0 {
					delete(span, "attributes")
				}
				all = append(all, span)
			}
			spans = sortSpans(all)
		}
		diff += cmp.Diff(spans, out.Spans)
	}
	return diff
}

// compareMessage compares a request or an answer on the wire.
func compareMessage(want, got any) string {
	expected, ok := want.(map[string]any)
	if !ok || got == nil {
		return cmp.Diff(want, got)
	}
	expected, actual := maps.Clone(expected), maps.Clone(got.(map[string]any))
	for _, flag := range []string{"length_mismatch_on_wire", "truncated_on_wire"} {
		delete(expected, flag)
	}
	if coded, ok := expected["body"].(map[string]any); ok {
		if text, err := base64.StdEncoding.DecodeString(coded["b64"].(string)); err == nil {
			expected["body"] = bytesValue(text)
		}
	}
	skipLength := false
	if expected["builtin_page"] != nil {
		delete(expected, "builtin_page")
		delete(expected, "body")
		delete(actual, "body")
		skipLength = true
	}
	if expected["body_key_order"] != nil {
		delete(expected, "body_key_order")
		expected["body"], actual["body"] = parsed(expected["body"]), parsed(actual["body"])
	}
	expected["headers"], actual["headers"] = comparable(expected["headers"], skipLength), comparable(actual["headers"], skipLength)
	return cmp.Diff(expected, actual)
}

func parsed(body any) any {
	var v any
	if s, ok := body.(string); ok && json.Unmarshal([]byte(s), &v) == nil {
		return v
	}
	return body
}

// comparable lists headers by their names in lower case.
func comparable(list any, skipLength bool) any {
	var all [][]any
	for _, one := range list.([]any) {
		pair := slices.Clone(one.([]any))
		pair[0] = strings.ToLower(pair[0].(string))
		if !skipLength || pair[0] != "content-length" {
			all = append(all, pair)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i][0].(string) < all[j][0].(string) })
	return all
}
