package traces

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"sidekong/admin/inventory"
)

const (
	feedEvery  = 250 * time.Millisecond
	feedBytes  = 64 << 10 // read at a time
	feedShare  = 200      // learning takes one part in so many of the time at most
	feedBehind = 4 << 20  // bytes that may wait; beyond, the oldest are passed over
)

// Feed tells observe of the gateway's requests until ctx ends. It takes a bounded share of the time: under load it
// passes over requests.
func (s *Store) Feed(ctx context.Context, observe func(inventory.Observation)) error {
	s.mu.Lock()
	position := s.ring.head
	s.mu.Unlock()
	timer := time.NewTimer(feedEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		begun := time.Now()
		records, next, _ := s.since(s.skip(position, feedBehind), feedBytes)
		position = next
		for i := range records {
			if o, ok := observation(&records[i]); ok {
				observe(o)
			}
		}
		wait := feedEvery
		if len(records) > 0 {
			wait = max(feedShare*time.Since(begun), time.Millisecond)
		}
		timer.Reset(min(wait, time.Minute))
	}
}

// skip moves a position on until no more than so many bytes follow it.
func (s *Store) skip(position, most uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ring.head-position > most {
		found, ok := s.ring.seek(position)
		if !ok {
			break
		}
		h, _ := s.ring.at(found)
		position = found + uint64(h.size)
	}
	return position
}

// observation reads a request of the gateway; ok is false for other records and where nothing was asked for.
func observation(r *Record) (o inventory.Observation, ok bool) {
	if kind(r.Kind) != kindOwn {
		return o, false
	}
	raw, spans := splitOwn(r.Body)
	root := first(spans, numItems)
	n, err := parseNote(raw)
	if err != nil || root == nil {
		return o, false
	}
	s, h := lookAt(root), readHTTP(root)
	if h.method == "" {
		return o, false
	}
	path, query, _ := strings.Cut(h.path, "?")
	o = inventory.Observation{
		Time: time.Unix(0, int64(s.start)), Host: h.host, Method: h.method, Path: path, Query: parameters(query), Status: h.status,
		Duration: time.Duration(s.end - s.start), RoutePattern: h.route,
		Service: h.service, Route: h.routeName, Consumer: h.consumer,
		Authenticated: n.Authenticated, RequestType: n.RequestType, ResponseType: n.ResponseType,
	}
	if o.Service == "" {
		o.Service = n.ServiceID
	}
	if o.Route == "" {
		o.Route = n.RouteID
	}
	attributes(root, numAttribute, func(key, value []byte) bool {
		switch string(key) {
		case "http.request.headers":
			o.Header = headerParameters(first(value, numString))
		case "http.request.body":
			o.RequestBody = first(value, numString)
		case "http.response.body":
			o.ResponseBody = first(value, numString)
		}
		return true
	})
	return o, true
}

// maxParameters bounds the parameters of one observation.
const maxParameters = 64

// parameters reads a query in the order in which it stands.
func parameters(query string) (out []inventory.Parameter) {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" || len(out) == maxParameters {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		out = append(out, inventory.Parameter{Name: name, Value: value})
	}
	return out
}

func headerParameters(text []byte) (out []inventory.Parameter) {
	if !json.Valid(text) {
		return nil
	}
	for _, h := range parseHeaders(string(text)) {
		if len(out) < maxParameters {
			out = append(out, inventory.Parameter{Name: h.Name, Value: h.Value})
		}
	}
	return out
}
