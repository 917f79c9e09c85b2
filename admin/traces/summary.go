package traces

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
)

// maxServices bounds Summary.Services.
const maxServices = 32

// milliseconds turns nanoseconds since 1970 into what JavaScript counts in.
func milliseconds(nanos uint64) float64 { return float64(nanos/1000) / 1000 }

// between is the time from one point to another, negative where it comes first.
func between(from, to uint64) float64 { return float64(int64(to-from)) / 1e6 }

// summarise makes a trace's row. The span that speaks for the trace is the gateway's first, else the first one without
// a parent, else the first of all.
func summarise(t *stored, resource []byte) Summary {
	sum := Summary{ID: hex.EncodeToString(t.id[:]), Number: t.number, Services: []string{}}
	var main span
	var begin, end uint64
	var last []byte // resource whose service is known
	var lastService string
	rank := func(s *span) int {
		switch {
		case s.root:
			return 2
		case len(s.parent) == 0:
			return 1
		}
		return 0
	}
	type seen struct {
		name  string
		start uint64
	}
	var services []seen
	t.spans(resource, func(s *span) bool {
		sum.Spans++
		if s.failed {
			sum.Errors++
		}
		if sum.Spans == 1 || s.start < begin {
			begin = s.start
		}
		end = max(end, s.end)
		if r := rank(s); sum.Spans == 1 || r > rank(&main) || r == rank(&main) && s.start < main.start {
			main = *s
		}
		if len(s.resource) == 0 {
			return true
		}
		if last == nil || &last[0] != &s.resource[0] {
			last, lastService = s.resource, service(s.resource)
		}
		if lastService == "" {
			return true
		}
		i := slices.IndexFunc(services, func(k seen) bool { return k.name == lastService })
		if i < 0 && len(services) < maxServices {
			services = append(services, seen{lastService, s.start})
		} else if i >= 0 {
			services[i].start = min(services[i].start, s.start)
		}
		return true
	})
	var logged uint64
	if sum.Logs, logged = t.logs(); sum.Spans == 0 {
		begin, end = logged, logged
	}
	slices.SortStableFunc(services, func(a, b seen) int { return cmp.Compare(a.start, b.start) })
	for _, k := range services {
		sum.Services = append(sum.Services, k.name)
	}
	sum.Time = milliseconds(begin)
	sum.Duration = max(between(begin, end), 0)
	sum.Name = string(main.name)
	sum.Gateway = main.root
	sum.Sampled = true
	if main.root {
		sum.Duration = max(between(main.start, main.end), 0)
		t.notes(func(note, _ []byte) bool {
			sum.Sampled = len(note) < 2 || note[1] == 1
			return false
		})
	}
	h := readHTTP(main.message)
	sum.Method, sum.Host, sum.Path, sum.Route, sum.Status = h.method, h.host, h.path, h.route, h.status
	sum.RouteName, sum.Consumer, sum.RequestID = h.routeName, h.consumer, h.requestID
	sum.Service = h.service
	if sum.Service == "" {
		sum.Service = service(main.resource)
	}
	sum.Error = main.failed || h.status >= 500
	return sum
}

// httpFacts is what the attributes of a span say of a request, under the names of any convention.
type httpFacts struct {
	method, host, path, route, service, routeName, consumer, requestID, client string
	status                                                                     int
}

func readHTTP(message []byte) (h httpFacts) {
	var urlPath, query, target, full, consumerID string
	attributes(message, numAttribute, func(key, value []byte) bool {
		switch string(key) {
		case "http.method", "http.request.method":
			h.method = text(value)
		case "http.host", "server.address":
			h.host = text(value)
		case "url.path":
			urlPath = text(value)
		case "url.query":
			query = text(value)
		case "http.target":
			target = text(value)
		case "http.url", "url.full":
			full = text(value)
		case "http.client_ip", "client.address":
			h.client = text(value)
		case "http.route":
			h.route = text(value)
		case "http.status_code", "http.response.status_code":
			h.status = number(value)
		case "kong.service.name":
			h.service = text(value)
		case "kong.route.name":
			h.routeName = text(value)
		case "kong.consumer.username", "kong.consumer.name":
			h.consumer = text(value)
		case "kong.consumer.id":
			consumerID = text(value)
		case "kong.request.id":
			h.requestID = text(value)
		}
		return true
	})
	if h.consumer == "" {
		h.consumer = consumerID
	}
	switch {
	case full != "":
		h.path = full
		if _, rest, ok := strings.Cut(full, "://"); ok {
			h.path = "/"
			if slash := strings.IndexAny(rest, "/?"); slash >= 0 {
				h.path = rest[slash:]
			}
		}
	case urlPath != "" && query != "":
		h.path = urlPath + "?" + query
	case urlPath != "":
		h.path = urlPath
	default:
		h.path = target
	}
	return h
}
