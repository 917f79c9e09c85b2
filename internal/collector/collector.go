// Package collector is a receiver of OTLP over HTTP for tests: it decodes and keeps what it is sent, and
// misbehaves when it is told to.
package collector

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	logscollectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricscollectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sidekong/internal/loopback"
)

// maxBody bounds a request's body, as sent and as decompressed.
const maxBody = 64 << 20

// Span is a received span with what surrounds it.
type Span struct {
	*tracepb.Span
	Resource map[string]any // attributes: string, bool, int64, float64, []byte, []any or map[string]any
	Scope    string         // the instrumentation scope's name
}

// Attribute gives the value of an attribute in the types of Resource, or nil.
func (s Span) Attribute(key string) any { return attributes(s.Attributes)[key] }

// Log is a received log record with what surrounds it, as a Span.
type Log struct {
	*logspb.LogRecord
	Resource map[string]any
	Scope    string
}

// Attribute gives the value of an attribute in the types of Resource, or nil.
func (l Log) Attribute(key string) any { return attributes(l.Attributes)[key] }

// Metric is a received metric with what surrounds it, as a Span.
type Metric struct {
	*metricspb.Metric
	Resource map[string]any
	Scope    string
}

// Attributes gives attributes, of a metric's point for example, in the types of Resource.
func Attributes(pairs []*commonpb.KeyValue) map[string]any { return attributes(pairs) }

// Request is a post as it came.
type Request struct {
	Method string
	URI    string // as on the request line
	Host   string
	Header http.Header
	Size   int   // bytes of the body as sent
	Spans  int   // spans, log records or metrics in it
	Err    error // why the body could not be read or decoded
	Time   time.Time
}

// Collector is a running receiver. Its methods may be called at once from several goroutines.
type Collector struct {
	address string
	tls     *tls.Config // nil: plain HTTP

	mu       sync.Mutex
	server   *httptest.Server // nil while stopped
	stop     context.CancelFunc
	behave   Behaviour
	spans    []Span
	logs     []Log
	metrics  []Metric
	requests []Request
	arrived  chan struct{} // closed and replaced at each arrival
}

// Start runs a collector on a loopback port until the test ends.
func Start(t testing.TB) *Collector { return start(t, nil) }

// StartTLS runs one that speaks HTTPS with config, which holds a certificate at least.
func StartTLS(t testing.TB, config *tls.Config) *Collector { return start(t, config) }

func start(t testing.TB, config *tls.Config) *Collector {
	t.Helper()
	c := &Collector{address: loopback.Address(t), tls: config, arrived: make(chan struct{})}
	if err := c.Restart(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// URL is the address of the traces endpoint: http://127.0.0.1:PORT/v1/traces. Any other path works as well, but for
// those of logs and metrics.
func (c *Collector) URL() string { return c.url() + "/v1/traces" }

// LogsURL is the address of the logs endpoint. Any path that ends like it works as well.
func (c *Collector) LogsURL() string { return c.url() + "/v1/logs" }

// MetricsURL is the address of the metrics endpoint. Any path that ends like it works as well.
func (c *Collector) MetricsURL() string { return c.url() + "/v1/metrics" }

func (c *Collector) url() string {
	scheme := "http"
	if c.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + c.address
}

// Address is the host and port.
func (c *Collector) Address() string { return c.address }

// Stop closes the port and all connections: connecting is refused until Restart.
func (c *Collector) Stop() {
	c.mu.Lock()
	server, stop := c.server, c.stop
	c.server = nil
	c.mu.Unlock()
	if server != nil {
		stop()
		server.CloseClientConnections()
		server.Close()
	}
}

// Restart listens on the same port again. What was received is kept.
func (c *Collector) Restart() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		return errors.New("restart collector: it is running")
	}
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		return fmt.Errorf("start collector: %w", err)
	}
	c.address = listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	server := &httptest.Server{Listener: listener, Config: &http.Server{
		Handler:           http.HandlerFunc(c.serve),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          discardLog,
	}}
	if c.tls != nil {
		server.TLS = c.tls.Clone()
		server.StartTLS()
	} else {
		server.Start()
	}
	c.server, c.stop = server, stop
	return nil
}

// Behave makes each further request meet b; nil: the collector behaves.
func (c *Collector) Behave(b Behaviour) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behave = b
}

// Spans are the accepted spans in the order of arrival.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Logs are the accepted log records in the order of arrival.
func (c *Collector) Logs() []Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.logs)
}

// Metrics are the accepted metrics in the order of arrival.
func (c *Collector) Metrics() []Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.metrics)
}

// Requests are all requests, those with a bad answer too, in the order of arrival.
func (c *Collector) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Forget drops all that was received so far.
func (c *Collector) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans, c.logs, c.metrics, c.requests = nil, nil, nil, nil
}

// Wait returns the spans as soon as n were accepted. The error says how many there are when the time is over.
func (c *Collector) Wait(n int, timeout time.Duration) ([]Span, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		c.mu.Lock()
		spans, arrived := slices.Clone(c.spans), c.arrived
		c.mu.Unlock()
		if len(spans) >= n {
			return spans, nil
		}
		select {
		case <-arrived:
		case <-timer.C:
			return spans, fmt.Errorf("wait for %d spans: %d after %v", n, len(spans), timeout)
		}
	}
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	request := Request{Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Time: time.Now()}
	body := &countingReader{r: http.MaxBytesReader(w, r.Body, maxBody)}
	load, err := decode(body, r.Header.Get("Content-Encoding"), r.URL.Path)
	request.Size, request.Spans, request.Err = body.n, load.len(), err

	c.mu.Lock()
	c.requests = append(c.requests, request)
	behave := c.behave
	c.mu.Unlock()

	answer := &answerWriter{ResponseWriter: w, spans: load.len()}
	if behave == nil || !behave(answer, r) {
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
		} else {
			writeResponse(answer, &collectorpb.ExportTraceServiceResponse{})
		}
	}
	if answer.status/100 == 2 {
		c.accept(load, answer.rejected)
	}
}

// load is what a post carries: records of one signal.
type load struct {
	spans   []Span
	logs    []Log
	metrics []Metric
}

func (l *load) len() int { return len(l.spans) + len(l.logs) + len(l.metrics) }

// accept keeps all but the first rejected records.
func (c *Collector) accept(l load, rejected int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, l.spans[min(rejected, len(l.spans)):]...)
	c.logs = append(c.logs, l.logs[min(rejected, len(l.logs)):]...)
	c.metrics = append(c.metrics, l.metrics[min(rejected, len(l.metrics)):]...)
	close(c.arrived)
	c.arrived = make(chan struct{})
}

func decode(body io.Reader, encoding, path string) (load, error) {
	switch encoding {
	case "":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return load{}, fmt.Errorf("read body: %w", err)
		}
		body = unzipped
	default:
		return load{}, fmt.Errorf("read body: unknown encoding %q", encoding)
	}
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return load{}, fmt.Errorf("read body: %w", err)
	}
	if len(data) > maxBody {
		return load{}, errors.New("read body: too large")
	}
	switch {
	case strings.HasSuffix(path, "/v1/logs"):
		return decodeLogs(data)
	case strings.HasSuffix(path, "/v1/metrics"):
		return decodeMetrics(data)
	default:
		return decodeSpans(data)
	}
}

func decodeSpans(data []byte) (l load, err error) {
	var message collectorpb.ExportTraceServiceRequest
	if err := unmarshal(data, &message); err != nil {
		return load{}, err
	}
	for _, resource := range message.ResourceSpans {
		around := attributes(resource.Resource.GetAttributes())
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				l.spans = append(l.spans, Span{Span: span, Resource: around, Scope: scope.Scope.GetName()})
			}
		}
	}
	return l, nil
}

func decodeLogs(data []byte) (l load, err error) {
	var message logscollectorpb.ExportLogsServiceRequest
	if err := unmarshal(data, &message); err != nil {
		return load{}, err
	}
	for _, resource := range message.ResourceLogs {
		around := attributes(resource.Resource.GetAttributes())
		for _, scope := range resource.ScopeLogs {
			for _, record := range scope.LogRecords {
				l.logs = append(l.logs, Log{LogRecord: record, Resource: around, Scope: scope.Scope.GetName()})
			}
		}
	}
	return l, nil
}

func decodeMetrics(data []byte) (l load, err error) {
	var message metricscollectorpb.ExportMetricsServiceRequest
	if err := unmarshal(data, &message); err != nil {
		return load{}, err
	}
	for _, resource := range message.ResourceMetrics {
		around := attributes(resource.Resource.GetAttributes())
		for _, scope := range resource.ScopeMetrics {
			for _, metric := range scope.Metrics {
				l.metrics = append(l.metrics, Metric{Metric: metric, Resource: around, Scope: scope.Scope.GetName()})
			}
		}
	}
	return l, nil
}

func unmarshal(data []byte, message proto.Message) error {
	if err := proto.Unmarshal(data, message); err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	return nil
}

func attributes(pairs []*commonpb.KeyValue) map[string]any {
	out := make(map[string]any, len(pairs))
	for _, pair := range pairs {
		out[pair.Key] = value(pair.Value)
	}
	return out
}

func value(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return v.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		out := []any{}
		for _, element := range v.ArrayValue.GetValues() {
			out = append(out, value(element))
		}
		return out
	case *commonpb.AnyValue_KvlistValue:
		return attributes(v.KvlistValue.GetValues())
	}
	return nil
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
