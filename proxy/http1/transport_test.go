package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestTrip(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	targets := make(chan string, 4)
	u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			targets <- line
			textproto.NewReader(br).ReadMIMEHeader()
			io.WriteString(c, okAnswer)
		}
	})

	start := time.Now()
	first := Trip{Target: "/raw/%2E%2e/a%zz?q=|\xff"}
	if _, body := get(t, tr, u.url+"/cooked", &first); body != "ok" {
		t.Fatalf("body %q", body)
	}
	if got, want := <-targets, "GET "+first.Target+" HTTP/1.1\r\n"; got != want {
		t.Errorf("request line %q, want %q", got, want)
	}
	if first.Reused || !first.Wrote || first.BodyTouched || first.Fallback {
		t.Errorf("first trip %+v", first)
	}
	end := time.Now()
	for _, at := range []time.Time{first.Connected, first.RequestSent, first.HeadersRead} {
		if at.Before(start) || at.After(end) {
			t.Errorf("time %v outside of %v to %v", at, start, end)
		}
		start = at
	}

	var second Trip
	get(t, tr, u.url+"/cooked?x", &second)
	if got, want := <-targets, "GET /cooked?x HTTP/1.1\r\n"; got != want {
		t.Errorf("request line %q, want %q", got, want)
	}
	if !second.Reused || !second.Connected.IsZero() || second.RequestSent.IsZero() {
		t.Errorf("second trip %+v", second)
	}
	if n := u.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestReuse says after which answers a connection carries the next request.
func TestReuse(t *testing.T) {
	tests := []struct {
		name, method, answer string
		header               http.Header
		reused               bool
	}{
		{"length", "GET", okAnswer, nil, true},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", nil, true},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", nil, true},
		{"chunked with trailer", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: 1\r\n\r\n", nil, true},
		{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", nil, true},
		{"head with body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked", nil, false},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", nil, true},
		{"no content with content", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", nil, false},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", nil, true},
		{"junk behind", "GET", okAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", nil, false},
		{"junk behind chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n", nil, false},
		{"answer says close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", nil, false},
		{"request says close", "GET", okAnswer, http.Header{"Connection": {"close"}}, false},
		{"version 1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", nil, false},
		{"version 1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", nil, true},
		{"informational before", "GET", "HTTP/1.1 103 Early Hints\r\n\r\n" + okAnswer, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkLeaks(t)
			tr, u := newTransport(t), answering(t, tt.answer)
			for i := range 2 {
				req := newRequest(t, tt.method, u.url, nil)
				if tt.header != nil {
					req.Header = tt.header
				}
				var trip Trip
				do(t, tr, req, &trip)
				if i == 1 && trip.Reused != tt.reused {
					t.Errorf("reused %v, want %v", trip.Reused, tt.reused)
				}
			}
		})
	}
}

// TestUnaskedBytes lets an answer that nobody asked for arrive on an idle connection. The
// next request must not take it for its own.
func TestUnaskedBytes(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	sent := make(chan bool)
	u := newUpstream(t, func(n int, c net.Conn, br *bufio.Reader) {
		for readRequest(br) != nil {
			io.WriteString(c, okAnswer)
			if n == 0 {
				<-sent
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
				sent <- true
			}
		}
	})
	get(t, tr, u.url, &Trip{})
	sent <- true
	<-sent
	var trip Trip
	if _, body := get(t, tr, u.url, &trip); body != "ok" || trip.Reused {
		t.Errorf("got %q on a connection with reused=%v", body, trip.Reused)
	}
}

// TestStale closes connections under the transport's hands.
func TestStale(t *testing.T) {
	body := func(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }
	none := func() io.Reader { return nil }
	long := strings.Repeat("x", inlineBody+1)
	tests := []struct {
		name   string
		method string
		body   func() io.Reader
		late   bool // closed only when the request has arrived
		ok     bool
	}{
		{"GET on a closed connection", "GET", none, false, true},
		{"POST on a closed connection", "POST", body("x"), false, true},
		{"long POST on a closed connection", "POST", body(long), false, true},
		{"GET that is dropped", "GET", none, true, true},
		{"HEAD that is dropped", "HEAD", none, true, true},
		{"GET with a body that is dropped", "GET", body("x"), true, false},
		{"DELETE that is dropped", "DELETE", none, true, false},
		{"POST that is dropped", "POST", body("x"), true, false},
		{"empty POST that is dropped", "POST", none, true, false},
		{"long POST that is dropped", "POST", body(long), true, false},
	}
	for _, tt := range tests {
		for _, end := range []func(net.Conn){func(c net.Conn) { c.Close() }, reset} {
			t.Run(tt.name, func(t *testing.T) {
				checkLeaks(t)
				tr := newTransport(t)
				seen := make(chan string, 8)
				closed := make(chan bool, 1)
				u := newUpstream(t, func(n int, c net.Conn, br *bufio.Reader) {
					for i := 0; ; i++ {
						req := readRequest(br)
						if req == nil {
							return
						}
						seen <- req.Method
						if n == 0 && i == 1 {
							end(c)
							return
						}
						io.WriteString(c, okAnswer)
						if n == 0 && !tt.late {
							end(c)
							closed <- true
							return
						}
					}
				})
				get(t, tr, u.url, &Trip{})
				<-seen
				if !tt.late {
					<-closed
					time.Sleep(5 * time.Millisecond) // until our kernel knows
				}
				var trip Trip
				res, err := tr.Do(newRequest(t, tt.method, u.url, tt.body()), &trip)
				if err == nil {
					res.Body.Close()
				}
				if (err == nil) != tt.ok {
					t.Fatalf("error %v, want success %v", err, tt.ok)
				}
				if trip.Reused != (err != nil) {
					t.Errorf("reused %v", trip.Reused)
				}
				want := []string{tt.method}
				if tt.late && tt.ok {
					want = append(want, tt.method)
				}
				var got []string
				for len(seen) > 0 {
					got = append(got, <-seen)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("upstream saw (-want +got):\n%s", diff)
				}
				if err != nil {
					var e *Error
					if !errors.As(err, &e) || e.Timeout() || !trip.Wrote {
						t.Errorf("error %v, wrote %v", err, trip.Wrote)
					}
				}
			})
		}
	}
}

// TestStaleTwice has every connection die: a GET is tried on one new connection only.
func TestStaleTwice(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	var requests atomic.Int64
	u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for readRequest(br) != nil {
			if requests.Add(1) > 1 {
				return
			}
			io.WriteString(c, okAnswer)
		}
	})
	get(t, tr, u.url, &Trip{})
	if _, err := tr.Do(newRequest(t, "GET", u.url, nil), &Trip{}); err == nil {
		t.Error("no error")
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestTimeouts(t *testing.T) {
	const timeout = 200 * time.Millisecond
	hang := func(before string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, br *bufio.Reader) {
			if readRequest(br) != nil {
				io.WriteString(c, before)
			}
		}
	}
	tests := []struct {
		name  string
		serve func(net.Conn, *bufio.Reader) // and then hangs
		trip  Trip
		body  io.Reader
		dial  func(context.Context, string, string) (net.Conn, error)
		phase Phase
	}{
		{name: "connect", trip: Trip{ConnectTimeout: timeout}, phase: Connect, dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		{name: "no answer", serve: hang(""), trip: Trip{ReadTimeout: timeout}, phase: Read},
		{name: "no answer to a long body", serve: hang(""), trip: Trip{ReadTimeout: timeout}, body: strings.NewReader(strings.Repeat("x", 1<<20)), phase: Read},
		{name: "half a head", serve: hang("HTTP/1.1 200 OK\r\nContent-"), trip: Trip{ReadTimeout: timeout}, phase: Read},
		{name: "only informational", serve: hang("HTTP/1.1 103 Early Hints\r\n\r\n"), trip: Trip{ReadTimeout: timeout}, phase: Read},
		{name: "half a body", serve: hang("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha"), trip: Trip{ReadTimeout: timeout}, phase: Read},
		{name: "half a chunk", serve: hang("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nha"), trip: Trip{ReadTimeout: timeout}, phase: Read},
		{name: "nobody reads", serve: func(net.Conn, *bufio.Reader) {}, trip: Trip{WriteTimeout: timeout}, body: endless{}, phase: Write},
		{name: "nobody reads behind the head of an answer", serve: func(c net.Conn, _ *bufio.Reader) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")
		}, trip: Trip{WriteTimeout: timeout}, body: endless{}, phase: Write},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkLeaks(t)
			tr := newTransport(t)
			tr.Dial = tt.dial
			target := "http://127.0.0.1:1"
			if tt.serve != nil {
				release := make(chan bool)
				target = newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
					tt.serve(c, br)
					<-release
				}).url
				t.Cleanup(func() { close(release) })
			}
			method := "GET"
			if tt.body != nil {
				method = "POST"
			}
			start := time.Now()
			res, err := tr.Do(newRequest(t, method, target, tt.body), &tt.trip)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			took := time.Since(start)
			var e *Error
			if !errors.As(err, &e) || !e.Timeout() || e.Phase != tt.phase {
				t.Fatalf("got %v, want a time-out in phase %q", err, tt.phase)
			}
			if took < timeout || took > timeout+100*time.Millisecond {
				t.Errorf("took %v, want %v", took, timeout)
			}
		})
	}
}

// TestTimeoutIsBetweenReads has an answer that takes longer than the time-out, but never
// pauses so long; and a body that leaves for longer than the answer may take.
func TestTimeoutIsBetweenReads(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for readRequest(br) != nil {
			for _, part := range strings.SplitAfter("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\na b c d e f ", " ") {
				time.Sleep(40 * time.Millisecond)
				io.WriteString(c, part)
			}
		}
	})
	slow, w := io.Pipe()
	go func() {
		for range 10 {
			time.Sleep(30 * time.Millisecond)
			io.WriteString(w, "x")
		}
		w.Close()
	}()
	for _, body := range []io.Reader{nil, slow} {
		trip := Trip{ReadTimeout: 150 * time.Millisecond, WriteTimeout: 150 * time.Millisecond}
		if _, got := do(t, tr, newRequest(t, "POST", u.url, body), &trip); got != "a b c d e f " {
			t.Errorf("got %q", got)
		}
	}
	// A deadline of an earlier request does not hit a later one without.
	time.Sleep(200 * time.Millisecond)
	var trip Trip
	if _, got := get(t, tr, u.url, &trip); got != "a b c d e f " || !trip.Reused {
		t.Errorf("got %q, reused %v", got, trip.Reused)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestFaults breaks the upstream at each point: an error comes, of the right kind, at once.
func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		answer string
		end    func(net.Conn)
	}{
		{"closed without answer", "", func(c net.Conn) { c.Close() }},
		{"reset without answer", "", reset},
		{"closed in the status line", "HTTP/1.1 20", func(c net.Conn) { c.Close() }},
		{"reset in the headers", "HTTP/1.1 200 OK\r\nA:", reset},
		{"closed in the headers", "HTTP/1.1 200 OK\r\nA: b\r\n", func(c net.Conn) { c.Close() }},
		{"closed in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", func(c net.Conn) { c.Close() }},
		{"closed in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", func(c net.Conn) { c.Close() }},
		{"closed after 1xx", "HTTP/1.1 103 Early Hints\r\n\r\n", func(c net.Conn) { c.Close() }},
		{"garbage", strings.Repeat("\x16\x03\x01", 100), func(c net.Conn) { c.Close() }},
		{"headers without end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2*DefaultMaxResponseHeaderBytes), func(c net.Conn) { c.Close() }},
		{"too many 1xx", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10_000), func(c net.Conn) { c.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkLeaks(t)
			tr := newTransport(t)
			u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
				readRequest(br)
				io.WriteString(c, tt.answer)
				tt.end(c)
			})
			for _, body := range []io.Reader{nil, strings.NewReader("short"), io.MultiReader(strings.NewReader("chunked"))} {
				var trip Trip
				res, err := tr.Do(newRequest(t, "POST", u.url, body), &trip)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				var e *Error
				if !errors.As(err, &e) || e.Phase != Read || e.Timeout() {
					t.Errorf("got %v, want an error of phase Read", err)
				}
				if !trip.Wrote || trip.Reused {
					t.Errorf("wrote %v, reused %v", trip.Wrote, trip.Reused)
				}
			}
		})
	}
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	body := &watchedBody{Reader: strings.NewReader(strings.Repeat("x", inlineBody+1))}
	var trip Trip
	_, err = newTransport(t).Do(newRequest(t, "POST", "http://"+l.Addr().String(), body), &trip)
	var e *Error
	if !errors.As(err, &e) || e.Phase != Connect || e.Timeout() || trip.Wrote || trip.BodyTouched || !body.closed.Load() {
		t.Errorf("got %v, trip %+v, body closed %v", err, trip, body.closed.Load())
	}
}

type watchedBody struct {
	io.Reader
	closed atomic.Bool
}

func (b *watchedBody) Close() error {
	b.closed.Store(true)
	return nil
}

func TestHeaderLimit(t *testing.T) {
	checkLeaks(t)
	answer := "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 10_000) + "\r\nContent-Length: 2\r\n\r\nok"
	u := answering(t, answer)
	for _, tt := range []struct {
		limit int
		ok    bool
	}{{0, true}, {len(answer), true}, {len(answer) - 2, true}, {len(answer) - 3, false}, {4096, false}} {
		tr := newTransport(t)
		tr.MaxResponseHeaderBytes = tt.limit
		res, err := tr.RoundTrip(newRequest(t, "GET", u.url, nil))
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrHeaderTooLarge) {
			t.Errorf("limit %d: got %v, want success %v", tt.limit, err, tt.ok)
		}
	}
}

// TestEarlyAnswer has the upstream answer before it has read the body, then close, reset or
// read on.
func TestEarlyAnswer(t *testing.T) {
	tests := []struct {
		name string
		then func(c net.Conn, br *bufio.Reader)
	}{
		{"closes", func(c net.Conn, _ *bufio.Reader) { c.(*net.TCPConn).CloseWrite() }},
		{"lingers", func(c net.Conn, br *bufio.Reader) { io.CopyN(io.Discard, br, 1<<20) }},
		{"reads on", func(c net.Conn, br *bufio.Reader) { io.Copy(io.Discard, br) }},
	}
	for _, tt := range tests {
		for _, length := range []int64{100_000, 64 << 20, -1} {
			t.Run(fmt.Sprint(tt.name, length), func(t *testing.T) {
				checkLeaks(t)
				tr := newTransport(t)
				u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
					http.ReadRequest(br)
					io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
					tt.then(c, br)
				})
				req := newRequest(t, "POST", u.url, io.LimitReader(endless{}, 64<<20))
				req.ContentLength = length
				if length > 0 {
					req.Body = io.NopCloser(io.LimitReader(endless{}, length))
				}
				if status, body := do(t, tr, req, &Trip{}); status != 413 || body != "big" {
					t.Errorf("got %d %q", status, body)
				}
			})
		}
	}
}

// TestBothWays sends a body that an echoing upstream gives back at once, so that each side
// blocks if the other does not read while it writes.
func TestBothWays(t *testing.T) {
	checkLeaks(t)
	echo := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "Sum")
		sum := sha256.New()
		io.Copy(io.MultiWriter(w, sum), r.Body)
		w.Header().Set("Sum", fmt.Sprintf("%x", sum.Sum(nil)))
		w.Header().Set(http.TrailerPrefix+"Got", r.Trailer.Get("Mine"))
	}))
	echo.Start()
	defer echo.Close()
	tr := newTransport(t)
	defer tr.CloseIdleConnections()
	for _, declared := range []bool{true, false} {
		const size = 48 << 20
		sent := sha256.New()
		req := newRequest(t, "POST", echo.URL, nil)
		req.Body = io.NopCloser(io.TeeReader(io.LimitReader(counting(), size), sent))
		req.ContentLength = -1
		wantTrailer := "1"
		if declared {
			req.ContentLength, wantTrailer = size, ""
		} else {
			req.Trailer = http.Header{"Mine": {"1"}}
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got := sha256.New()
		n, err := io.Copy(got, res.Body)
		res.Body.Close()
		if err != nil || n != size || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
			t.Errorf("declared %v: %d bytes, %v", declared, n, err)
		}
		want := http.Header{"Sum": {fmt.Sprintf("%x", sent.Sum(nil))}, "Got": {wantTrailer}}
		if diff := cmp.Diff(want, res.Trailer); diff != "" {
			t.Errorf("trailers (-want +got):\n%s", diff)
		}
	}
}

// counting is an endless stream of changing bytes.
func counting() io.Reader {
	n := byte(0)
	return readerFunc(func(p []byte) (int, error) {
		for i := range p {
			p[i] = n
			n += 7
		}
		n += 3
		return len(p), nil
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestConversation exchanges lines within one request: each side waits for the other's.
func TestConversation(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		lines := bufio.NewScanner(req.Body)
		for lines.Scan() {
			fmt.Fprintf(c, "%x\r\n%s!\r\n", len(lines.Text())+1, lines.Text())
		}
		io.WriteString(c, "0\r\n\r\n")
		readRequest(br)
	})
	body, w := io.Pipe()
	res, err := tr.RoundTrip(newRequest(t, "POST", u.url, body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one", "two", "three"} {
		io.WriteString(w, line+"\n")
		got := make([]byte, len(line)+1)
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != line+"!" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("rest %q, %v", rest, err)
	}
	res.Body.Close()
}

// TestBodyFaults has bodies that fail or lie about their length: an error of phase Body, no
// second request in the stream, and the body closed.
func TestBodyFaults(t *testing.T) {
	broken := errors.New("client went away")
	long := int64(3 * inlineBody)
	fill := func(n int64) io.Reader { return io.LimitReader(endless{}, n) }
	tests := []struct {
		name    string
		body    io.Reader
		length  int64
		chunked bool
		wrote   bool
		err     error
	}{
		{name: "short of little", body: fill(4), length: 5},
		{name: "more than little", body: fill(6), length: 5},
		{name: "little breaks", body: io.MultiReader(fill(4), errReader{broken}), length: 5, err: broken},
		{name: "little breaks at its end", body: io.MultiReader(fill(5), errReader{broken}), length: 5, err: broken},
		{name: "short of much", body: fill(long - 1), length: long, wrote: true},
		{name: "more than much", body: fill(long + 1), length: long, wrote: true},
		{name: "much breaks", body: io.MultiReader(fill(long/2), errReader{broken}), length: long, wrote: true, err: broken},
		{name: "chunked breaks", body: io.MultiReader(fill(5), errReader{broken}), length: -1, wrote: true, err: broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkLeaks(t)
			tr := newTransport(t)
			complete := make(chan bool, 1)
			u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
				ok := readRequest(br) != nil
				complete <- ok
				if ok {
					io.WriteString(c, okAnswer)
				}
			})
			body := &watchedBody{Reader: tt.body}
			req := newRequest(t, "POST", u.url, body)
			req.ContentLength = tt.length
			var trip Trip
			res, err := tr.Do(req, &trip)
			if err == nil {
				res.Body.Close()
				t.Fatalf("got status %d, want an error", res.StatusCode)
			}
			var e *Error
			if !errors.As(err, &e) || e.Phase != Body || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("got %v, want phase Body", err)
			}
			if trip.Wrote != tt.wrote || !trip.BodyTouched || !body.closed.Load() {
				t.Errorf("wrote %v want %v, touched %v, closed %v", trip.Wrote, tt.wrote, trip.BodyTouched, body.closed.Load())
			}
			if tt.wrote && <-complete {
				t.Error("the upstream got a complete request")
			}
		})
	}
}

// TestStreamBody has the upstream see the head before there is a body.
// TestLateBody has net/http's server end the context of a request whose body is late: that it was is what is told.
func TestLateBody(t *testing.T) {
	late := func(cancel context.CancelFunc) io.Reader {
		return readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, os.ErrDeadlineExceeded
		})
	}
	for name, length := range map[string]int64{"little": 5, "much": 1 << 20, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			u := newUpstream(t, func(_ int, _ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req := newRequest(t, "POST", u.url, late(cancel)).WithContext(ctx)
			req.ContentLength = length
			_, err := newTransport(t).RoundTrip(req)
			var fault *Error
			if !errors.As(err, &fault) || fault.Phase != Body || !fault.Timeout() {
				t.Errorf("got %v, want a time-out of the body", err)
			}
		})
	}
}

func TestStreamBody(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	head := make(chan bool)
	u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		head <- true
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		readRequest(br)
	})
	body, w := io.Pipe()
	go func() {
		<-head
		io.WriteString(w, "hello")
		w.Close()
	}()
	req := newRequest(t, "POST", u.url, body)
	req.ContentLength = 5
	if _, got := do(t, tr, req, &Trip{StreamBody: true}); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// TestReuseAfterUpload has the connection of a streamed body carry the next request.
func TestReuseAfterUpload(t *testing.T) {
	checkLeaks(t)
	tr, u := newTransport(t), answering(t, okAnswer)
	for i := range 10 {
		var trip Trip
		req := newRequest(t, "POST", u.url, io.LimitReader(endless{}, 100_000))
		do(t, tr, req, &trip)
		if trip.Reused != (i > 0) || trip.HeadersRead.Before(trip.RequestSent) {
			t.Errorf("request %d: %+v", i, trip)
		}
	}
}

// TestAnswerBehindBrokenPipe has the kernel refuse the second half of a request while an
// answer to the first half is there to be read.
func TestAnswerBehindBrokenPipe(t *testing.T) {
	for _, tt := range []struct {
		answer string
		phase  Phase
	}{
		{"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n", ""},
		{"", Write},
	} {
		tr := newTransport(t)
		dials := 0
		tr.Dial = func(context.Context, string, string) (net.Conn, error) {
			dials++
			return &brokenPipe{newScript(tt.answer)}, nil
		}
		var trip Trip
		res, err := tr.Do(newRequest(t, "GET", "http://upstream.test", nil), &trip)
		var e *Error
		switch {
		case tt.phase != "" && (!errors.As(err, &e) || e.Phase != tt.phase):
			t.Errorf("got %v, want phase %q", err, tt.phase)
		case tt.phase == "" && (err != nil || res.StatusCode != 431):
			t.Errorf("got %v, %v", res, err)
		case dials != 1 || !trip.Wrote:
			t.Errorf("%d dials, wrote %v", dials, trip.Wrote)
		}
	}
}

type brokenPipe struct{ *script }

func (c *brokenPipe) Write(p []byte) (int, error) {
	c.script.complete = true
	c.Close()
	return len(p) / 2, syscall.EPIPE
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestExpectContinue(t *testing.T) {
	tests := []struct {
		name     string
		serve    func(c net.Conn, br *bufio.Reader)
		status   int
		bodySent bool
	}{
		{"continue", func(c net.Conn, br *bufio.Reader) {
			io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
			io.ReadFull(br, make([]byte, 5))
			io.WriteString(c, okAnswer)
		}, 200, true},
		{"silence", func(c net.Conn, br *bufio.Reader) {
			io.ReadFull(br, make([]byte, 5))
			io.WriteString(c, okAnswer)
		}, 200, true},
		{"refusal", func(c net.Conn, br *bufio.Reader) {
			io.WriteString(c, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
			if n, _ := br.Read(make([]byte, 1)); n > 0 {
				c.Close()
			}
		}, 417, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkLeaks(t)
			tr := newTransport(t)
			tr.ExpectContinueTimeout = 100 * time.Millisecond
			early := make(chan bool, 1)
			u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
				_, err := br.Peek(1)
				early <- err == nil
				c.SetReadDeadline(time.Time{})
				tt.serve(c, br)
			})
			body := &watchedBody{Reader: strings.NewReader("hello")}
			req := newRequest(t, "POST", u.url, body)
			req.ContentLength = 5
			req.Header.Set("Expect", "100-continue")
			var trip Trip
			if status, _ := do(t, tr, req, &trip); status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if <-early {
				t.Error("the body came before it was asked for")
			}
			if trip.BodyTouched != tt.bodySent || !body.closed.Load() {
				t.Errorf("body touched %v, want %v; closed %v", trip.BodyTouched, tt.bodySent, body.closed.Load())
			}
		})
	}
}

func TestInformational(t *testing.T) {
	checkLeaks(t)
	hint := "HTTP/1.1 103 Early Hints\r\nLink: </" + strings.Repeat("a", 5000) + ">\r\n\r\n"
	u := answering(t, strings.Repeat(hint, 20)+okAnswer) // more than the limit together
	codes := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		if code == 103 && len(h.Get("Link")) == 5003 {
			codes++
		}
		return nil
	}}
	req := newRequest(t, "GET", u.url, nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
	if status, body := do(t, newTransport(t), req, &Trip{}); status != 200 || body != "ok" || codes != 20 {
		t.Errorf("got %d %q after %d hints", status, body, codes)
	}

	refusal := errors.New("no hints please")
	trace.Got1xxResponse = func(int, textproto.MIMEHeader) error { return refusal }
	if _, err := newTransport(t).RoundTrip(req); !errors.Is(err, refusal) {
		t.Errorf("got %v, want the hook's error", err)
	}
}

func TestUpgrade(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nwelcome\n")
		io.Copy(c, br)
		io.WriteString(c, "bye\n")
	})
	ctx, cancel := context.WithCancel(t.Context())
	req := newRequest(t, "GET", u.url, nil).WithContext(ctx)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := tr.Do(req, &Trip{ReadTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	cancel() // the connection is the caller's now
	time.Sleep(100 * time.Millisecond)
	rw, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("body is %T", res.Body)
	}
	io.WriteString(rw, "hello\n")
	if err := rw.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(rw); err != nil || string(got) != "welcome\nhello\nbye\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestCancel ends the context at each point. Nothing stays behind.
func TestCancel(t *testing.T) {
	tests := []struct {
		name   string
		answer string // before it hangs
		body   func() io.Reader
	}{
		{"before the answer", "", func() io.Reader { return nil }},
		{"in the head", "HTTP/1.1 200 OK\r\nA", func() io.Reader { return nil }},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", func() io.Reader { return nil }},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nha", func() io.Reader { return nil }},
		{"in the upload", "", func() io.Reader { return endless{} }},
		{"in the upload and the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", func() io.Reader { return endless{} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkLeaks(t)
			tr := newTransport(t)
			u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
				http.ReadRequest(br)
				io.WriteString(c, tt.answer)
				time.Sleep(30 * time.Millisecond) // so that uploads are stuck when the context ends
				io.Copy(io.Discard, br)
			})
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					cause := errors.New("enough")
					ctx, cancel := context.WithCancelCause(t.Context())
					timer := time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
					defer timer.Stop()
					start := time.Now()
					res, err := tr.RoundTrip(newRequest(t, "POST", u.url, tt.body()).WithContext(ctx))
					if err == nil {
						_, err = io.ReadAll(res.Body)
						res.Body.Close()
					}
					if err != cause {
						t.Errorf("got %v, want the context's cause", err)
					}
					if took := time.Since(start); took > 2*time.Second {
						t.Errorf("took %v", took)
					}
				})
			}
			wg.Wait()
		})
	}
	t.Run("in the dial", func(t *testing.T) {
		tr := newTransport(t)
		tr.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := tr.Do(newRequest(t, "GET", "http://upstream.test", nil).WithContext(ctx), &Trip{ConnectTimeout: time.Minute})
		if err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

// TestCloseWhileReading closes the body from another goroutine.
func TestCloseWhileReading(t *testing.T) {
	checkLeaks(t)
	tr := newTransport(t)
	u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")
		br.ReadByte()
	})
	for range 20 {
		res, err := tr.RoundTrip(newRequest(t, "GET", u.url, nil))
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(res.Body)
			read <- err
		}()
		time.Sleep(time.Millisecond)
		res.Body.Close()
		if err := <-read; err == nil {
			t.Error("read without error after Close")
		}
		if _, err := res.Body.Read(make([]byte, 1)); err == nil {
			t.Error("read after Close")
		}
	}
}

// TestReadAfterEnd reads on where the body ended: it stays at its end.
func TestReadAfterEnd(t *testing.T) {
	checkLeaks(t)
	for _, tt := range []struct {
		answer string
		whole  bool
	}{
		{okAnswer, true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nok", false},
	} {
		u := newUpstream(t, func(_ int, c net.Conn, br *bufio.Reader) {
			readRequest(br)
			io.WriteString(c, tt.answer)
		})
		res, err := newTransport(t).RoundTrip(newRequest(t, "GET", u.url, nil))
		if err != nil {
			t.Fatal(err)
		}
		_, first := io.ReadAll(res.Body)
		n, second := res.Body.Read(make([]byte, 1))
		if first == nil {
			first = io.EOF
		}
		if n != 0 || second != first || (first == io.EOF) != tt.whole {
			t.Errorf("%q: ended with %v, then %d, %v", tt.answer, first, n, second)
		}
		res.Body.Close()
		if _, err := res.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%q: after Close: %v", tt.answer, err)
		}
	}
}

// TestCloseEarly closes bodies that were not read.
func TestCloseEarly(t *testing.T) {
	checkLeaks(t)
	for _, tt := range []struct {
		size   int
		reused bool // little enough to have come with the head
	}{{100, true}, {1 << 20, false}} {
		u := answering(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", tt.size, strings.Repeat("x", tt.size)))
		tr := newTransport(t)
		var trip Trip
		for range 2 {
			res, err := tr.Do(newRequest(t, "GET", u.url, nil), &trip)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			res.Body.Close()
		}
		if trip.Reused != tt.reused {
			t.Errorf("%d bytes unread: reused %v, want %v", tt.size, trip.Reused, tt.reused)
		}
	}
}

func TestPoolBounds(t *testing.T) {
	checkLeaks(t)
	idle := func(tr *Transport) int {
		tr.pool.mu.Lock()
		defer tr.pool.mu.Unlock()
		n := 0
		for _, list := range tr.pool.hosts {
			n += len(*list)
		}
		if n != tr.pool.total {
			t.Errorf("pool counts %d, has %d", tr.pool.total, n)
		}
		return n
	}
	// at sends n requests at once and leaves their connections idle.
	at := func(tr *Transport, url string, n int) {
		var open []*http.Response
		for range n {
			res, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, res)
		}
		for _, res := range open {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	a, b := answering(t, okAnswer), answering(t, okAnswer)

	tr := newTransport(t)
	tr.MaxIdlePerHost = 3
	at(tr, a.url, 5)
	if n := idle(tr); n != 3 {
		t.Errorf("%d idle, want 3 per host", n)
	}

	tr = newTransport(t)
	tr.MaxIdle = 4
	at(tr, a.url, 3)
	at(tr, b.url, 3)
	if n := idle(tr); n != 4 {
		t.Errorf("%d idle, want 4 over all", n)
	}
	if n := len(*tr.pool.hosts[strings.TrimPrefix(a.url, "http://")]); n != 1 {
		t.Errorf("%d of the older ones left, want 1", n)
	}

	tr = newTransport(t)
	tr.MaxIdlePerHost = -1
	at(tr, a.url, 1)
	if n := idle(tr); n != 0 {
		t.Errorf("%d idle, want none", n)
	}

	tr = newTransport(t)
	tr.MaxRequestsPerConn = 3
	before := a.conns.Load()
	for range 9 {
		get(t, tr, a.url, &Trip{})
	}
	if n := a.conns.Load() - before; n != 3 {
		t.Errorf("%d connections for 9 requests, want 3", n)
	}

	tr = newTransport(t)
	tr.IdleTimeout = 50 * time.Millisecond
	at(tr, a.url, 2)
	for deadline := time.Now().Add(2 * time.Second); idle(tr) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d idle after their time", idle(tr))
		}
	}
	at(tr, a.url, 1) // and the sweep begins anew

	tr = newTransport(t)
	res, err := tr.RoundTrip(newRequest(t, "GET", a.url, nil))
	if err != nil {
		t.Fatal(err)
	}
	at(tr, a.url, 2)
	tr.CloseIdleConnections()
	io.Copy(io.Discard, res.Body)
	if n := idle(tr); n != 0 {
		t.Errorf("%d idle after CloseIdleConnections, one of which was in use", n)
	}
}

func TestFallback(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.RequestURI)
	}))
	defer secure.Close()
	tr := newTransport(t)
	tr.Fallback = secure.Client().Transport
	trip := Trip{Target: "/raw/%2E?x"}
	if _, body := get(t, tr, secure.URL+"/cooked", &trip); body != trip.Target || !trip.Fallback {
		t.Errorf("got %q, fallback %v", body, trip.Fallback)
	}
	trip.Target = ""
	if _, body := get(t, tr, secure.URL+"/cooked", &trip); body != "/cooked" || !trip.Fallback {
		t.Errorf("got %q, fallback %v", body, trip.Fallback)
	}
	var e *Error
	if _, err := newTransport(t).RoundTrip(newRequest(t, "GET", secure.URL, nil)); !errors.As(err, &e) || e.Phase != Prepare {
		t.Errorf("without fallback: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	u := answering(t, okAnswer)
	tr := newTransport(t)
	for name, spoil := range map[string]func(*http.Request, *Trip){
		"no URL":              func(r *http.Request, _ *Trip) { r.URL = nil },
		"no host":             func(r *http.Request, _ *Trip) { r.URL = &url.URL{Scheme: "http"} },
		"target with a space": func(_ *http.Request, trip *Trip) { trip.Target = "/a HTTP/1.1" },
		"target with CRLF":    func(_ *http.Request, trip *Trip) { trip.Target = "/a\r\nb" },
		"method":              func(r *http.Request, _ *Trip) { r.Method = "A B" },
		"second framing":      func(r *http.Request, _ *Trip) { r.Header["content-length"] = []string{"1"} },
		"header value":        func(r *http.Request, _ *Trip) { r.Header["A"] = []string{"b\nc: secret"} },
		"trailer name": func(r *http.Request, _ *Trip) {
			r.TransferEncoding, r.Trailer = []string{"chunked"}, http.Header{"Content-Length": nil}
		},
		"length without body": func(r *http.Request, _ *Trip) { r.Body, r.ContentLength = nil, 3 },
	} {
		body := &watchedBody{Reader: strings.NewReader("hello")}
		req := newRequest(t, "POST", u.url, body)
		var trip Trip
		spoil(req, &trip)
		_, err := tr.Do(req, &trip)
		var e *Error
		if !errors.As(err, &e) || e.Phase != Prepare || trip.Wrote || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: got %v, wrote %v", name, err, trip.Wrote)
		}
		if req.Body != nil && !body.closed.Load() {
			t.Errorf("%s: body not closed", name)
		}
	}
}

// TestReverseProxy runs the whole thing where it is meant to be, with many clients at once.
func TestReverseProxy(t *testing.T) {
	checkLeaks(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/hints" {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Set("Trailer", "Length")
		fmt.Fprintf(w, "%s %s ", r.Method, r.URL)
		w.Write(body)
		w.Header().Set("Length", fmt.Sprint(len(body)))
	}))
	defer backend.Close()
	target, _ := url.Parse(backend.URL)
	tr := newTransport(t)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: tr,
	})
	defer front.Close()
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()

	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				var body io.Reader
				want := ""
				if i%2 == 1 {
					want = strings.Repeat("x", i*2000)
					body = strings.NewReader(want)
					if i%3 == 1 {
						body = io.MultiReader(body)
					}
				}
				method := []string{"GET", "POST"}[i%2]
				hints := 0
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil },
				})
				path := fmt.Sprintf("/%d/%d", g, i)
				if i%4 == 0 {
					path = "/hints"
				}
				res, err := client.Do(newRequest(t, method, front.URL+path, body).WithContext(ctx))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if full := method + " " + path + " " + want; err != nil || string(got) != full {
					t.Errorf("%s: %d bytes, want %d; %v", path, len(got), len(full), err)
				}
				if n := res.Trailer.Get("Length"); n != fmt.Sprint(len(want)) {
					t.Errorf("%s: trailer %q", path, n)
				}
				if (hints == 1) != (path == "/hints") {
					t.Errorf("%s: %d hints", path, hints)
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorTimeout(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{os.ErrDeadlineExceeded, true},
		{context.DeadlineExceeded, true},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true},
		{&net.DNSError{IsTimeout: true}, true},
		{io.ErrUnexpectedEOF, false},
	} {
		if got := (&Error{Phase: Read, Err: tt.err}).Timeout(); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}
