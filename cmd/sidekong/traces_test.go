package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sidekong/admin/manager"
	"sidekong/admin/traces"
)

// pageWith serves a page over a store.
func pageWith(t *testing.T, store *traces.Store) string {
	t.Helper()
	t.Cleanup(store.Close)
	server := httptest.NewServer(manager.Handler(manager.Options{
		Files: fstest.MapFS{}, Store: store, Logger: slog.New(slog.DiscardHandler), Node: func() manager.Node { return manager.Node{} },
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return server.URL
}

// oneSpan is a trace of one span.
func oneSpan(id byte, name string) []*tracepb.ResourceSpans {
	return []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
		TraceId: append(make([]byte, 15), id), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, id}, Name: name, StartTimeUnixNano: 1e18, EndTimeUnixNano: 1e18 + 2e6,
		Attributes: []*commonpb.KeyValue{{Key: "k", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "v\x1b[2J"}}}},
	}}}}}}
}

// TestTraces: the newest traces as trees, the newest last, control characters out.
func TestTraces(t *testing.T) {
	store := traces.New(traces.Options{})
	url := pageWith(t, store)
	for i, name := range []string{"first", "sec\x1b]0;ond", "third"} {
		store.TakeSpans(oneSpan(byte(i+1), name))
	}
	var out, log bytes.Buffer
	sys := system{args: []string{"traces", "--address", url, "--limit", "2", "--attributes", "k~v"}, stdout: &out, stderr: &log}
	if code := run(t.Context(), sys); code != exitOK {
		t.Fatalf("exit code %d: %s", code, log.String())
	}
	at := time.Unix(1e9, 0).Format("15:04:05.000")
	want := at + "  trace 00000000000000000000000000000002  1 spans\nsec·]0;ond  2ms\n  k = v·[2J\n\n" +
		at + "  trace 00000000000000000000000000000003  1 spans\nthird  2ms\n  k = v·[2J\n\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestTracesFaults(t *testing.T) {
	url := pageWith(t, traces.New(traces.Options{}))
	cases := []struct {
		args []string
		code int
		text string
	}{
		{[]string{"--address", url, "status>x"}, exitUsage, "read filter at 7"},
		{[]string{"--address", "nonsense"}, exitUsage, "not a URL"},
		{[]string{"--address", url, "--limit", "0"}, exitFailure, "limit"},
		{[]string{"--set", "admin_gui_listen=off"}, exitConfig, "admin_gui_listen"},
	}
	for _, c := range cases {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			var out, log bytes.Buffer
			code := run(t.Context(), system{args: append([]string{"traces"}, c.args...), stdout: &out, stderr: &log})
			if code != c.code || !strings.Contains(log.String(), c.text) {
				t.Errorf("exit code %d, %q; want %d, %q", code, log.String(), c.code, c.text)
			}
		})
	}
}

// TestTracesFollow: each trace once, as a line of OTLP JSON, until the end is asked for.
func TestTracesFollow(t *testing.T) {
	store := traces.New(traces.Options{})
	url := pageWith(t, store)
	store.TakeSpans(oneSpan(1, "before"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, log output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, system{args: []string{"traces", "--address", url, "--follow", "--json"}, stdout: &out, stderr: &log})
	}()
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(out.String(), "before") {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is printed: %s", log.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
	store.TakeSpans(oneSpan(2, "after"))
	for strings.Count(out.String(), "\n") < 2 {
		if time.Now().After(deadline) {
			t.Fatalf("what came later is not printed: %q, %s", out.String(), log.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, log.String())
	}
	var names []string
	for line := range strings.Lines(out.String()) {
		var data struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []struct{ Name string } }
			}
		}
		if err := json.Unmarshal([]byte(line), &data); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		names = append(names, data.ResourceSpans[0].ScopeSpans[0].Spans[0].Name)
	}
	if diff := cmp.Diff([]string{"before", "after"}, names); diff != "" {
		t.Errorf("traces (-want +got):\n%s", diff)
	}
}

func TestCutLine(t *testing.T) {
	cases := []struct {
		line  string
		width int
		want  string
	}{
		{"abcdef\n", 0, "abcdef\n"},
		{"abcdef\n", 6, "abcdef\n"},
		{"abcdef\n", 5, "abcd…\n"},
		{"äöüäöü\n", 3, "äö…\n"},
		{"\x1b[1mabc\x1b[0m\n", 3, "\x1b[1mabc\x1b[0m\n"},
		{"\x1b[1mabcd\x1b[0m\n", 3, "\x1b[1mab…\x1b[0m\n"},
	}
	for _, c := range cases {
		if got := cutLine(c.line, c.width); got != c.want {
			t.Errorf("cutLine(%q, %d) = %q, want %q", c.line, c.width, got, c.want)
		}
	}
}
