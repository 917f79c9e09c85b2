package opentelemetry

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// accessScope is the instrumentation scope of access logs, in Kong 3.14 too.
const accessScope = "api-access"

// workspace is the one that everything belongs to, with the id that Kong gives it without a database.
// Kong: kong/constants.lua DECLARATIVE_DEFAULT_WORKSPACE_ID
const (
	workspace   = "default"
	workspaceID = "0dc6f45b-8f8d-40d2-a504-473544ee190b"
)

// Bounds of what one access log holds of a request's and an answer's header.
const (
	maxLoggedHeaders = 100
	maxLoggedValue   = 4096 // bytes
	maxLoggedTries   = 20
)

// accessLog makes one log record of each request, with the attributes that Kong 3.14 gives it.
type accessLog struct {
	to      *exporter
	secrets *plugin.Secrets
	known   map[string]loggedHeader // by net/http's form of the name
	custom  plugin.Expressions      // nil: none

	// Attributes of routes and services do not change while a configuration serves; its instances end with it.
	routes, services sync.Map // *entity.Route, *entity.Service → *loggedEntity
}

// loggedHeader is how a header is logged.
type loggedHeader struct {
	request, response string // the attribute's name
	secret            bool
	uri               bool // its value may hold a query
}

// usualHeaders are worked out once.
var usualHeaders = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Age", "Authorization", "Cache-Control", "Connection",
	"Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Date", "Etag", "Expires", "If-None-Match", "Last-Modified",
	"Location", "Origin", "Referer", "Server", "Set-Cookie", "Traceparent", "Tracestate", "Transfer-Encoding", "User-Agent", "Vary",
	"Via", "X-B3-Sampled", "X-B3-Spanid", "X-B3-Traceid", "X-Consumer-Id", "X-Consumer-Username", "X-Forwarded-For",
	"X-Forwarded-Host", "X-Forwarded-Path", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto",
	"X-Kong-Proxy-Latency", "X-Kong-Request-Id", "X-Kong-Response-Latency", "X-Kong-Upstream-Latency", "X-Real-Ip",
	"X-Request-Id",
}

// newAccessLog makes an access log whose records have custom attributes; nil: none.
func newAccessLog(to *exporter, secrets *plugin.Secrets, custom plugin.Expressions) *accessLog {
	l := &accessLog{to: to, secrets: secrets, custom: custom, known: make(map[string]loggedHeader, len(usualHeaders))}
	for _, name := range usualHeaders {
		l.known[name] = l.header(name)
	}
	return l
}

// close lets go of what the log holds.
func (l *accessLog) close() error {
	l.to.release()
	if l.custom != nil {
		return l.custom.Close()
	}
	return nil
}

// header says how a header is logged.
func (l *accessLog) header(name string) loggedHeader {
	if known, ok := l.known[name]; ok {
		return known
	}
	name = strings.ToLower(name)
	return loggedHeader{
		request: "http.request.header." + name, response: "http.response.header." + name,
		secret: l.secrets.Header(name), uri: name == "referer" || name == "location",
	}
}

// accessRecord is the memory that a record is made in.
type accessRecord struct {
	otlp.LogRecord
	entities []byte
}

var accessRecords = sync.Pool{New: func() any { return new(accessRecord) }}

// log hands the record of a complete request to the exporter.
func (l *accessLog) log(ctx *plugin.Context, id tracing.TraceID, sampled bool, resource []byte) {
	r := accessRecords.Get().(*accessRecord)
	r.Time = time.Now()
	r.Resource, r.TraceID, r.SpanID, r.Flags = resource, id, ctx.Root.ID(), 0
	if sampled {
		r.Flags = 1
	}
	path, query, _ := strings.Cut(l.secrets.URI(ctx.ForwardedURI), "?")
	r.Body = ctx.Request.Method + " " + path + " " + strconv.Itoa(ctx.Response.Status) + " " +
		strconv.FormatInt(ctx.Summary.Request.Milliseconds(), 10) + "ms"
	r.describe(ctx, path, query)
	r.describeAnswer(ctx)
	if uri := ctx.Summary.UpstreamURI; uri != "" {
		r.setText("kong.upstream.uri", l.secrets.URI(uri))
	}
	for name, value := range l.headers(ctx.Request.Header) {
		r.setText(name.request, value)
	}
	for name, value := range l.headers(ctx.Response.Header) {
		r.setText(name.response, value)
	}
	r.describeConsumer(ctx)
	r.entities = r.entities[:0]
	if ctx.Route != nil {
		l.addEntity(r, lookUp(&l.routes, ctx.Route, "kong.route"))
	}
	if ctx.Service != nil {
		l.addEntity(r, lookUp(&l.services, ctx.Service, "kong.service"))
	}
	r.Encoded = r.entities
	if l.custom != nil {
		l.custom.Evaluate(ctx, r.edit)
	}
	l.to.queue.Append(&r.LogRecord)
	clear(r.Attributes)
	*r = accessRecord{LogRecord: otlp.LogRecord{Attributes: r.Attributes[:0]}, entities: r.entities}
	accessRecords.Put(r)
}

// edit changes an attribute by what an expression gave for it: text, numbers and booleans as they are, tables as JSON.
func (r *accessRecord) edit(key string, value json.RawMessage, mode string) {
	at := slices.IndexFunc(r.Attributes, func(a tracing.Attr) bool { return a.Key == key })
	exists := at >= 0
	switch {
	case mode == "add" && exists || mode == "replace" && !exists:
	case string(value) == "null":
		if exists {
			r.Attributes = slices.Delete(r.Attributes, at, at+1)
		}
	case exists:
		r.Attributes[at].Value = attributeValue(value)
	default:
		r.set(key, attributeValue(value))
	}
}

// attributeValue is JSON as an attribute's value. Whole numbers are integers.
func attributeValue(value json.RawMessage) tracing.Value {
	switch value[0] {
	case '"':
		var text string
		if json.Unmarshal(value, &text) == nil {
			return tracing.StringValue(text)
		}
	case 't', 'f':
		return tracing.BoolValue(value[0] == 't')
	case '{', '[':
	default:
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
			return tracing.IntValue(n)
		}
		if f, err := strconv.ParseFloat(string(value), 64); err == nil {
			return tracing.FloatValue(f)
		}
	}
	return tracing.StringValue(string(value))
}

func (r *accessRecord) set(key string, value tracing.Value) {
	r.Attributes = append(r.Attributes, tracing.Attr{Key: key, Value: value})
}

func (r *accessRecord) setText(key, value string) { r.set(key, tracing.StringValue(value)) }

func (r *accessRecord) setInt(key string, value int64) { r.set(key, tracing.IntValue(value)) }

// setMilliseconds leaves out what does not apply, which is negative.
func (r *accessRecord) setMilliseconds(key string, d time.Duration) {
	if d >= 0 {
		r.set(key, tracing.FloatValue(float64(d)/float64(time.Millisecond)))
	}
}

func (r *accessRecord) describe(ctx *plugin.Context, path, query string) {
	request := ctx.Request
	r.setText("log.type", "access")
	r.setText("kong.subsystem", "http")
	r.setText("kong.workspace.id", workspaceID)
	r.setText("kong.workspace.name", workspace)
	r.setText("kong.request.id", ctx.RequestID)
	r.setInt("kong.request.started_at", ctx.Arrived.UnixMilli())
	r.setText("client.address", ctx.Client.String())
	r.setText("http.request.method", request.Method)
	r.setText("url.scheme", ctx.Scheme)
	r.setText("url.domain", ctx.Host)
	r.setInt("url.port", int64(ctx.LocalPort))
	r.setText("url.path", path)
	r.setText("url.query", query)
	full := ctx.Scheme + "://" + request.Host + path
	if query != "" {
		full += "?" + query
	}
	r.setText("url.full", full)
	if agent := request.UserAgent(); agent != "" {
		r.setText("user_agent.original", short(agent))
	}
	r.setText("http.request.header.host", request.Host)
	r.setInt("http.request.size", ctx.Summary.BytesReceived)
}

func (r *accessRecord) describeAnswer(ctx *plugin.Context) {
	s := &ctx.Summary
	r.setInt("http.response.status_code", int64(ctx.Response.Status))
	r.setInt("http.response.size", s.BytesSent)
	source := "kong"
	if ctx.Response.Source == plugin.FromService && s.UpstreamStatus != 0 {
		source = "upstream"
	}
	r.setText("kong.response.source", source)
	r.setMilliseconds("kong.latency.total", s.Request)
	r.setMilliseconds("kong.latency.internal", s.Gateway)
	r.setMilliseconds("kong.latency.upstream", s.Upstream)
	r.setMilliseconds("kong.latency.receive", s.Receive)
	if s.UpstreamStatus != 0 {
		r.setInt("kong.upstream.status_code", int64(s.UpstreamStatus))
	}
	for i := range s.Tries[:min(len(s.Tries), maxLoggedTries)] {
		r.describeTry(&tryNames[i], &s.Tries[i])
	}
}

// tryName are the names of what is said of one try.
type tryName struct{ ip, port, start, startNS, latency, latencyNS, state, code string }

var tryNames = func() (names [maxLoggedTries]tryName) {
	for i := range names {
		prefix := "kong.upstream.try." + strconv.Itoa(i+1) + "."
		names[i] = tryName{
			prefix + "ip", prefix + "port", prefix + "balancer_start", prefix + "balancer_start_ns", prefix + "balancer_latency",
			prefix + "balancer_latency_ns", prefix + "state", prefix + "code",
		}
	}
	return names
}()

func (r *accessRecord) describeTry(name *tryName, try *plugin.Try) {
	r.setText(name.ip, try.IP)
	r.setInt(name.port, int64(try.Port))
	r.setInt(name.start, try.Began.UnixMilli())
	r.setInt(name.startNS, try.Began.UnixNano())
	r.setInt(name.latency, try.Duration.Milliseconds())
	r.setInt(name.latencyNS, try.Duration.Nanoseconds())
	if try.State != "" {
		r.setText(name.state, try.State)
		r.setInt(name.code, int64(try.Code))
	}
}

func (r *accessRecord) describeConsumer(ctx *plugin.Context) {
	if consumer := ctx.Consumer; consumer != nil {
		r.setText("kong.auth.consumer.id", consumer.ID)
		if consumer.Username != "" {
			r.setText("kong.auth.consumer.username", consumer.Username)
		}
		if consumer.CustomID != "" {
			r.setText("kong.auth.consumer.custom_id", consumer.CustomID)
		}
	}
	switch credential := ctx.Credential.(type) {
	case *entity.KeyAuthCredential:
		r.setText("kong.auth.type", "key-auth")
		r.setText("kong.auth.authenticated_entity.id", credential.ID)
	case *entity.BasicAuthCredential:
		r.setText("kong.auth.type", "basic-auth")
		r.setText("kong.auth.authenticated_entity.id", credential.ID)
	}
}

// headers runs over a header's fields as they are logged: joined, with secrets masked.
func (l *accessLog) headers(h http.Header) iter.Seq2[loggedHeader, string] {
	return func(yield func(loggedHeader, string) bool) {
		left := maxLoggedHeaders
		for name, values := range h {
			if len(values) == 0 {
				continue
			}
			if left--; left < 0 {
				return
			}
			how, value := l.header(name), values[0]
			switch {
			case how.secret:
				value = plugin.Redacted
			case len(values) > 1:
				value = strings.Join(values, ", ")
			}
			if how.uri {
				value = l.secrets.URI(value)
			}
			if !yield(how, short(value)) {
				return
			}
		}
	}
}

func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxLoggedValue)], "") }

// loggedEntity are an entity's fields as attributes.
type loggedEntity struct {
	attributes []tracing.Attr
	encoded    []byte
}

// addEntity adds an entity's attributes to a record: encoded, unless a custom attribute may change them.
func (l *accessLog) addEntity(r *accessRecord, e *loggedEntity) {
	if l.custom != nil {
		r.Attributes = append(r.Attributes, e.attributes...)
	} else {
		r.entities = append(r.entities, e.encoded...)
	}
}

// lookUp gives an entity's fields as attributes below prefix, from the cache if they are there.
func lookUp[E comparable](cache *sync.Map, e E, prefix string) *loggedEntity {
	if known, ok := cache.Load(e); ok {
		return known.(*loggedEntity)
	}
	attributes := flatten(e, prefix)
	entity := &loggedEntity{attributes, otlp.LogAttributes(nil, attributes...)}
	cache.Store(e, entity)
	return entity
}

// flatten gives an entity's fields, those of lists and records with their place or name behind a dot. Null is left out.
func flatten(e any, prefix string) []tracing.Attr {
	text, err := json.Marshal(e)
	if err != nil {
		return nil // entities came from JSON
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil
	}
	return appendFlat(nil, prefix, value)
}

func appendFlat(attributes []tracing.Attr, key string, value any) []tracing.Attr {
	add := func(v tracing.Value) []tracing.Attr { return append(attributes, tracing.Attr{Key: key, Value: v}) }
	switch value := value.(type) {
	case string:
		return add(tracing.StringValue(value))
	case bool:
		return add(tracing.BoolValue(value))
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return add(tracing.IntValue(n))
		}
		f, _ := value.Float64()
		return add(tracing.FloatValue(f))
	case []any:
		for i, element := range value {
			attributes = appendFlat(attributes, key+"."+strconv.Itoa(i+1), element)
		}
	case map[string]any:
		for name, member := range value {
			attributes = appendFlat(attributes, key+"."+name, member)
		}
	}
	return attributes
}
