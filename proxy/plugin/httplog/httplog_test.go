package httplog

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/internal/gateway"
	"sidekong/internal/upstream"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/function"
)

const wait = 10 * time.Second

// logs is a log of a test that several goroutines write.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

type env struct {
	*gateway.Gateway
	receiver *upstream.Upstream
	senders  *Senders
	log      *logs
}

// start runs a gateway whose http-log posts to a receiver; RECEIVER stands for its address in the configuration.
func start(t *testing.T, config string, receives upstream.Behaviour) *env {
	t.Helper()
	e := &env{receiver: upstream.Start(t, receives), log: &logs{}}
	e.senders = NewSenders(slog.New(slog.NewTextHandler(e.log, nil)), nil)
	e.Gateway = gateway.Start(t, gateway.Setup{
		Config:  e.config(config),
		Plugins: []*plugin.Definition{Define(e.senders, function.New(function.Options{}))},
	})
	t.Cleanup(func() { e.close(t, wait) })
	return e
}

func (e *env) config(config string) string {
	return gateway.Service + "plugins:\n- name: http-log\n  config: {" + strings.ReplaceAll(config, "RECEIVER", e.receiver.Address()) + "}\n"
}

func (e *env) close(t *testing.T, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	e.senders.Close(ctx)
}

func (e *env) posts(t *testing.T, n int) []upstream.Request {
	t.Helper()
	all, err := e.receiver.Wait(n, wait)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSingle: without a batch size, a post is one object.
func TestSingle(t *testing.T) {
	e := start(t, `http_endpoint: "http://u:p%40@RECEIVER/in?x=1", headers: {X-Key: k}`, nil)
	e.Get("/a?b=1")
	e.Get("/c")
	all := e.posts(t, 2)
	for i, target := range []string{"/a?b=1", "/c"} {
		post := all[i]
		if post.Method != "POST" || post.Target != "/in?x=1" || post.Header.Get("Content-Type") != "application/json" ||
			post.Header.Get("X-Key") != "k" || post.Header.Get("Authorization") != "Basic dTpwQA==" {
			t.Errorf("post %s", post.Head)
		}
		var record struct{ Request struct{ URI string } }
		if err := json.Unmarshal([]byte(post.Body), &record); err != nil || record.Request.URI != target {
			t.Errorf("%v in %s", err, post.Body)
		}
	}
}

// TestCustomFields: what expressions give is in the record; one that fails leaves its field out.
func TestCustomFields(t *testing.T) {
	e := start(t, `http_endpoint: "http://RECEIVER/", custom_fields_by_lua: {
      "app.tier": 'return {name = "gold"}', path: return kong.request.get_path(), latencies: return nil, faulty: error("no")}`, nil)
	e.Get("/a")
	var record map[string]any
	if err := json.Unmarshal([]byte(e.posts(t, 1)[0].Body), &record); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, name := range []string{"app", "path", "latencies", "faulty", "client_ip"} {
		got[name] = record[name]
	}
	want := map[string]any{
		"app": map[string]any{"tier": map[string]any{"name": "gold"}}, "path": "/a", "latencies": nil, "faulty": nil, "client_ip": "127.0.0.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestBatches: with a batch size, a post is a list; method and type are as configured; the deprecated names count.
func TestBatches(t *testing.T) {
	for _, queue := range []string{"queue: {max_batch_size: 3, max_coalescing_delay: 60}", "queue_size: 3, flush_timeout: 60"} {
		e := start(t, `http_endpoint: "http://RECEIVER/", method: PUT, content_type: "application/json; charset=utf-8", `+queue, nil)
		for range 4 {
			e.Get("/")
		}
		post := e.posts(t, 1)[0]
		var records []map[string]any
		if err := json.Unmarshal([]byte(post.Body), &records); err != nil || len(records) != 3 {
			t.Errorf("%s: %d records, %v", queue, len(records), err)
		}
		if post.Method != "PUT" || post.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("post %s", post.Head)
		}
		// What is left is delivered at the end.
		e.close(t, wait)
		rest := e.posts(t, 2)[1]
		if err := json.Unmarshal([]byte(rest.Body), &records); err != nil || len(records) != 1 {
			t.Errorf("%s: %d records at the end, %v", queue, len(records), err)
		}
	}
}

// TestRetry: a post that fails is made again, whatever the failure, and nothing is lost.
func TestRetry(t *testing.T) {
	for _, status := range []int{500, 400, 302} {
		e := start(t, `http_endpoint: "http://RECEIVER/"`, upstream.Sequence(
			upstream.Status(status, "secret answer", "Location: /elsewhere"), upstream.Answer(""),
		))
		e.Get("/")
		all := e.posts(t, 2)
		if all[0].Body != all[1].Body || all[1].Target != "/" {
			t.Errorf("%d: %q, then %s %q", status, all[0].Body, all[1].Target, all[1].Body)
		}
		e.close(t, wait)
		if strings.Contains(e.log.String(), "secret") {
			t.Errorf("%d: log %s", status, e.log)
		}
	}
}

// TestGivesUp: what cannot be delivered is counted and told, without what is secret in the URL.
func TestGivesUp(t *testing.T) {
	e := start(t, `http_endpoint: "http://user:hidden@RECEIVER/?hidden=1", queue: {max_retry_time: 0}`, nil)
	e.receiver.Stop()
	for range 3 {
		e.Get("/")
	}
	for end := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		s := e.senders.Stats()
		if len(s) == 1 && s[0].Dropped.Total() == 3 && s[0].Created == 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", s)
		}
	}
	e.close(t, wait)
	if text := e.log.String(); !strings.Contains(text, "records lost") || strings.Contains(text, "hidden") || strings.Contains(text, "user:") {
		t.Errorf("log %s", text)
	}
}

// TestHangs: a receiver that does not answer delays no request and Close no longer than it may.
func TestHangs(t *testing.T) {
	hung := make(chan struct{})
	defer close(hung)
	e := start(t, `http_endpoint: "http://RECEIVER/", timeout: 60000`, func(net.Conn, *upstream.Request) bool {
		<-hung
		return false
	})
	for range 5 {
		if got := e.Get("/"); got.Status != 200 {
			t.Errorf("got %d", got.Status)
		}
	}
	begun := time.Now()
	e.close(t, 50*time.Millisecond)
	if took := time.Since(begun); took > wait/2 {
		t.Errorf("Close took %v", took)
	}
	if !strings.Contains(e.log.String(), "not delivered") {
		t.Errorf("log %s", e.log)
	}
}

// TestShared: instances with the same settings share a queue, also over a reload; one that is not used any more
// delivers what it holds.
func TestShared(t *testing.T) {
	e := start(t, `http_endpoint: "http://RECEIVER/", queue: {max_batch_size: 100, max_coalescing_delay: 60}`, nil)
	e.Get("/1")
	e.Apply(e.config(`http_endpoint: "http://RECEIVER/", queue: {max_batch_size: 100, max_coalescing_delay: 60}`) + "  instance_name: again\n")
	e.Get("/2")
	if n := len(e.senders.Stats()); n != 1 {
		t.Errorf("%d queues", n)
	}
	e.Apply(gateway.Service)
	var records []map[string]any
	post := e.posts(t, 1)[0]
	if err := json.Unmarshal([]byte(post.Body), &records); err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// TestVerifies: a server whose certificate is not signed by who is trusted gets nothing.
func TestVerifies(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	for _, c := range []struct {
		roots *x509.CertPool
		want  bool
	}{{x509.NewCertPool(), false}, {trusted, true}} {
		client, err := newClient(&config{HTTPEndpoint: server.URL, Method: "POST", Timeout: 10_000, Keepalive: 1000}, c.roots)
		if err != nil {
			t.Fatal(err)
		}
		frames, _ := entry(`{"a":1}`).AppendFrames(nil)
		if _, err := client.Send(t.Context(), frames, 1); (err == nil) != c.want {
			t.Errorf("trusted %t: %v", c.want, err)
		}
		client.close()
	}
	if body := <-got; body != `[{"a":1}]` {
		t.Errorf("got %s", body)
	}
}

func FuzzEntries(f *testing.F) {
	framed, _ := entry(`{"a":1}`).AppendFrames(nil)
	framed, _ = entry(strings.Repeat("x", 300)).AppendFrames(framed)
	f.Add(framed)
	f.Add([]byte{entryTag, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, frames []byte) {
		size := 0
		for _, record := range entries(frames) {
			size += len(record)
		}
		if size > len(frames) {
			t.Errorf("%d bytes of %d", size, len(frames))
		}
	})
}
