package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"sidekong/internal/collector"
	"sidekong/internal/upstream"
	"sidekong/proxy"
)

// TestInterimReport: a request that lasts is told of while it does, once, below the root that comes at its end.
func TestInterimReport(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		answer  string
		status  any
	}{
		"no answer yet": {"GET /x?token=secret HTTP/1.1\r\nHost: a.test\r\n\r\n", "", nil},
		"events":        {"GET /x?token=secret HTTP/1.1\r\nHost: a.test\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", int64(200)},
		"websocket": {
			"GET /x?token=secret HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", int64(101),
		},
	} {
		t.Run(name, func(t *testing.T) {
			up := upstream.Start(t, upstream.Hang(c.answer))
			e := start(t, setup{config: service(up.URL()), options: func(o *proxy.Options) { o.LongRequest = 100 * time.Millisecond }})
			conn := e.dial()
			begun := time.Now()
			_, _ = io.WriteString(conn, c.request)
			received, err := e.collector.Wait(1, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if e.gateway.Active() != 1 {
				t.Error("the request was over by then")
			}
			interim := received[0]
			length := time.Duration(interim.EndTimeUnixNano - interim.StartTimeUnixNano)
			if interim.Name != "kong.interim" || length < 100*time.Millisecond || length > time.Since(begun) {
				t.Errorf("%s of %v", interim.Name, length)
			}
			if interim.Attribute("http.url") != "http://a.test/x?token=REDACTED" || interim.Attribute("kong.route.name") != "all" ||
				interim.Attribute("kong.service.name") != "backend" || interim.Attribute("http.response.status_code") != c.status {
				t.Errorf("attributes %v", interim.Attributes)
			}
			time.Sleep(150 * time.Millisecond)
			conn.Close()
			all := e.spans()
			root := all.named(t, "kong")
			all.named(t, "kong.interim") // one
			if !bytes.Equal(root.SpanId, interim.ParentSpanId) || !bytes.Equal(root.TraceId, interim.TraceId) || interim.Flags != 0x101 {
				t.Errorf("interim report %v, root %v", interim, root)
			}
		})
	}
}

// TestNoInterimReport: of what is quick, not sampled or not exported nothing is told, and nothing is left running.
func TestNoInterimReport(t *testing.T) {
	slow := upstream.Slow(60*time.Millisecond, upstream.Answer("ok"))
	for name, c := range map[string]struct {
		behave upstream.Behaviour
		bound  time.Duration
		rate   float64
		config func(string) string
	}{
		"quick":       {nil, time.Minute, 1, func(url string) string { return service(url) }},
		"off":         {slow, 0, 1, func(url string) string { return service(url) }},
		"not sampled": {slow, time.Millisecond, -1, func(url string) string { return service(url) }},
		"no plugin": {slow, time.Millisecond, 1, func(url string) string {
			return "services:\n- {url: '" + url + "', routes: [{paths: [/]}]}\n"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			up := upstream.Start(t, c.behave)
			e := start(t, setup{config: c.config(up.URL()), rate: c.rate, options: func(o *proxy.Options) { o.LongRequest = c.bound }})
			if got := e.get("/"); got.StatusCode != 200 {
				t.Errorf("status %d", got.StatusCode)
			}
			if n := len(e.spans().all("kong.interim")); n > 0 {
				t.Errorf("%d reports", n)
			}
		})
	}
}

// TestInterimReportRaces: reports that fall together with the end of their requests do no harm.
func TestInterimReportRaces(t *testing.T) {
	up := upstream.Start(t, upstream.Answer("ok"))
	e := start(t, setup{config: service(up.URL()), options: func(o *proxy.Options) { o.LongRequest = time.Millisecond }})
	before := runtime.NumGoroutine()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 50 {
				if got := e.get("/"); got.StatusCode != 200 {
					t.Errorf("status %d", got.StatusCode)
				}
			}
		})
	}
	clients.Wait()
	e.idle()
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+12 }) // kept connections have some
	all := e.spans()
	roots := map[string]collector.Span{}
	for _, root := range all.all("kong") {
		roots[hexID(root.SpanId)] = root
	}
	if len(roots) != 200 {
		t.Errorf("%d roots", len(roots))
	}
	for _, interim := range all.all("kong.interim") {
		root, ok := roots[hexID(interim.ParentSpanId)]
		if !ok || !bytes.Equal(root.TraceId, interim.TraceId) || interim.EndTimeUnixNano > root.EndTimeUnixNano {
			t.Errorf("a report without its root, or later: %v, %v", interim, root)
		}
	}
}

// TestInterimOfReload: a configuration that goes away exports the reports of the requests that it still has.
func TestInterimOfReload(t *testing.T) {
	up := upstream.Start(t, upstream.Slow(300*time.Millisecond, upstream.Answer("ok")))
	e := start(t, setup{config: service(up.URL()), options: func(o *proxy.Options) { o.LongRequest = 200 * time.Millisecond }})
	conn := e.dial()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
	eventually(t, "the request is there", func() bool { return e.gateway.Active() == 1 })
	e.apply("")
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v, %v", res, err)
	}
	e.spans().named(t, "kong.interim")
}
