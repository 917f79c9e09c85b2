package main

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// targets is how many addresses the backend has, all with the same port.
const targets = 100

// bodySize is the length of the backend's answer, in bytes.
const bodySize = 1024

// serve serves until ctx ends, on 127.0.0.1 and as many loopback addresses after it. It prints its address first.
func serve(ctx context.Context, addresses int, handler http.Handler) error {
	var config net.ListenConfig
	first, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := first.Addr().(*net.TCPAddr).Port
	listeners := []net.Listener{first}
	for i := 2; i <= addresses; i++ {
		listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.%d:%d", i, port))
		if err != nil {
			return err
		}
		listeners = append(listeners, listener)
	}
	fmt.Println(first.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	ended := make(chan error)
	for _, listener := range listeners {
		go func() { ended <- server.Serve(listener) }()
	}
	for range listeners {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

// jsonAddress is where the backend answers with JSON; elsewhere it does with text.
const jsonAddress = targets + 1

func backend() http.Handler {
	var bodies [16][]byte
	for i := range bodies {
		bodies[i] = []byte(people(i))
	}
	text, answers := []byte(strings.Repeat("x", bodySize)), new(atomic.Uint32)
	plain, coded := []string{"text/plain"}, []string{"application/json"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		contentType, body := plain, text
		if address, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && address.IP[len(address.IP)-1] == jsonAddress {
			contentType, body = coded, bodies[answers.Add(1)%uint32(len(bodies))]
		}
		w.Header()["Content-Type"] = contentType
		_, _ = w.Write(body)
	})
}

// people is JSON as an API answers with, of bodySize bytes and 45 members. Their values differ with n.
func people(n int) string {
	var b strings.Builder
	b.WriteString(`{"kind":"person","items":[`)
	for i := range 7 {
		name := [...]string{"Ann Example", "Bo Li", "Jean-Baptiste Doe", "Zoe Blum", "Emile Roy"}[(n+i)%5]
		fmt.Fprintf(&b, `{"id":%d,"name":%q,"email":"p%d@example.test","active":%t,"tags":["a","b%d"],"created_at":"2026-01-%02dT03:%02d:05Z"},`,
			40*n+i, name, 17*n*i, (n+i)%3 > 0, n, n+i+1, n*3)
	}
	text := strings.TrimSuffix(b.String(), ",") + `],"next":"`
	return text + strings.Repeat("n", bodySize-len(text)-2) + `"}`
}

// counts is what a sink has received.
type counts struct{ Posts, Spans, Bytes int64 }

// sink is an OTLP receiver, over HTTP and gRPC on one port, that counts. GET /counts tells.
type sink struct{ posts, spans, bytes atomic.Int64 }

// maxPost bounds what the sink reads of one post, in bytes.
const maxPost = 64 << 20

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/counts" {
		_ = json.NewEncoder(w).Encode(counts{s.posts.Load(), s.spans.Load(), s.bytes.Load()})
		return
	}
	grpc := strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPost))
	size := len(body)
	compressed := r.Header.Get("Content-Encoding") == "gzip"
	if err == nil && grpc { // a byte that says whether the message is compressed, four of its length
		if len(body) < 5 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-5 {
			err = errors.New("not one gRPC message")
		} else {
			compressed, body = body[0] == 1, body[5:]
		}
	}
	if err == nil && compressed {
		body, err = unzip(body)
	}
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			s.spans.Add(int64(len(scope.Spans)))
		}
	}
	s.posts.Add(1)
	s.bytes.Add(int64(size))
	if !grpc {
		w.Header().Set("Content-Type", "application/x-protobuf")
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(make([]byte, 5)) // an empty message
	w.Header().Set("Grpc-Status", "0")
}

func unzip(body []byte) ([]byte, error) {
	reader, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(reader, maxPost))
}
