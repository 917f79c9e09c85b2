package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script is a connection to an upstream that reads one request and answers with
// fixed bytes and the end of the stream.
type script struct {
	answer *bytes.Reader

	mu       sync.Mutex
	sent     bytes.Buffer
	complete bool
	wake     chan struct{} // closed when the request is complete, or the connection closed
	once     sync.Once
}

func newScript(answer string) *script {
	return &script{answer: bytes.NewReader([]byte(answer)), wake: make(chan struct{})}
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent.Write(p)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(s.sent.Bytes())))
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	// What is no request at all is answered too, in the end.
	if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		s.complete = true
		s.Close()
	}
	return len(p), nil
}

func (s *script) Read(p []byte) (int, error) {
	<-s.wake
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.complete {
		return 0, net.ErrClosed
	}
	return s.answer.Read(p)
}

func (s *script) bytesSent() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.String()
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.wake) })
	return nil
}

func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// outcome is all that a caller sees of an answer. Errors count as such, whatever their text.
type outcome struct {
	Failed         bool
	Hung           bool // until the context ended
	Status, Proto  string
	Code           int
	Header         http.Header
	Length         int64
	Encoding       []string
	Close          bool
	Body           string
	BodyFailed     bool
	Trailer        http.Header
	Informational  []http.Header
	InformationalN []int
}

// exchangeBytes sends a request by rt and returns what came of it.
func exchangeBytes(rt http.RoundTripper, method, body string) outcome {
	var o outcome
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		o.InformationalN = append(o.InformationalN, code)
		o.Informational = append(o.Informational, http.Header(h).Clone())
		return nil
	}}
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, "http://upstream.test/path", rd)
	if err != nil {
		o.Failed = true
		return o
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		o.Failed, o.Hung = true, ctx.Err() != nil
		return o
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	o.Hung = ctx.Err() != nil
	o.Status, o.Proto, o.Code = res.Status, res.Proto, res.StatusCode
	o.Header, o.Length, o.Encoding, o.Close = res.Header, res.ContentLength, res.TransferEncoding, res.Close
	o.Body, o.BodyFailed, o.Trailer = string(got), err != nil, res.Trailer
	return o
}

// hasOddName reports whether a name is no token.
func hasOddName(h http.Header) bool {
	for name := range h {
		if !validName(name) {
			return true
		}
	}
	return false
}

// compareAnswer gives the same bytes to both transports.
func compareAnswer(t *testing.T, method, answer string) {
	t.Helper()
	body := ""
	if method == "POST" {
		body = "body"
	}
	run := func(rt func(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper) (outcome, string) {
		s := newScript(answer)
		defer s.Close()
		dialed := false
		o := exchangeBytes(rt(func(context.Context, string, string) (net.Conn, error) {
			if dialed {
				return nil, errors.New("dialed twice")
			}
			dialed = true
			return s, nil
		}), method, body)
		return o, s.bytesSent()
	}
	want, wantSent := run(func(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
		return &http.Transport{DialContext: dial, DisableCompression: true, MaxResponseHeaderBytes: DefaultMaxResponseHeaderBytes}
	})
	got, gotSent := run(func(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
		return &Transport{Dial: dial}
	})
	if got.Hung {
		t.Errorf("%s answered with %q: hangs", method, answer)
	}
	if slices.ContainsFunc(append(want.Informational, want.Header), hasOddName) {
		if !got.Failed { // net/http lets it pass
			t.Errorf("%s answered with %q: does not fail", method, answer)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s answered with %q (-net/http +ours):\n%s", method, answer, diff)
	}
	if wantSent != gotSent {
		t.Errorf("sent %q, want %q", gotSent, wantSent)
	}
}

// answers are what upstreams say, right or wrong.
var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1  200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK \t\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200\tOK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 +20 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 -20 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 099 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 O\x00K\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 O\rK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\n\r\nx",
	"HTTP/1.1 200 OK\r\nA: b\n\r\n\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	"HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.2 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"http/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\n\r\nuntil the end",
	"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
	"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length:  5  \r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: \t5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\v\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-lower: 1\r\nX-LOWER: 2\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000000\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A, B\r\n\r\n2\r\nhi\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2\r\nhi\r\n0\r\nA: 1\r\nUnannounced: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nUnannounced: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nA: 1",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nbad trailer\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTrailer: A\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + strings.Repeat("x", 5000) + "\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: x\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 102 Processing\r\n\r\n",
	"HTTP/1.1 199 Odd\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nbytes of the new protocol",
	"HTTP/1.1 101 Switching Protocols\r\n\r\nbytes",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nbytes",
	"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 10_000) + "\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 70_000) + "\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 500) + "Content-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: a\r\n\tfolded\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nBad\x00Name: 1\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nB\xc3\xa4d: 1\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: nul\x00\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: bare\rcr\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: del\x7f\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: tab\tand \xff octets\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX:\r\nY: \t \r\nZ:z\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nCache-Control: private\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 1\r\nSet-Cookie: b=2\r\nset-cookie: c=3\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1",
	"HTTP/1.1 200 OK\r\n",
	"HTTP/1.1 2",
	"\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"garbage",
	"GET / HTTP/1.1\r\n\r\n",
	"",
}

func TestAnswersLikeNetHTTP(t *testing.T) {
	quietLog(t)
	for _, answer := range answers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			compareAnswer(t, method, answer)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	quietLog(f)
	for i, answer := range answers {
		f.Add(uint8(i), answer)
	}
	f.Fuzz(func(t *testing.T, method uint8, answer string) {
		compareAnswer(t, []string{"GET", "HEAD", "POST", "DELETE"}[method%4], answer)
	})
}

// quietLog silences net/http, which logs what it reads after an answer.
func quietLog(t testing.TB) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
}

// plain is a request as fuzzing builds it.
type plain struct {
	method, target, host, name, value, body string
	length                                  int64 // declared
	chunked, close, trailer                 bool
}

func (p plain) request() (*http.Request, error) {
	req, err := http.NewRequest("GET", "http://upstream.test:8080/", nil)
	if err != nil {
		return nil, err
	}
	req.Method, req.Host, req.Close = p.method, p.host, p.close
	if req.URL, err = req.URL.Parse(p.target); err != nil {
		return nil, err
	}
	req.URL.Scheme, req.URL.Host, req.URL.Opaque = "http", "upstream.test:8080", ""
	if p.name != "" {
		req.Header[p.name] = []string{p.value, p.value + "2"}
	}
	if p.name != "User-Agent" {
		req.Header["User-Agent"] = []string{""}
	}
	if p.body != "" || p.chunked {
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader(p.body))) // hides WriteTo, which makes one chunk of it
		req.ContentLength = p.length
	}
	if p.chunked {
		req.TransferEncoding = []string{"chunked"}
		req.ContentLength = -1
	}
	if p.trailer {
		req.Trailer = http.Header{"B-Trailer": {"2"}, "A-Trailer": {"1"}}
	}
	return req, nil
}

// compareRequest gives the same request to both transports. Where both send it the bytes
// must be the same, but for where chunks end. Ours may refuse what net/http sends only for the reasons in the
// package's documentation.
func compareRequest(t *testing.T, p plain) {
	t.Helper()
	send := func(rt func(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper) (string, bool) {
		s := newScript("HTTP/1.1 204 No Content\r\n\r\n")
		defer s.Close()
		req, err := p.request()
		if err != nil {
			return "", false
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		res, err := rt(func(context.Context, string, string) (net.Conn, error) { return s, nil }).RoundTrip(req.WithContext(ctx))
		if err != nil {
			return "", false
		}
		res.Body.Close()
		return s.bytesSent(), true
	}
	want, wantOK := send(func(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
		return &http.Transport{DialContext: dial, DisableCompression: true}
	})
	got, gotOK := send(func(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
		return &Transport{Dial: dial}
	})
	if !gotOK && refused(p) {
		return
	}
	if gotOK != wantOK || got != want && oneChunk(got) != oneChunk(want) {
		t.Errorf("%+v:\nsent %v %q\nwant %v %q", p, gotOK, got, wantOK, want)
	}
}

// oneChunk joins the chunks of a body: into how many it is cut is the sender's own affair. What does not read as chunks
// stays as it is.
func oneChunk(message string) string {
	head, rest, ok := strings.Cut(message, "\r\n\r\n")
	if !ok || !strings.Contains(head, "\r\nTransfer-Encoding: chunked") {
		return message
	}
	var body strings.Builder
	for {
		line, after, ok := strings.Cut(rest, "\r\n")
		size, err := strconv.ParseUint(line, 16, 31)
		if !ok || err != nil {
			return message
		}
		if size == 0 {
			return fmt.Sprintf("%s\r\n\r\n%x\r\n%s\r\n0\r\n%s", head, body.Len(), &body, after)
		}
		if uint64(len(after)) < size+2 || after[size:size+2] != "\r\n" {
			return message
		}
		body.WriteString(after[:size])
		rest = after[size+2:]
	}
}

// refused says whether ours may refuse p where net/http does not.
func refused(p plain) bool {
	req, err := p.request()
	if err != nil {
		return true
	}
	for _, own := range []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"} {
		if strings.EqualFold(p.name, own) && p.name != own {
			return true
		}
	}
	return strings.Contains(req.URL.RequestURI(), " ")
}

var requests = []plain{
	{method: "GET", target: "/"},
	{method: "", target: "/"},
	{method: "GET", target: "/a%2fb?x=%20y", host: "example.com"},
	{method: "GET", target: "//double//slash?"},
	{method: "GET", target: "/b?q=a b"},
	{method: "GET", target: "/", host: "[fe80::1%25en0]:80"},
	{method: "GET", target: "/", host: "bad host/"},
	{method: "GET", target: "/", host: "b\u00fccher.example"},
	{method: "GET", target: "/", name: "X-One", value: " 1 "},
	{method: "GET", target: "/", name: "x-lower", value: "1"},
	{method: "GET", target: "/", name: "host", value: "other"},
	{method: "GET", target: "/", name: "Host", value: "other"},
	{method: "GET", target: "/", name: "content-length", value: "7"},
	{method: "GET", target: "/", name: "Content-Length", value: "7"},
	{method: "GET", target: "/", name: "Transfer-Encoding", value: "chunked"},
	{method: "GET", target: "/", name: "Transfer-Encoding", value: "\x10"},
	{method: "GET", target: "/", name: "User-Agent", value: "a\r\nB: c"},
	{method: "GET", target: "/", name: "User-Agent", value: " mine "},
	{method: "GET", target: "/", name: "X-Split", value: "a\r\nB: c"},
	{method: "GET", target: "/", name: "Bad Name", value: "1"},
	{method: "GET", target: "/", name: "Connection", value: "close"},
	{method: "GET", target: "/", close: true},
	{method: "GET", target: "/", close: true, name: "Connection", value: "close"},
	{method: "G T", target: "/"},
	{method: "GET", target: "/", body: "x", length: 1},
	{method: "GET", target: "/", body: "x", length: -1},
	{method: "GET", target: "/", chunked: true},
	{method: "POST", target: "/"},
	{method: "PUT", target: "/", body: "hello", length: 5},
	{method: "POST", target: "/", body: strings.Repeat("long", 10_000), length: 40_000},
	{method: "POST", target: "/", body: "hello", length: 4},
	{method: "POST", target: "/", body: "hello", length: 6},
	{method: "POST", target: "/", body: "hello", length: 0},
	{method: "POST", target: "/", body: "hello", length: -1},
	{method: "POST", target: "/", body: "hello", chunked: true},
	{method: "POST", target: "/", body: strings.Repeat("long", 10_000), chunked: true},
	{method: "POST", target: "/", body: "hello", chunked: true, trailer: true},
	{method: "POST", target: "/", chunked: true, trailer: true},
	{method: "POST", target: "/", body: "hello", length: 5, trailer: true},
	{method: "PURGE", target: "/", body: "hello", length: 5},
	{method: "OPTIONS", target: "*"},
}

func TestRequestsLikeNetHTTP(t *testing.T) {
	for _, p := range requests {
		compareRequest(t, p)
	}
}

func FuzzRequest(f *testing.F) {
	for _, p := range requests {
		f.Add(p.method, p.target, p.host, p.name, p.value, p.body, p.length, p.chunked, p.close, p.trailer)
	}
	f.Fuzz(func(t *testing.T, method, target, host, name, value, body string, length int64, chunked, closing, trailer bool) {
		if method == "CONNECT" || strings.EqualFold(name, "Expect") || strings.EqualFold(name, "Upgrade") {
			return
		}
		compareRequest(t, plain{method, target, host, name, value, body, length, chunked, closing, trailer})
	})
}
