package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The protocols that the matrix below puts on either side of the gateway.
var (
	clientSides = []struct {
		name    string
		version int
		tls     bool
	}{{"HTTP1", 1, false}, {"HTTPS1", 1, true}, {"h2c", 2, false}, {"h2", 2, true}}
	upstreamSides = []struct {
		name, scheme string
		version      int
		tls          bool
	}{{"http", "http", 1, false}, {"https", "https", 1, true}, {"grpc", "grpc", 2, false}, {"grpcs", "grpcs", 2, true}}
)

// peers is one cell of the matrix: a client, the gateway and a real net/http server as the upstream.
type peers struct {
	*env
	t      *testing.T
	client *http.Transport
	kind   string // content type of all requests
}

// newPeers starts a cell. The upstream hands its requests to handler.
func newPeers(t *testing.T, clientVersion int, clientTLS bool, scheme string, upstreamVersion int, upstreamTLS bool, handler http.HandlerFunc) *peers {
	t.Helper()
	backend := httptest.NewUnstartedServer(handler)
	backend.Config.ErrorLog = log.New(io.Discard, "", 0)
	backend.Config.Protocols = new(http.Protocols)
	switch {
	case upstreamVersion == 1:
		backend.Config.Protocols.SetHTTP1(true)
	case upstreamTLS:
		backend.Config.Protocols.SetHTTP2(true)
		backend.EnableHTTP2 = true
	default:
		backend.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	if upstreamTLS {
		backend.StartTLS()
	} else {
		backend.Start()
	}
	t.Cleanup(func() {
		backend.CloseClientConnections()
		backend.Close()
	})
	protocols, kind := "[http, https]", "text/plain"
	if upstreamVersion == 2 {
		protocols, kind = "[grpc, grpcs]", "application/grpc"
	}
	_, address, _ := strings.Cut(backend.URL, "://")
	config := fmt.Sprintf("services:\n- name: backend\n  url: %s://%s\n  routes:\n  - {name: all, protocols: %s, paths: [/]}\n%s", scheme, address, protocols, global)
	s := setup{config: config, server: http2(nil)}
	client := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols), ExpectContinueTimeout: 5 * time.Second}
	if clientTLS {
		pair := newAuthority(t, "test CA", nil).issue(false, "gateway.test")
		s.server = http2(&pair)
		client.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	switch {
	case clientVersion == 1:
		client.Protocols.SetHTTP1(true)
	case clientTLS:
		client.Protocols.SetHTTP2(true)
	default:
		client.Protocols.SetUnencryptedHTTP2(true)
	}
	e := start(t, s)
	t.Cleanup(client.CloseIdleConnections)
	return &peers{env: e, t: t, client: client, kind: kind}
}

// send makes a request; body nil is none.
func (p *peers) send(ctx context.Context, method, target string, body io.Reader, header ...string) *http.Response {
	p.t.Helper()
	r := p.request(method, target, body, append(header, "Content-Type: "+p.kind)...).WithContext(ctx)
	res, err := p.client.RoundTrip(r)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, target, err)
	}
	p.t.Cleanup(func() { res.Body.Close() })
	return res
}

// noise is bytes of every value that are the same for the same seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(b)
	return b
}

// chunked hides a body's length.
func chunked(body []byte) io.Reader { return io.MultiReader(bytes.NewReader(body)) }

// TestProtocols carries each case between every protocol on either side.
func TestProtocols(t *testing.T) {
	for _, from := range clientSides {
		for _, to := range upstreamSides {
			if from.version == 1 && to.version == 2 {
				continue // 426: TestGRPCRefused
			}
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				for _, c := range protocolCases {
					t.Run(c.name, func(t *testing.T) {
						c.run(newPeers(t, from.version, from.tls, to.scheme, to.version, to.tls, c.handler))
					})
				}
			})
		}
	}
}

var protocolCases = []struct {
	name    string
	handler http.HandlerFunc
	run     func(*peers)
}{
	{
		"declared bodies", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Header().Set("X-Declared", fmt.Sprint(r.ContentLength))
			_, _ = w.Write(body)
		},
		func(p *peers) {
			for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 1 << 20} {
				body := noise(1, size)
				res := p.send(p.t.Context(), "POST", "/", bytes.NewReader(body))
				got, err := io.ReadAll(res.Body)
				if err != nil || !bytes.Equal(got, body) || res.ContentLength != int64(size) || res.Header.Get("X-Declared") != fmt.Sprint(size) {
					p.t.Errorf("%d bytes: got %d, declared %d and %s, %v", size, len(got), res.ContentLength, res.Header.Get("X-Declared"), err)
				}
			}
		},
	},
	{
		// The client sends each piece after it has got the one before: neither side may wait for the whole.
		"ping-pong", func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			w.WriteHeader(200)
			_ = rc.Flush()
			buf := make([]byte, 64<<10)
			for {
				n, err := r.Body.Read(buf)
				if _, failed := w.Write(buf[:n]); failed != nil || err != nil {
					return
				}
				_ = rc.Flush()
			}
		},
		func(p *peers) {
			body, pieces := io.Pipe()
			ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
			defer cancel()
			go func() { _, _ = pieces.Write([]byte("first")) }()
			res := p.send(ctx, "POST", "/", body)
			got := make([]byte, 5)
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != "first" {
				p.t.Fatalf("got %q, %v", got, err)
			}
			for i := range 20 {
				piece := noise(uint64(i), 1+i*5000)
				go func() { _, _ = pieces.Write(piece) }()
				got := make([]byte, len(piece))
				if _, err := io.ReadFull(res.Body, got); err != nil || !bytes.Equal(got, piece) {
					p.t.Fatalf("piece %d came back different, %v", i, err)
				}
			}
			pieces.Close()
			if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
				p.t.Errorf("after the end %d bytes, %v", len(rest), err)
			}
		},
	},
	{
		"echo as it comes", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
		},
		func(p *peers) {
			body := noise(2, 5<<20)
			res := p.send(p.t.Context(), "PUT", "/", chunked(body))
			got, err := io.ReadAll(res.Body)
			if err != nil || sha256.Sum256(got) != sha256.Sum256(body) {
				p.t.Errorf("sent %d bytes, got back %d others, %v", len(body), len(got), err)
			}
		},
	},
	{
		"trailers", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Trailer", "X-Declared")
			_, _ = w.Write(body)
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("X-Declared", r.Trailer.Get("X-Up"))
			w.Header().Set(http.TrailerPrefix+"X-Late", "late")
		},
		func(p *peers) {
			r := p.request("POST", "/", chunked([]byte("body")), "Content-Type: "+p.kind, "Te: trailers")
			r.Trailer = http.Header{"X-Up": {"up"}}
			res, err := p.client.RoundTrip(r)
			if err != nil {
				p.t.Fatal(err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil || string(got) != "body" || res.Trailer.Get("X-Declared") != "up" || res.Trailer.Get("X-Late") != "late" {
				p.t.Errorf("%q, %v, trailer %v", got, err, res.Trailer)
			}
		},
	},
	{
		"early hints", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 3 {
				w.Header().Set("Link", fmt.Sprintf("</%d.css>", i))
				w.WriteHeader(103)
			}
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "final")
		},
		func(p *peers) {
			var hints []string
			ctx := httptrace.WithClientTrace(p.t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					hints = append(hints, fmt.Sprint(code, h.Get("Link")))
					return nil
				},
			})
			res := p.send(ctx, "GET", "/", nil)
			got, err := io.ReadAll(res.Body)
			if err != nil || string(got) != "final" || res.StatusCode != 200 || res.Header.Get("Link") != "" ||
				strings.Join(hints, " ") != "103</0.css> 103</1.css> 103</2.css>" {
				p.t.Errorf("%d %q, %v, hints %q", res.StatusCode, got, err, hints)
			}
		},
	},
	{
		"expect", func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err, r.Header["Expect"])
		},
		func(p *peers) {
			for _, size := range []int{100, 100_000} {
				begun := time.Now()
				res := p.send(p.t.Context(), "POST", "/", bytes.NewReader(noise(3, size)), "Expect: 100-continue")
				got, err := io.ReadAll(res.Body)
				if want := fmt.Sprint(size, nil, []string(nil)); err != nil || string(got) != want {
					p.t.Errorf("got %q, %v, want %q", got, err, want)
				}
				if took := time.Since(begun); took > 3*time.Second {
					p.t.Errorf("took %v", took)
				}
			}
		},
	},
	{
		"bodiless", func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/head":
				w.Header().Set("Content-Length", "12345")
			case "/204":
				w.WriteHeader(204)
			case "/304":
				w.Header().Set("Etag", `"x"`)
				w.WriteHeader(304)
			}
		},
		func(p *peers) {
			for _, c := range []struct {
				method, target string
				status         int
				length         int64
			}{{"HEAD", "/head", 200, 12345}, {"GET", "/204", 204, 0}, {"HEAD", "/204", 204, -2}, {"GET", "/304", 304, -2}, {"GET", "/", 200, 0}} {
				res := p.send(p.t.Context(), c.method, c.target, nil)
				got, err := io.ReadAll(res.Body)
				if err != nil || len(got) > 0 || res.StatusCode != c.status || c.length > -2 && res.ContentLength != c.length {
					p.t.Errorf("%s %s: %d, %q, %d declared, %v", c.method, c.target, res.StatusCode, got, res.ContentLength, err)
				}
			}
		},
	},
	{
		// An upstream that has its answer before it has read the request: a client that stops then gets it whole, though
		// its request never ends.
		"early answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(413)
			_, _ = w.Write(noise(4, 100_000))
		},
		func(p *peers) {
			body, pieces := io.Pipe()
			defer body.Close()
			var answered atomic.Bool
			go func() {
				for i := 0; i < 10_000 && !answered.Load(); i++ { // 100 MB, unless there is an answer
					if _, err := pieces.Write(noise(uint64(i), 10_000)); err != nil {
						return
					}
					if i > 50 {
						time.Sleep(2 * time.Millisecond)
					}
				}
			}()
			ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
			defer cancel()
			res := p.send(ctx, "POST", "/", body)
			answered.Store(true)
			got, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 413 || !bytes.Equal(got, noise(4, 100_000)) {
				p.t.Errorf("%d, %d bytes, %v", res.StatusCode, len(got), err)
			}
		},
	},
	{
		"headers", func(w http.ResponseWriter, r *http.Request) {
			for _, value := range r.Header["X-Many"] {
				w.Header().Add("X-Back", value)
			}
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.Header().Set("X-Long", strings.Repeat("x", 20_000))
		},
		func(p *peers) {
			many := []string{"one", "two, three", "", "fünf", "\"quoted, comma\""}
			header := make([]string, 0, len(many))
			for _, value := range many {
				header = append(header, "X-Many: "+value)
			}
			res := p.send(p.t.Context(), "GET", "/", nil, header...)
			if fmt.Sprintf("%q", res.Header["X-Back"]) != fmt.Sprintf("%q", many) || len(res.Header["Set-Cookie"]) != 2 || len(res.Header.Get("X-Long")) != 20_000 {
				p.t.Errorf("got %.1000v", res.Header)
			}
		},
	},
	{
		"broken off", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(noise(5, 10_000))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		func(p *peers) {
			res := p.send(p.t.Context(), "GET", "/", nil)
			got, err := io.ReadAll(res.Body)
			if err == nil {
				p.t.Errorf("%d bytes passed for the whole", len(got))
			}
			if try := p.spans().named(p.t, "kong.balancer"); !failed(try) || len(try.Events) != 1 {
				p.t.Errorf("kong.balancer %v", try)
			}
		},
	},
}
