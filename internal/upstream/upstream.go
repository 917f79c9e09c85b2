// Package upstream is an HTTP/1.1 server for tests that keeps the exact bytes of each request and answers with the
// exact bytes that it is told to, so that it can misbehave in every way.
package upstream

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Request is one request as it came.
type Request struct {
	Head    string // request line and headers, as on the wire, with the empty line at the end
	Method  string
	Target  string // byte for byte
	Header  http.Header
	Body    string      // without chunk framing
	Trailer http.Header // nil: none
	Err     error       // why the body is not whole
	Conn    int         // number of the connection, from 0 in the order of accepting
}

// A Behaviour answers a request, which has been read whole, by writing to its connection. It reports whether the
// connection may carry another request; false closes it.
type Behaviour func(conn net.Conn, r *Request) (keep bool)

// Upstream is a running server. Its methods may be called at once from several goroutines.
type Upstream struct {
	listener net.Listener
	early    func(conn net.Conn, head *Request) bool

	mu       sync.Mutex
	behave   Behaviour
	requests []Request
	conns    map[net.Conn]struct{}
	accepted int
	arrived  chan struct{} // closed and replaced at each request
	running  sync.WaitGroup
}

// An Option changes an Upstream before it starts.
type Option func(*Upstream)

// TLS makes it speak TLS.
func TLS(config *tls.Config) Option {
	return func(u *Upstream) { u.listener = tls.NewListener(u.listener, config) }
}

// Early is called when a request's head was read and its body was not; false ends the connection.
func Early(f func(conn net.Conn, head *Request) bool) Option {
	return func(u *Upstream) { u.early = f }
}

// Start runs an upstream on a loopback port until the test ends. A nil behaviour is Answer("").
func Start(t testing.TB, behave Behaviour, options ...Option) *Upstream {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &Upstream{listener: listener, behave: behave, conns: map[net.Conn]struct{}{}, arrived: make(chan struct{})}
	for _, option := range options {
		option(u)
	}
	u.running.Go(u.accept)
	t.Cleanup(u.Stop)
	return u
}

// Address is the host and port.
func (u *Upstream) Address() string { return u.listener.Addr().String() }

// URL is the address as a service's url.
func (u *Upstream) URL() string { return "http://" + u.Address() }

// Behave makes each further request meet b.
func (u *Upstream) Behave(b Behaviour) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.behave = b
}

// Requests are all requests in the order in which they were read.
func (u *Upstream) Requests() []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.requests)
}

// Wait returns the requests as soon as there are n.
func (u *Upstream) Wait(n int, timeout time.Duration) ([]Request, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		u.mu.Lock()
		requests, arrived := slices.Clone(u.requests), u.arrived
		u.mu.Unlock()
		if len(requests) >= n {
			return requests, nil
		}
		select {
		case <-arrived:
		case <-timer.C:
			return requests, fmt.Errorf("wait for %d requests: %d after %v", n, len(requests), timeout)
		}
	}
}

// CloseConnections cuts all connections; new ones are accepted.
func (u *Upstream) CloseConnections() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for conn := range u.conns {
		conn.Close()
	}
}

// Stop closes the port and all connections, and waits for what runs on them.
func (u *Upstream) Stop() {
	u.listener.Close()
	u.CloseConnections()
	u.running.Wait()
}

func (u *Upstream) accept() {
	for {
		conn, err := u.listener.Accept()
		if err != nil {
			return
		}
		u.mu.Lock()
		number := u.accepted
		u.accepted++
		u.conns[conn] = struct{}{}
		u.mu.Unlock()
		u.running.Go(func() {
			u.serve(conn, number)
			conn.Close()
			u.mu.Lock()
			delete(u.conns, conn)
			u.mu.Unlock()
		})
	}
}

func (u *Upstream) serve(conn net.Conn, number int) {
	br := bufio.NewReader(conn)
	for {
		r, err := readHead(br)
		if err != nil {
			return
		}
		r.Conn = number
		if u.early != nil && !u.early(conn, r) {
			u.note(r)
			return
		}
		r.readBody(br)
		behave := u.note(r)
		if behave == nil {
			behave = Answer("")
		}
		if !behave(conn, r) || r.Err != nil {
			return
		}
	}
}

func (u *Upstream) note(r *Request) Behaviour {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = append(u.requests, *r)
	close(u.arrived)
	u.arrived = make(chan struct{})
	return u.behave
}

func readHead(br *bufio.Reader) (*Request, error) {
	var head bytes.Buffer
	for {
		line, err := br.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		head.Write(line)
		if string(line) == "\r\n" {
			break
		}
	}
	r := &Request{Head: head.String()}
	line, fields, _ := strings.Cut(r.Head, "\r\n")
	var ok bool
	if r.Method, line, ok = strings.Cut(line, " "); !ok {
		return nil, errors.New("no request line")
	}
	r.Target, _, _ = strings.Cut(line, " HTTP/")
	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(fields))).ReadMIMEHeader()
	r.Header = http.Header(header)
	return r, err
}

func (r *Request) readBody(br *bufio.Reader) {
	var body []byte
	switch {
	case r.Header.Get("Transfer-Encoding") == "chunked":
		body, r.Err = io.ReadAll(httputil.NewChunkedReader(br))
		if r.Err == nil {
			var trailer textproto.MIMEHeader
			trailer, r.Err = textproto.NewReader(br).ReadMIMEHeader()
			if len(trailer) > 0 {
				r.Trailer = http.Header(trailer)
			}
		}
	case r.Header.Get("Content-Length") != "":
		var n int
		if n, r.Err = strconv.Atoi(r.Header.Get("Content-Length")); r.Err == nil {
			body = make([]byte, n)
			n, r.Err = io.ReadFull(br, body)
			body = body[:n]
		}
	}
	r.Body = string(body)
}
