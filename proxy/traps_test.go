package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sidekong/internal/upstream"
	"sidekong/proxy"
)

// received gives the last request that an upstream got, failing where it got none.
func received(t *testing.T, up *upstream.Upstream) upstream.Request {
	t.Helper()
	requests, err := up.Wait(1, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return requests[len(requests)-1]
}

// TestStreamFlushesAtOnce: FlushInterval stays 0, and what streams arrives as it is written.
func TestStreamFlushesAtOnce(t *testing.T) {
	for _, c := range []struct{ name, head, first, rest string }{
		{"events", "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", "9\r\ndata: 1\n\n\r\n", "0\r\n\r\n"},
		{"chunked", "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", "0\r\n\r\n"},
		{"until close", "\r\n", "x", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrote := make(chan time.Time, 1)
			release := make(chan struct{})
			up := upstream.Start(t, func(conn net.Conn, _ *upstream.Request) bool {
				wrote <- time.Now()
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+c.head+c.first)
				<-release
				_, _ = io.WriteString(conn, c.rest)
				return false
			})
			defer close(release)
			e := start(t, setup{config: service(up.URL())})
			res, err := transport.RoundTrip(e.request("GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if _, err := res.Body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if late := time.Since(<-wrote); late > 50*time.Millisecond {
				t.Errorf("first byte after %v", late)
			}
		})
	}
}

// TestCompressionPassesThrough: a compressed body is nobody's business here.
func TestCompressionPassesThrough(t *testing.T) {
	const zipped = "\x1f\x8b\x08not really"
	up := upstream.Start(t, upstream.Answer(zipped, "Content-Encoding: gzip"))
	e := start(t, setup{config: service(up.URL())})
	got := e.get("/")
	if got.body != zipped || got.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %q, %v", got.body, got.Header)
	}
	if accept, ok := received(t, up).Header["Accept-Encoding"]; ok {
		t.Errorf("upstream was told Accept-Encoding %q, which the client had not said", accept)
	}
}

// TestTargetArrivesAsSent: no query is read, cleaned or written anew.
func TestTargetArrivesAsSent(t *testing.T) {
	up := upstream.Start(t, nil)
	e := start(t, setup{config: service(up.URL())})
	many := "/?" + strings.Repeat("a=1&", 10_001)
	for _, target := range []string{
		"/?x=1;y=2", "/?x=%zz&y=%", "/?", "/a?b?c", "/?a=1&a=2&&=", "/a%2Fb/%C3%A9?%2f", "/?x=\xff", "/x/;p=1?#", many,
	} {
		e.raw("GET " + target + " HTTP/1.1\r\nHost: a.test\r\n\r\n")
		requests := up.Requests()
		if got := requests[len(requests)-1].Target; got != target {
			t.Errorf("sent %.60q, upstream got %.60q", target, got)
		}
	}
}

// TestConnectionHeader: what a client names in Connection is for us alone: its trace is continued, and what we write of
// it goes on.
func TestConnectionHeader(t *testing.T) {
	up := upstream.Start(t, nil)
	e := start(t, setup{config: service(up.URL())})
	e.get("/", "Connection: traceparent, x-mine, x-forwarded-for, close", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"X-Mine: 1", "Proxy: evil", "X-Forwarded-For: 1.2.3.4")
	got := received(t, up).Header
	if parent := got.Get("Traceparent"); !strings.HasPrefix(parent, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || strings.Contains(parent, "00f067aa0ba902b7") {
		t.Errorf("traceparent %q, want the caller's trace and a span of ours", parent)
	}
	if got.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("X-Forwarded-For %q", got.Get("X-Forwarded-For"))
	}
	for _, name := range []string{"X-Mine", "Connection", "Proxy"} {
		if got.Get(name) != "" {
			t.Errorf("%s: %q went upstream", name, got.Get(name))
		}
	}
}

// TestRefused: what nginx refuses before Kong sees it.
func TestRefused(t *testing.T) {
	up := upstream.Start(t, nil)
	e := start(t, setup{config: service(up.URL())})
	for _, c := range []struct {
		request string
		status  int
	}{
		{"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", 400},
		{"TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 405},
		{"CONNECT / HTTP/1.1\r\nHost: a.test:80\r\n\r\n", 405},
		{"GET /../x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400},
		{"GET /a%00 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400},
	} {
		if got := e.raw(c.request); got.StatusCode != c.status {
			t.Errorf("%q: %d %s, want %d", c.request, got.StatusCode, got.body, c.status)
		}
	}
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests went upstream", n)
	}
}

// TestBodyDiesMidway: the client sees that the body is not whole, and the spans are exported with the error.
func TestBodyDiesMidway(t *testing.T) {
	for name, behave := range map[string]upstream.Behaviour{
		"reset":        upstream.Reset("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
		"short":        upstream.Closing("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
		"chunked":      upstream.Closing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
		"broken chunk": upstream.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"),
		"stalled":      upstream.Hang("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
	} {
		t.Run(name, func(t *testing.T) {
			up := upstream.Start(t, behave)
			e := start(t, setup{config: service(up.URL(), "  read_timeout: 300\n")})
			got := e.get("/")
			if got.err == nil || got.StatusCode != 200 {
				t.Errorf("status %d, body %q, want it broken off", got.StatusCode, got.body)
			}
			all := e.spans()
			balancer := all.named(t, "kong.balancer")
			if !failed(balancer) || len(balancer.Events) == 0 {
				t.Errorf("kong.balancer tells no error: %v", balancer)
			}
			if root := all.named(t, "kong"); !failed(root) || root.Attribute("http.status_code") != int64(200) {
				t.Errorf("root %v", root)
			}
			all.named(t, "kong.read_body_from_upstream")
		})
	}
}

// TestClientAborts: whenever the client goes, the spans are exported and nothing is left running.
func TestClientAborts(t *testing.T) {
	for _, c := range []struct {
		name, request string
		behave        upstream.Behaviour
		status        int64
	}{
		{"before the answer", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", upstream.Hang(""), 499},
		{"mid-upload, long", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nhalf", upstream.Hang(""), 499},
		{"mid-upload, short", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf", upstream.Hang(""), 499},
		{"mid-upload, chunked", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", upstream.Hang(""), 499},
		{"mid-answer", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", upstream.Hang("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 100_000)), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := upstream.Start(t, c.behave)
			e := start(t, setup{config: service(up.URL())})
			before := 0
			for round := range 4 {
				if round == 1 { // the exporter has its connection now
					if _, err := e.collector.Wait(1, 5*time.Second); err != nil {
						t.Fatal(err)
					}
					time.Sleep(20 * time.Millisecond)
					before = runtime.NumGoroutine()
				}
				conn := e.dial()
				if _, err := io.WriteString(conn, c.request); err != nil {
					t.Fatal(err)
				}
				if c.status == 200 {
					if _, err := conn.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
				eventually(t, "the gateway has the request", func() bool { return e.gateway.Active() == 1 })
				time.Sleep(20 * time.Millisecond)
				conn.Close()
				e.idle()
			}
			eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
			roots := e.spans().all("kong")
			if len(roots) != 4 {
				t.Fatalf("%d roots", len(roots))
			}
			for _, root := range roots {
				if got := root.Attribute("http.status_code"); got != c.status {
					t.Errorf("status %v, want %d", got, c.status)
				}
			}
		})
	}
}

// TestInformational: 103 passes, and what follows it is the answer.
func TestInformational(t *testing.T) {
	up := upstream.Start(t, upstream.Raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	e := start(t, setup{config: service(up.URL())})
	r := e.request("GET", "/", nil)
	var hints []string
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, header.Get("Link")))
			return nil
		},
	}))
	got := e.do(r)
	if got.StatusCode != 200 || got.body != "ok" || got.Header.Get("Link") != "" || len(hints) != 1 || hints[0] != "103</a.css>" {
		t.Errorf("status %d, body %q, hints %q, header %v", got.StatusCode, got.body, hints, got.Header)
	}
}

// TestExpectContinue: the gateway asks for the body, and the upstream isn't asked to.
func TestExpectContinue(t *testing.T) {
	for _, size := range []int{10, 100_000} {
		up := upstream.Start(t, nil)
		e := start(t, setup{config: service(up.URL())})
		conn := e.dial()
		begun := time.Now()
		fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", size)
		br := bufio.NewReader(conn)
		line, err := br.ReadString('\n')
		if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		_, _ = br.ReadString('\n')
		_, _ = conn.Write(bytes.Repeat([]byte("x"), size))
		res, err := http.ReadResponse(br, nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("got %v, %v", res, err)
		}
		if took := time.Since(begun); took > 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if r := received(t, up); len(r.Body) != size || r.Header.Get("Expect") != "" {
			t.Errorf("upstream got %d bytes, Expect %q", len(r.Body), r.Header.Get("Expect"))
		}
	}
}

// TestTrailers pass in both directions.
func TestTrailers(t *testing.T) {
	up := upstream.Start(t, upstream.Raw("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: down\r\n\r\n"))
	e := start(t, setup{config: service(up.URL())})
	got := e.raw("POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: up\r\n\r\n")
	if got.body != "ok" || got.Trailer.Get("X-Sum") != "down" {
		t.Errorf("answer %q, trailer %v", got.body, got.Trailer)
	}
	r := received(t, up)
	if r.Body != "hi" || r.Trailer.Get("X-Sum") != "up" || r.Header.Get("Te") != "trailers" {
		t.Errorf("upstream got %q, trailer %v, header %v", r.Body, r.Trailer, r.Header)
	}
}

// TestBodiless: answers that have no body keep their headers.
func TestBodiless(t *testing.T) {
	for _, c := range []struct {
		method, answer string
		status         int
		length         string
	}{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200, "1234"},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"GET", "HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n", 304, ""},
		{"HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", 404, "9"},
	} {
		up := upstream.Start(t, upstream.Raw(c.answer))
		e := start(t, setup{config: service(up.URL())})
		got := e.raw(c.method + " / HTTP/1.1\r\nHost: a.test\r\n\r\n")
		if got.StatusCode != c.status || got.body != "" || got.Header.Get("Content-Length") != c.length || got.err != nil {
			t.Errorf("%s, %q: %d, %v, %q, %v", c.method, c.answer, got.StatusCode, got.Header, got.body, got.err)
		}
		if balancer := e.spans().named(t, "kong.balancer"); failed(balancer) {
			t.Errorf("%s, %q: kong.balancer is an error", c.method, c.answer)
		}
	}
}

// TestWebSocket: an upgrade is handed over, and its spans last as long as it does.
func TestWebSocket(t *testing.T) {
	up := upstream.Start(t, func(conn net.Conn, _ *upstream.Request) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(conn, conn)
		return false
	})
	e := start(t, setup{config: service(up.URL())})
	conn := e.dial()
	_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v", res, err)
	}
	for range 3 {
		_, _ = io.WriteString(conn, "echo")
		got := make([]byte, 4)
		if _, err := io.ReadFull(br, got); err != nil || string(got) != "echo" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	conn.Close()
	all := e.spans()
	for _, name := range []string{"kong", "kong.balancer"} {
		span := all.named(t, name)
		if took := time.Duration(span.EndTimeUnixNano - span.StartTimeUnixNano); took < 100*time.Millisecond || failed(span) {
			t.Errorf("%s lasted %v, status %v", name, took, span.Status)
		}
	}
	if got := all.named(t, "kong").Attribute("http.status_code"); got != int64(101) {
		t.Errorf("status %v", got)
	}
}

// TestUpgradeToSomethingElse: an upstream that switches to a protocol that nobody asked for is a bad gateway.
func TestUpgradeToSomethingElse(t *testing.T) {
	up := upstream.Start(t, upstream.Raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"))
	e := start(t, setup{config: service(up.URL())})
	got := e.get("/")
	if got.StatusCode != 502 {
		t.Errorf("status %d %s", got.StatusCode, got.body)
	}
	if root := e.spans().named(t, "kong"); root.Attribute("http.status_code") != int64(502) || !failed(root) {
		t.Errorf("root %v", root)
	}
}

// TestNeverTwice: what may have reached an upstream is sent again only where that does no harm.
func TestNeverTwice(t *testing.T) {
	for _, c := range []struct {
		method, body string
		status, sent int
	}{
		{"POST", "body", 502, 1},
		{"POST", "", 502, 1},
		{"PATCH", strings.Repeat("x", 100_000), 502, 1},
		{"GET", "", 502, 6},
		{"PUT", "body", 502, 6},
		{"PUT", strings.Repeat("x", 100_000), 502, 1}, // not kept
	} {
		t.Run(c.method+strconv.Itoa(len(c.body)), func(t *testing.T) {
			up := upstream.Start(t, upstream.Closing(""))
			e := start(t, setup{config: service(up.URL())})
			got := e.do(e.request(c.method, "/", strings.NewReader(c.body)))
			if n := len(up.Requests()); got.StatusCode != c.status || n != c.sent {
				t.Errorf("status %d, sent %d times, want %d, %d", got.StatusCode, n, c.status, c.sent)
			}
			if n := len(e.spans().all("kong.balancer")); n != c.sent {
				t.Errorf("%d tries have spans, want %d", n, c.sent)
			}
		})
	}
}

// TestStaleConnection: a kept connection that the upstream has closed costs a GET nothing, not even a try.
func TestStaleConnection(t *testing.T) {
	up := upstream.Start(t, upstream.Answer("ok"))
	e := start(t, setup{config: service(up.URL(), "  retries: 0\n")})
	for range 3 {
		if got := e.get("/"); got.StatusCode != 200 {
			t.Fatalf("status %d", got.StatusCode)
		}
		up.CloseConnections()
	}
	if n := len(e.spans().all("kong.balancer")); n != 3 {
		t.Errorf("%d tries, want 3", n)
	}
}

// TestRetries: a refused connection is tried anew as often as the service says; each failed try has its span.
func TestRetries(t *testing.T) {
	closed := upstream.Start(t, nil)
	closed.Stop()
	e := start(t, setup{config: service(closed.URL(), "  retries: 2\n")})
	if got := e.do(e.request("POST", "/", strings.NewReader("x"))); got.StatusCode != 502 {
		t.Errorf("status %d", got.StatusCode)
	}
	all := e.spans()
	tries := all.all("kong.balancer")
	if len(tries) != 3 || len(all.all("kong.dns")) != 3 {
		t.Fatalf("spans %s", all.names())
	}
	for i, try := range tries {
		if !failed(try) || try.Attribute("http.status_code") != int64(502) || try.Attribute("try_count") != int64(i+1) {
			t.Errorf("try %d: %v", i, try)
		}
	}
}

// TestRetriedParent: each try tells the upstream its own span.
func TestRetriedParent(t *testing.T) {
	up := upstream.Start(t, upstream.Sequence(upstream.Closing(""), upstream.Reset(""), upstream.Answer("ok")))
	e := start(t, setup{config: service(up.URL())})
	if got := e.get("/"); got.StatusCode != 200 {
		t.Errorf("status %d", got.StatusCode)
	}
	tries := e.spans().all("kong.balancer")
	requests := up.Requests()
	if len(tries) != 3 || len(requests) != 3 {
		t.Fatalf("%d tries, %d requests", len(tries), len(requests))
	}
	for i, try := range tries {
		if parent := strings.Split(requests[i].Header.Get("Traceparent"), "-")[2]; parent != hexID(try.SpanId) {
			t.Errorf("request %d names parent %s, its try is %s", i, parent, hexID(try.SpanId))
		}
		if failed(try) != (i < 2) {
			t.Errorf("try %d: %v", i, try.Status)
		}
	}
}

// TestUpstreamFaults: which status and text a fault has, and how long it takes.
func TestUpstreamFaults(t *testing.T) {
	full := saturate(t)
	refused := upstream.Start(t, nil)
	refused.Stop()
	for _, c := range []struct {
		name, url, more string
		behave          upstream.Behaviour
		status          int
		message         string
		took            time.Duration
	}{
		{"read time-out", "", "  read_timeout: 400\n", upstream.Hang(""), 504, "The upstream server is timing out", 400 * time.Millisecond},
		{"connect time-out", "http://" + full, "  connect_timeout: 300\n", nil, 504, "The upstream server is timing out", 300 * time.Millisecond},
		{"refused", refused.URL(), "", nil, 502, "An invalid response was received from the upstream server", 0},
		{"nonsense", "", "", upstream.Closing("what\r\n\r\n"), 502, "An invalid response was received from the upstream server", 0},
		{"unknown host", "http://no.such.host.invalid", "", nil, 503, "name resolution failed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := c.url
			if url == "" {
				url = upstream.Start(t, c.behave).URL()
			}
			e := start(t, setup{config: service(url, "  retries: 0\n", c.more), options: func(o *proxy.Options) {
				o.Resolver = nxdomain(t)
			}})
			var got answer
			var took time.Duration
			rounds := 0
			for rounds == 0 || rounds < 3 && took > c.took+100*time.Millisecond { // a busy machine is not the gateway's fault
				begun := time.Now()
				got = e.get("/")
				took = time.Since(begun)
				rounds++
			}
			want := fmt.Sprintf("%s\nrequest_id: %s\n", c.message, got.Header.Get("X-Kong-Request-Id")) // nginx's form: no Accept
			if c.status == 503 {
				want = fmt.Sprintf("{\n  \"message\":%q,\n  \"request_id\":%q\n}", c.message, got.Header.Get("X-Kong-Request-Id"))
			}
			if got.StatusCode != c.status || got.body != want {
				t.Errorf("got %d %s, want %d %s", got.StatusCode, got.body, c.status, want)
			}
			if took < c.took || took > c.took+100*time.Millisecond {
				t.Errorf("took %v, want %v", took, c.took)
			}
			all := e.spans()
			if root := all.all("kong")[rounds-1]; !failed(root) || root.Attribute("http.status_code") != int64(c.status) {
				t.Errorf("root %v", root)
			}
			if c.status == 503 {
				if span := all.all("kong.dns")[rounds-1]; !failed(span) || span.Attribute("dns.record.ip") != nil || len(span.Events) != 1 {
					t.Errorf("kong.dns %v", span)
				}
				return
			}
			if balancer := all.all("kong.balancer")[rounds-1]; !failed(balancer) || balancer.Attribute("http.status_code") != int64(c.status) {
				t.Errorf("kong.balancer %v", balancer)
			}
		})
	}
}

// TestBodyTooLarge: client_max_body_size, declared and not.
func TestBodyTooLarge(t *testing.T) {
	up := upstream.Start(t, nil)
	e := start(t, setup{config: service(up.URL()), options: func(o *proxy.Options) { o.MaxBodySize = 1000 }})
	for _, c := range []struct {
		body   io.Reader
		status int
	}{
		{strings.NewReader(strings.Repeat("x", 1000)), 200},
		{strings.NewReader(strings.Repeat("x", 1001)), 413},
		{io.MultiReader(strings.NewReader(strings.Repeat("x", 1000))), 200},
		{io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))), 413},
		{io.MultiReader(strings.NewReader(strings.Repeat("x", 200_000))), 413},
	} {
		r := e.request("POST", "/", c.body)
		if got := e.do(r); got.StatusCode != c.status {
			t.Errorf("declared %d: status %d, want %d", r.ContentLength, got.StatusCode, c.status)
		}
	}
	for _, r := range up.Requests() {
		if r.Err == nil && len(r.Body) > 1000 {
			t.Errorf("upstream got %d bytes", len(r.Body))
		}
	}
}

// TestHTTP2 carries a request over h2c and over TLS.
func TestHTTP2(t *testing.T) {
	up := upstream.Start(t, upstream.Answer("ok"))
	e := start(t, setup{config: service(up.URL()), server: func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{}
	}})
	client := e.server.Client()
	res, err := client.Post(e.server.URL+"/x?y", "text/plain", io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != 200 {
		t.Errorf("got %s %d", res.Proto, res.StatusCode)
	}
	r := received(t, up)
	if r.Body != "body" || r.Target != "/x?y" || r.Header.Get("X-Forwarded-Proto") != "https" || !strings.HasPrefix(r.Header.Get("Via"), "2 ") {
		t.Errorf("upstream got %q %q", r.Head, r.Body)
	}
	root := e.spans().named(t, "kong")
	if root.Attribute("http.flavor") != "2.0" || root.Attribute("http.scheme") != "https" {
		t.Errorf("root %v", root.Attributes)
	}
}
