package propagation

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/tracing"
)

const (
	w3cTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	w3cSpan  = "00f067aa0ba902b8"
	w3cGood  = "00-" + w3cTrace + "-" + w3cSpan + "-01"
)

func mustNew(t testing.TB, config Config) *Propagator {
	t.Helper()
	p, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pass sends headers through a propagator, continuing the trace that comes in or starting newTrace, with balancer as
// the upstream's parent and rootSpan as its parent. A trace is recorded unless the caller says no.
func pass(p *Propagator, h http.Header) Context {
	in := p.Extract(h)
	out := Outgoing{TraceID: in.TraceID, SpanID: balancer, ParentID: rootSpan, Sampled: in.Sampled != tracing.Drop}
	if !out.TraceID.IsValid() {
		out.TraceID = newTrace
	}
	p.Clear(h)
	p.Inject(h, &in, out)
	return in
}

// The cases of W3C Trace Context level 2 for traceparent: sections "traceparent header" and "versioning".
func TestTraceparent(t *testing.T) {
	const newFlags = "01" // of a trace that is started here
	good := func(version, flags string) string { return version + "-" + w3cTrace + "-" + w3cSpan + "-" + flags }
	cases := []struct {
		name   string
		values []string
		want   string // flags of the outgoing header if the trace goes on, "" if it must not
	}{
		{"sampled", []string{w3cGood}, "01"},
		{"not sampled", []string{good("00", "00")}, "00"},
		{"random", []string{good("00", "02")}, "02"},
		{"sampled and random", []string{good("00", "03")}, "03"},
		{"undefined flags", []string{good("00", "fc")}, "00"},
		{"all flags", []string{good("00", "ff")}, "03"},
		{"spaces around", []string{" \t" + w3cGood + "\t "}, "01"},
		{"version 01", []string{good("01", "01")}, "01"},
		{"version fe", []string{good("fe", "01")}, "01"},
		{"later version, random", []string{good("cc", "03")}, "03"},
		{"later version with more", []string{good("cc", "01-more-of-it")}, "01"},
		{"later version ending in a dash", []string{good("cc", "01-")}, "01"},

		{"missing", nil, ""},
		{"empty", []string{""}, ""},
		{"twice", []string{w3cGood, w3cGood}, ""},
		{"two different", []string{w3cGood, good("00", "00")}, ""},
		{"two on one line", []string{w3cGood + "," + w3cGood}, ""},
		{"version ff", []string{good("ff", "01")}, ""},
		{"version FE", []string{good("FE", "01")}, ""},
		{"version of one digit", []string{good("0", "01")}, ""},
		{"version of three digits", []string{good("000", "01")}, ""},
		{"version not hexadecimal", []string{good("0.", "01")}, ""},
		{"version 00 with more", []string{good("00", "01-more")}, ""},
		{"version 00 ending in a dash", []string{good("00", "01-")}, ""},
		{"version 00 ending in a dot", []string{good("00", "01.")}, ""},
		{"later version without a dash", []string{good("cc", "01.more")}, ""},
		{"later version with longer flags", []string{good("cc", "010")}, ""},
		{"later version too short", []string{good("cc", "0")}, ""},
		{"trace id all zero", []string{"00-" + strings.Repeat("0", 32) + "-" + w3cSpan + "-01"}, ""},
		{"trace id in upper case", []string{"00-" + strings.ToUpper(w3cTrace) + "-" + w3cSpan + "-01"}, ""},
		{"trace id not hexadecimal", []string{"00-." + w3cTrace[1:] + "-" + w3cSpan + "-01"}, ""},
		{"trace id ends not hexadecimal", []string{"00-" + w3cTrace[1:] + "g-" + w3cSpan + "-01"}, ""},
		{"trace id too long", []string{"00-" + w3cTrace + "0-" + w3cSpan + "-01"}, ""},
		{"trace id too short", []string{"00-" + w3cTrace[1:] + "-" + w3cSpan + "-01"}, ""},
		{"trace id too short, span too long", []string{"00-" + w3cTrace[1:] + "-0" + w3cSpan + "-01"}, ""},
		{"span id all zero", []string{"00-" + w3cTrace + "-0000000000000000-01"}, ""},
		{"span id in upper case", []string{"00-" + w3cTrace + "-" + strings.ToUpper(w3cSpan) + "-01"}, ""},
		{"span id not hexadecimal", []string{"00-" + w3cTrace + "-:" + w3cSpan[1:] + "-01"}, ""},
		{"span id too long", []string{"00-" + w3cTrace + "-" + w3cSpan + "0-01"}, ""},
		{"span id too short", []string{"00-" + w3cTrace + "-" + w3cSpan[1:] + "-01"}, ""},
		{"flags not hexadecimal", []string{good("00", ".0")}, ""},
		{"flags in upper case", []string{good("00", "0F")}, ""},
		{"flags too long", []string{good("00", "001")}, ""},
		{"flags too short", []string{good("00", "1")}, ""},
		{"flags missing", []string{"00-" + w3cTrace + "-" + w3cSpan}, ""},
		{"no dashes", []string{strings.ReplaceAll(w3cGood, "-", "_")}, ""},
		{"space inside", []string{"00 -" + w3cTrace + "-" + w3cSpan + "-01"}, ""},
	}
	p := mustNew(t, Config{Extract: []string{"w3c"}, Inject: []string{"w3c"}})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			if c.values != nil {
				h[traceparentKey] = c.values
			}
			in := pass(p, h)
			trace, flags, parent := newTrace.String(), newFlags, ""
			if c.want != "" {
				trace, flags, parent = w3cTrace, c.want, w3cSpan
			}
			want := []string{"00-" + trace + "-" + balancer.String() + "-" + flags}
			if diff := cmp.Diff(want, h[traceparentKey]); diff != "" {
				t.Errorf("traceparent (-want +got)\n%s", diff)
			}
			if c.want != "" && in.SpanID.String() != parent || c.want == "" && in.SpanID.IsValid() {
				t.Errorf("parent is %v, want %s", in.SpanID, parent)
			}
		})
	}
}

// The cases of W3C Trace Context level 2 for tracestate: section "tracestate header".
func TestTraceState(t *testing.T) {
	members := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("k%d=v%d", i, i)
		}
		return strings.Join(list, ",")
	}
	var everyValueByte strings.Builder
	for b := byte(' '); b <= '~'; b++ {
		if b != ',' && b != '=' {
			everyValueByte.WriteByte(b)
		}
	}
	const everyKeyByte = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@"
	long := func(n int) string { return strings.Repeat("z", n) }

	cases := []struct {
		name  string
		lines []string
		want  []string // nil if it must not go on
	}{
		{"one member", []string{"rojo=1"}, []string{"rojo=1"}},
		{"in order", []string{"rojo=1,congo=2,a=3"}, []string{"rojo=1,congo=2,a=3"}},
		{"several headers", []string{"rojo=1,congo=2", "a=3"}, []string{"rojo=1,congo=2", "a=3"}},
		{"white space around members", []string{"rojo=1 \t , \t congo=2,\ta=3"}, []string{"rojo=1 \t , \t congo=2,\ta=3"}},
		{"white space around all", []string{"\t rojo=1 \t"}, []string{"\t rojo=1 \t"}},
		{"empty members", []string{",rojo=1,, \t,congo=2,"}, []string{",rojo=1,, \t,congo=2,"}},
		{"empty header before", []string{"", "rojo=1"}, []string{"rojo=1"}},
		{"empty header after", []string{"rojo=1", ""}, []string{"rojo=1"}},
		{"empty headers between", []string{"rojo=1", "", "", "a=2"}, []string{"rojo=1", "a=2"}},
		{"every byte a key may have", []string{everyKeyByte + "=1"}, []string{everyKeyByte + "=1"}},
		{"every byte a value may have", []string{"a=" + everyValueByte.String()}, []string{"a=" + everyValueByte.String()}},
		{"spaces before a value", []string{"a=  1"}, []string{"a=  1"}},
		{"key starts with a digit", []string{"1a=1"}, []string{"1a=1"}},
		{"tenant", []string{"fw529a3039@dt=1"}, []string{"fw529a3039@dt=1"}},
		{"nothing after the at sign", []string{"a@=1"}, []string{"a@=1"}},
		{"two at signs", []string{"a@b@c=1,d@@e=2"}, []string{"a@b@c=1,d@@e=2"}},
		{"tenant of 241, system of 14", []string{long(241) + "@" + long(14) + "=1"}, []string{long(241) + "@" + long(14) + "=1"}},
		{"tenant of 242", []string{long(242) + "@v=1"}, []string{long(242) + "@v=1"}},
		{"system of 15", []string{"t@" + long(15) + "=1"}, []string{"t@" + long(15) + "=1"}},
		{"key of 256", []string{"a=1", long(256) + "=1"}, []string{"a=1", long(256) + "=1"}},
		{"value of 256", []string{"a=" + long(256)}, []string{"a=" + long(256)}},
		{"32 members", []string{members(32)}, []string{members(32)}},
		{"32 members and empty ones", []string{members(32) + ",,"}, []string{members(32) + ",,"}},
		{"a key twice, same value", []string{"a=1,a=1"}, []string{"a=1,a=1"}},
		{"a key twice, other value", []string{"a=1", "a=2"}, []string{"a=1", "a=2"}},
		{"more than 512 characters", []string{"a=" + long(256) + ",b=" + long(256)}, []string{"a=" + long(256) + ",b=" + long(256)}},

		{"empty", []string{""}, nil},
		{"empty members only", []string{" , ", ""}, nil},
		{"no equals sign", []string{"rojo"}, nil},
		{"one bad member among good ones", []string{"a=1,b,c=2"}, nil},
		{"one bad header among good ones", []string{"a=1", "b", "c=2"}, nil},
		{"empty key", []string{"=1"}, nil},
		{"empty value", []string{"a=,b=3"}, nil},
		{"two equals signs", []string{"a=b=c"}, nil},
		{"space after a key", []string{"a =1"}, nil},
		{"upper-case key", []string{"A=1"}, nil},
		{"dot in a key", []string{"a.b=1"}, nil},
		{"key starts with an at sign", []string{"@a=1,b=2"}, nil},
		{"key starts with an underscore", []string{"_a=1"}, nil},
		{"key of 257", []string{"a=1", long(257) + "=1"}, nil},
		{"value of 257", []string{"a=" + long(257)}, nil},
		{"tab in a value", []string{"a=b\tc"}, nil},
		{"control character in a value", []string{"a=b\x7fc"}, nil},
		{"value not ASCII", []string{"a=é"}, nil},
		{"33 members", []string{members(33)}, nil},
		{"33 members on two lines", []string{members(32), "z=1"}, nil},
		{"separated by semicolons", []string{"a=1;b=2"}, nil},
	}
	p := mustNew(t, Config{Extract: []string{"w3c"}, Inject: []string{"w3c"}})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{traceparentKey: {w3cGood}, tracestateKey: c.lines}
			in := pass(p, h)
			if diff := cmp.Diff(c.want, h[tracestateKey]); diff != "" {
				t.Errorf("tracestate (-want +got)\n%s", diff)
			}
			if in.TraceID.String() != w3cTrace {
				t.Errorf("trace is %v: tracestate must not affect traceparent", in.TraceID)
			}
		})
	}
}

// A tracestate goes upstream only beside the traceparent that it came with, or that continues it.
func TestTraceStateFollowsTraceparent(t *testing.T) {
	const b3 = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"
	cases := []struct {
		name            string
		extract, inject string
		clear           []string
		traceparent     string
		b3              string
		want            bool
	}{
		{name: "continued", extract: "w3c", inject: "w3c", traceparent: w3cGood, want: true},
		{name: "continued, cleared", extract: "w3c", inject: "w3c", clear: []string{"TraceState"}, traceparent: w3cGood},
		{name: "restarted", extract: "w3c", inject: "w3c", traceparent: w3cGood + "x"},
		{name: "not extracted", extract: "jaeger", inject: "w3c", traceparent: w3cGood},
		{name: "another format's trace", extract: "b3", inject: "w3c", traceparent: w3cGood, b3: b3},
		{name: "no traceparent", extract: "w3c", inject: "jaeger"},
		{name: "traceparent passes through", extract: "b3", inject: "b3", traceparent: w3cGood, b3: b3, want: true},
		{name: "broken traceparent passes through", extract: "b3", inject: "b3", traceparent: "00-" + w3cGood, b3: b3},
		{name: "traceparent cleared", extract: "w3c", inject: "b3", clear: []string{"traceparent"}, traceparent: w3cGood},
		{name: "nothing injected", extract: "w3c", traceparent: "broken", want: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config := Config{Extract: []string{c.extract}, Clear: c.clear}
			if c.inject != "" {
				config.Inject = []string{c.inject}
			}
			h := http.Header{tracestateKey: {"rojo=1"}}
			if c.traceparent != "" {
				h[traceparentKey] = []string{c.traceparent}
			}
			if c.b3 != "" {
				h[b3Key] = []string{c.b3}
			}
			pass(mustNew(t, config), h)
			if _, got := h[tracestateKey]; got != c.want {
				t.Errorf("tracestate goes upstream: %t, want %t (%v)", got, c.want, h)
			}
		})
	}
}

// A random flag belongs to the caller's trace id alone.
func TestRandomFlagOfAnotherTrace(t *testing.T) {
	p := mustNew(t, Config{Extract: []string{"w3c"}, Inject: []string{"w3c"}})
	h := http.Header{traceparentKey: {"00-" + w3cTrace + "-" + w3cSpan + "-03"}, tracestateKey: {"a=1"}}
	in := p.Extract(h)
	p.Inject(h, &in, Outgoing{TraceID: newTrace, SpanID: balancer})
	want := http.Header{traceparentKey: {"00-" + newTrace.String() + "-" + balancer.String() + "-00"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
