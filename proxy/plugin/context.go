package plugin

import (
	"log/slog"
	"net/http"
	"net/netip"

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
}

// Answer is what a plugin that exits sends instead of going on.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Context is one request as plugins see it. It belongs to the request: nobody keeps it, or what hangs on it, beyond
// the log phase.
type Context struct {
	Request   *http.Request // as it came in. Header is what goes upstream: changes made up to the access phase count
	RequestID string        // 32 hexadecimal digits
	Logger    *slog.Logger

	Peer         netip.Addr // who is connected to us
	Client       netip.Addr // who asks, by real_ip_header where the peer is trusted
	PeerTrusted  bool
	Edge         bool   // the caller is a stranger: its trace is linked to, not continued
	Scheme       string // http or https, of the listener
	Host         string // the Host header without its port, lower case
	ForwardedURI string // path and query as the client sent them

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

	Response Response // from the header filter phase on

	chain  *Chain
	chosen []*bound
	states []any
	step   int
	answer *Answer
}

// Exit answers the request here. What is left of the access phase is skipped, the later phases run.
// Kong: kong/pdk/response.lua exit
func (c *Context) Exit(answer Answer) { c.answer = &answer }

// Answer is what a plugin exited with, nil if none did.
func (c *Context) Answer() *Answer { return c.answer }

// State is what the running plugin kept of this request with SetState, nil if nothing.
func (c *Context) State() any { return c.states[c.step] }

// SetState keeps something of this request for the running plugin's later phases.
func (c *Context) SetState(state any) { c.states[c.step] = state }

// Reset makes the context ready for another request.
func (c *Context) Reset() {
	clear(c.chosen)
	clear(c.states)
	*c = Context{chosen: c.chosen[:0], states: c.states[:0]}
}
