package http1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkReverseProxy compares both transports below the same ReverseProxy, over real
// connections on loopback. Client and upstream do as little as they can, so that the
// times are mostly the proxy's; allocations are all but its own.
func BenchmarkReverseProxy(b *testing.B) {
	target, _ := url.Parse(benchUpstream(b).url)
	transports := []struct {
		name string
		rt   http.RoundTripper
	}{
		{"net_http", &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, IdleConnTimeout: 55 * time.Second}},
		{"http1", &Transport{}},
	}
	for _, method := range []string{"GET", "POST"} {
		for _, tr := range transports {
			b.Run(method+"/"+tr.name, func(b *testing.B) {
				front := httptest.NewServer(&httputil.ReverseProxy{
					Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target) },
					Transport:  tr.rt,
					BufferPool: &buffers{},
				})
				defer front.Close()
				defer tr.rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
				b.ReportAllocs()
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					benchClient(b, front.Listener.Addr().String(), method, pb)
				})
			})
		}
	}
}

var kibibyte = strings.Repeat("0123456789abcdef", 64)

// benchUpstream answers with 1 KiB.
func benchUpstream(b *testing.B) *upstream {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n" +
		"X-Request-Id: 0123456789abcdef\r\nContent-Length: 1024\r\n\r\n" + kibibyte)
	return newUpstream(b, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			length := 0
			for {
				line, err := br.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					break
				}
				if strings.HasPrefix(string(line), "Content-Length: 1024") {
					length = 1024
				}
			}
			br.Discard(length)
			c.Write(answer)
		}
	})
}

func benchClient(b *testing.B, addr, method string, pb *testing.PB) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	req := method + " /some/path?q=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
	if method == "POST" {
		req += fmt.Sprintf("Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(kibibyte), kibibyte)
	} else {
		req += "\r\n"
	}
	out := []byte(req)
	br := bufio.NewReader(c)
	for pb.Next() {
		c.Write(out)
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				b.Error(err)
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := br.Discard(len(kibibyte)); err != nil {
			b.Error(err)
			return
		}
	}
}

// BenchmarkTransport is the transport alone.
func BenchmarkTransport(b *testing.B) {
	u := benchUpstream(b)
	tr := &Transport{}
	defer tr.CloseIdleConnections()
	b.ReportAllocs()
	trip := Trip{ConnectTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	for b.Loop() {
		req, _ := http.NewRequestWithContext(b.Context(), "GET", u.url+"/some/path", nil)
		res, err := tr.Do(req, &trip)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

// BenchmarkParsePlainHead reads the head of an ordinary answer.
func BenchmarkParsePlainHead(b *testing.B) {
	head := []byte("HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n" +
		"X-Request-Id: 0123456789abcdef\r\nContent-Length: 1024\r\n\r\n")
	b.ReportAllocs()
	var res http.Response
	for b.Loop() {
		if parsePlainHead(head, &res) != len(head) {
			b.Fatal("not plain")
		}
	}
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if v, ok := b.pool.Get().(*[]byte); ok {
		return *v
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
