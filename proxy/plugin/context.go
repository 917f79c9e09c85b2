package plugin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"sidekong/configs/entity"
	"sidekong/tracing"
)

// Source says who made the answer. Kong: kong/pdk/response.lua get_source
type Source uint8

// The makers of an answer.
const (
	FromService Source = iota // the upstream answered
	FromExit                  // a plugin answered
	FromError                 // the gateway answered for a fault
)

// Response is the answer's head while plugins see it.
type Response struct {
	Status int
	Header http.Header
	Source Source
	Body   []byte // the upstream's whole body where Outgoing.Buffered asked for it; else nil
}

// Answer is what a plugin that exits sends instead of going on.
type Answer struct {
	Status  int
	Header  http.Header
	Body    []byte
	Source  Source // FromService stands for FromExit: a plugin never answers for the upstream
	Chunked bool   // the length is not declared
	Abort   bool   // the connection is closed without an answer
}

// Outgoing is what plugins change about the request that goes upstream, up to the access phase. Zero values and nil
// leave things as routing and the service have them.
type Outgoing struct {
	Method, Scheme string
	Path           *string // escaped, without query
	Query          *string // raw, without the question mark; empty: none
	Host           string  // the Host header
	Body           *[]byte // in the place of the client's; SetBody sets it
	TargetHost     string  // connect here, no balancer; the Host header too unless Host says otherwise. Kong: kong.service.set_target
	TargetPort     int
	Upstream       string // name of an Upstream entity. Kong: kong.service.set_upstream
	Retries        *int
	ConnectTimeout time.Duration
	WriteTimeout   time.Duration
	ReadTimeout    time.Duration
	Buffered       bool // read the whole answer before its header filter phase
}

// Summary is how the request went. It is complete in the log phase.
type Summary struct {
	BytesReceived  int64  // of head and body, as far as it is known
	BytesSent      int64  // of head and body
	UpstreamURI    string // path and query that went upstream, "" where nothing did
	UpstreamStatus int    // that the upstream answered with, 0 without an answer
	Tries          []Try
	// Latencies as Kong measures them. Negative: it does not apply. Kong: kong/init.lua, kong/pdk/log.lua
	Request, Gateway, Upstream, Receive time.Duration
	Fault                               error // why the answer is not whole, nil if it is
}

// Try is one attempt to send the request to an upstream. Kong: kong/runloop/balancer/init.lua balancer_data.tries
type Try struct {
	Began    time.Time
	Duration time.Duration // of picking the address. Kong: balancer_latency
	IP       string
	Port     int
	Code     int    // of a failed try
	State    string // of a failed try: "failed" or "next"
}

// Notes are what plugins can tell of a request beyond its spans, to somebody who looks at it.
type Notes struct {
	TraceIn, TraceOut [][2]string // headers with trace context as they came in and as they went upstream
	Sampling          string      // why the trace is, or is not, sampled
	Dropped           bool        // it was recorded, but is kept from the exporters
	// Spans are the trace as it was handed to an exporter, complete: the "spans" fields of an OTLP ScopeSpans message.
	// Empty where it was not, or where its spans have a resource of their own.
	Spans []byte
}

// keepSpans is the largest buffer that Notes keep for the next request, in bytes.
const keepSpans = 64 << 10

// Reset makes the notes ready for another request.
func (n *Notes) Reset() {
	spans := n.Spans[:0]
	if cap(spans) > keepSpans {
		spans = nil
	}
	clear(n.TraceIn)
	clear(n.TraceOut)
	*n = Notes{TraceIn: n.TraceIn[:0], TraceOut: n.TraceOut[:0], Spans: spans}
}

// Context is one request as plugins see it. It belongs to the request: nobody keeps it, or what hangs on it, beyond
// the log phase.
type Context struct {
	Request   *http.Request // as it came in. Header is what goes upstream: changes made up to the access phase count
	RequestID string        // 32 hexadecimal digits
	Logger    *slog.Logger

	Peer         netip.Addr // who is connected to us
	PeerText     string     // Peer in words
	Client       netip.Addr // who asks, by real_ip_header where the peer is trusted
	PeerTrusted  bool
	Edge         bool   // the caller is a stranger: its trace is linked to, not continued
	Scheme       string // http or https, of the listener
	Host         string // the Host header without its port, lower case
	ForwardedURI string // path and query as the client sent them
	PeerPort     uint16

	Route      *entity.Route    // nil where none matched
	Service    *entity.Service  // nil where none belongs to the route
	Consumer   *entity.Consumer // nil until an authentication plugin names one
	Credential any              // what proved the consumer: *entity.KeyAuthCredential, *entity.BasicAuthCredential

	Trace    *tracing.Trace // nil when tracing is off
	Root     tracing.Span
	Span     tracing.Span   // the running plugin's own span where its phase is traced, else the root
	Outbound tracing.SpanID // id of the span that the request to the upstream belongs to; it is always exported
	// OutboundIsRoot tells that Outbound is the root's id: tries have no span of their own.
	OutboundIsRoot bool

	Arrived    time.Time
	ClientPort uint16 // of Client, where it is known
	LocalPort  uint16 // that the client connected to

	// Captures are those of the route's path by name or number; nil: none.
	Captures map[string]string
	// UpstreamPath is the path, without query, that routing chose; "" before.
	UpstreamPath string
	Outgoing     Outgoing
	// Early is the part of the answer's header that is known before there is an answer. It takes the place of headers of
	// the same name in whatever answer there will be. nil: none.
	Early http.Header

	Response Response // from the header filter phase on
	Summary  Summary  // in the log phase

	// Notes, where they are not nil, are filled in by plugins: somebody looks.
	Notes *Notes

	// Shared are values that plugins share for the length of the request, as text. Kong: kong.ctx.shared
	Shared func(name string) (string, bool)

	body   []byte // the client's, where bodied tells that it was read whole
	bodied bool
	logged []LogValue
	values []value

	chain    *Chain
	chosen   []*bound
	states   []any // by kind
	step     int
	answer   *Answer
	active   tracing.Span   // zero: the root
	outer    tracing.Span   // what was active before the running plugin's own span
	inactive bool           // a plugin said that no span is active
	filters  []tracing.Span // of the body filter phase, by step; made where that is traced
}

// value is one of those that SetValue keeps.
type value struct{ key, value any }

// Exit answers the request here. What is left of the access phase is skipped, the later phases run.
// Kong: kong/pdk/response.lua exit
func (c *Context) Exit(answer Answer) { c.answer = &answer }

// Answer is what a plugin exited with, nil if none did.
func (c *Context) Answer() *Answer { return c.answer }

// State is what the running plugin kept of this request with SetState, nil if nothing. All instances of a plugin share
// it: another than in the rewrite phase may run in the later ones.
func (c *Context) State() any { return c.states[c.chain.steps[c.step].kind] }

// SetState keeps something of this request for the running plugin's later phases.
func (c *Context) SetState(state any) { c.states[c.chain.steps[c.step].kind] = state }

// Value is what was kept of this request with SetValue under a key, nil if nothing.
func (c *Context) Value(key any) any {
	for i := range c.values {
		if c.values[i].key == key {
			return c.values[i].value
		}
	}
	return nil
}

// SetValue keeps something of this request for whichever plugin knows the key. The key is of a type of its owner's, as
// in context.WithValue.
func (c *Context) SetValue(key, v any) {
	for i := range c.values {
		if c.values[i].key == key {
			c.values[i].value = v
			return
		}
	}
	c.values = append(c.values, value{key, v})
}

// ActiveSpan is the span that new ones hang below: the running plugin's own where its phase is traced, else the root,
// unless a plugin made another one active. ok is false where there is none. Kong: kong/pdk/tracing.lua active_span
func (c *Context) ActiveSpan() (span tracing.Span, ok bool) {
	if c.Trace == nil || c.inactive {
		return tracing.Span{}, false
	}
	if c.active == (tracing.Span{}) {
		return c.Root, true
	}
	return c.active, true
}

// SetActiveSpan makes a span the active one, with ok false none. It stays active in later phases: spans of plugins hang
// below it then, and take its place while they last. Kong: kong/pdk/tracing.lua set_active_span
func (c *Context) SetActiveSpan(span tracing.Span, ok bool) { c.active, c.inactive = span, !ok }

// TraceIDs are the ids of the request's trace by the names of the formats that write it, as the request's plugins tell;
// nil where none does.
func (c *Context) TraceIDs() map[string]string {
	var ids map[string]string
	at := c.step
	for i, b := range c.chosen {
		if b == nil || b.namer == nil {
			continue
		}
		c.step = i
		for name, id := range b.namer.TraceIDs(c) {
			if ids == nil {
				ids = map[string]string{}
			}
			if _, known := ids[name]; !known {
				ids[name] = id
			}
		}
	}
	c.step = at
	return ids
}

// LogValue is something that a plugin wants in the record that logging plugins write of a request. Key may have dots,
// which lead into objects; a dot behind a backslash is part of a name. Value null, or nil, takes out what is there. Mode
// is set, add (only where there is none) or replace (only where there is one).
// Kong: kong/pdk/log.lua set_serialize_value
type LogValue struct {
	Key   string
	Value json.RawMessage
	Mode  string
}

// SetLogValue asks for a value in the records of the request. Values apply in the order in which they were set.
func (c *Context) SetLogValue(key string, value json.RawMessage, mode string) {
	c.logged = append(c.logged, LogValue{key, value, mode})
}

// LogValues are those that were asked for.
func (c *Context) LogValues() []LogValue { return c.logged }

// Reset makes the context ready for another request.
func (c *Context) Reset() {
	clear(c.chosen)
	clear(c.states)
	chosen, states := c.chosen[:0], c.states[:0]
	*c = Context{} // not made elsewhere and copied: it is large
	c.chosen, c.states = chosen, states
}
