package main

import (
	"strings"
	"sync"
	"time"

	"sidekong/admin/traces"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

// observer tells the page's store of the gateway's requests.
type observer struct{ store *traces.Store }

// restorer makes traces of snapshots.
var restorer = tracing.NewTracer(tracing.All, 1)

// expand reads what observe stores of traces that were not exported. It is the store's Options.Expand.
func expand(snapshot []byte) []byte {
	trace, err := restorer.Restore(snapshot)
	if err != nil {
		return nil
	}
	defer trace.Release()
	frames, _ := otlp.Frames{Trace: trace}.AppendFrames(nil)
	return frames
}

// request is a record on its way to the store, which copies it.
type request struct {
	traces.Request
	snapshot []byte
}

var requests = sync.Pool{New: func() any { return new(request) }}

// keepSnapshot is the largest buffer that is used again.
const keepSnapshot = 64 << 10

// observe is the gateway's Observer.
func (o observer) observe(c *plugin.Context) {
	sum := &c.Summary
	took := sum.Request
	if took < 0 {
		took = time.Since(c.Arrived)
	}
	o.store.Count(serviceName(c.Service), routeName(c.Route), c.Arrived.Add(took), took, c.Response.Status >= 500 || sum.Fault != nil)
	if !c.Trace.Recording() {
		return
	}
	r := requests.Get().(*request)
	r.TraceID = c.Trace.ID()
	if r.Encoded = c.Notes != nil && len(c.Notes.Spans) > 0; r.Encoded {
		r.Spans = c.Notes.Spans
	} else {
		r.snapshot = c.Trace.AppendSnapshot(r.snapshot[:0])
		r.Spans = r.snapshot
	}
	n := &r.Note // of an earlier request; every field is set
	n.Sampled = c.Trace.Sampled()
	n.TraceIn, n.TraceOut, n.Sampling = nil, nil, ""
	if c.Notes != nil {
		n.TraceIn, n.TraceOut, n.Sampling = c.Notes.TraceIn, c.Notes.TraceOut, c.Notes.Sampling
		n.Sampled = n.Sampled && !c.Notes.Dropped
	}
	n.Host = c.Request.Host
	n.RouteID, n.ServiceID, n.ConsumerID, n.Fault = "", "", "", ""
	if c.Route != nil {
		n.RouteID = c.Route.ID
	}
	if c.Service != nil {
		n.ServiceID = c.Service.ID
	}
	if c.Consumer != nil {
		n.ConsumerID = c.Consumer.ID
	}
	n.Authenticated = authentication(c)
	n.RequestType = ""
	if c.Request.ContentLength != 0 {
		n.RequestType = firstOf(c.Request.Header["Content-Type"])
	}
	n.ResponseType = firstOf(c.Response.Header["Content-Type"])
	n.UpstreamURI, _, _ = strings.Cut(sum.UpstreamURI, "?") // the query may hold secrets
	n.UpstreamStatus, n.BytesReceived, n.BytesSent = sum.UpstreamStatus, sum.BytesReceived, sum.BytesSent
	n.Request, n.Gateway, n.Upstream, n.Receive = sum.Request, sum.Gateway, sum.Upstream, sum.Receive
	n.Tries = n.Tries[:0]
	for _, try := range sum.Tries {
		n.Tries = append(n.Tries, traces.Attempt{IP: try.IP, Port: try.Port, Code: try.Code, State: try.State})
	}
	if sum.Fault != nil {
		n.Fault = sum.Fault.Error()
	}
	o.store.Add(&r.Request)
	r.Spans = nil
	if cap(r.snapshot) <= keepSnapshot {
		requests.Put(r)
	}
}

func serviceName(s *entity.Service) string {
	switch {
	case s == nil:
		return ""
	case s.Name == "":
		return s.ID
	}
	return s.Name
}

func routeName(r *entity.Route) string {
	switch {
	case r == nil:
		return ""
	case r.Name == "":
		return r.ID
	}
	return r.Name
}

// authentication names the scheme of the credentials that came with a request, never a part of them.
func authentication(c *plugin.Context) string {
	switch c.Credential.(type) {
	case *entity.KeyAuthCredential:
		return "apikey"
	case *entity.BasicAuthCredential:
		return "basic"
	}
	h := c.Request.Header
	if value := firstOf(h["Authorization"]); value != "" {
		scheme, _, found := strings.Cut(value, " ")
		if !found || len(scheme) > 32 {
			return "authorization" // what stands there may be the secret itself
		}
		return strings.ToLower(scheme)
	}
	switch {
	case h["X-Api-Key"] != nil:
		return "apikey"
	case h["Cookie"] != nil:
		return "cookie"
	}
	return ""
}

func firstOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
