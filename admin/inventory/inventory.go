// Package inventory learns an API from what passes: which endpoints there are, who calls them and how, and what their
// parameters and bodies look like. It is fed with observations, shows what it knows as a View and as OpenAPI 3.1, and
// compares it with an OpenAPI document.
//
// Of values it keeps their types and formats alone; only what is the same few words again and again is kept as it is.
// Everything that a client can make up is bounded: what goes beyond is counted as a call of what is known, or left out.
package inventory

import (
	"strings"
	"sync"
	"time"
)

// Observation is one request as somebody saw it. It does not matter who: what is empty was not seen.
type Observation struct {
	Time     time.Time // when the request arrived
	Host     string    // without port, lower case
	Method   string
	Path     string        // escaped, without query
	Query    []Parameter   // in the order they came
	Header   []Parameter   // of the request; names in any case
	Status   int           // 0: no answer
	Duration time.Duration // until the last byte

	// RoutePattern is the configured path of the route that matched, a regular expression where it begins with "~", a
	// prefix elsewhere; "" where none matched. Captures of the expression become parameters of the path.
	RoutePattern string
	Service      string // names, or ids where there is none
	Route        string
	Consumer     string

	// Authenticated is the scheme of the credentials that came with the request: "basic", "bearer", "apikey", "cookie",
	// another scheme of the Authorization header in lower case, or "" where there were none.
	Authenticated string

	RequestType  string // Content-Type
	ResponseType string
	// Bodies as they were captured: masked, and perhaps cut. nil: not captured.
	RequestBody  []byte
	ResponseBody []byte
}

// Parameter is a name with one of its values.
type Parameter struct{ Name, Value string }

// Bounds of what is kept. With all of them reached an inventory takes some hundred megabytes.
const (
	maxEndpoints = 2000
	maxHosts     = 64
	maxSegments  = 24  // of a path; what follows is one parameter
	maxSegment   = 100 // bytes of one that stands for itself
	maxLiterals  = 30  // segments at one place that stand for themselves
	maxNames     = 40  // in each list of names
	maxName      = 128 // bytes of each
	maxFields    = 80  // of one object, and parameters of one kind
	maxShapes    = 600 // of one endpoint
	maxDepth     = 12  // of bodies
	maxItems     = 50  // of an array that are looked at
	maxStatuses  = 40
	maxBody      = 1 << 20 // bytes of a body that are read
	maxPatterns  = 500
)

// mask is what capturing puts in the place of a secret.
const mask = "REDACTED"

// Inventory is an API as far as it has been seen. It is safe for use by several goroutines.
type Inventory struct {
	mu        sync.Mutex
	hosts     map[string]*place
	endpoints int
	leftOut   int64 // calls of endpoints that there was no room for
	revision  uint64
	patterns  patterns
}

// New makes an empty inventory.
func New() *Inventory {
	return &Inventory{hosts: map[string]*place{}}
}

// Observe learns from a request. One that was answered 404, 405 or 501 counts where the endpoint is known; it makes none
// known, for it tells of what there is not.
func (v *Inventory) Observe(o Observation) {
	if o.Method == "" || len(o.Method) > maxName || !strings.HasPrefix(o.Path, "/") {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	o.Host, o.Method, o.Path = valid(o.Host), valid(o.Method), valid(o.Path)
	missing := o.Status == 404 || o.Status == 405 || o.Status == 501
	e := v.find(o.Host, o.Method, v.patterns.segments(o.RoutePattern, o.Path), !missing)
	if e == nil {
		if !missing {
			v.leftOut++
		}
		return
	}
	v.revision++
	e.observe(&o)
}

// valid is text as JSON can hold it.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// find gives the endpoint of a path, and where it is not known, learn says so and there is room, makes it.
func (v *Inventory) find(host, method string, segments []segment, learn bool) *endpoint {
	root := v.hosts[host]
	if root == nil {
		if !learn || v.endpoints >= maxEndpoints {
			return nil
		}
		if len(v.hosts) >= maxHosts {
			host = "" // of all the others
			root = v.hosts[host]
		}
		if root == nil {
			root = &place{}
			v.hosts[host] = root
		}
	}
	if !learn {
		at := root.walk(segments)
		if at == nil {
			return nil
		}
		return at.endpoints[method]
	}
	if at := root.walk(segments); at != nil && at.endpoints[method] != nil {
		root.descend(segments) // for its counts
		return at.endpoints[method]
	}
	if v.endpoints >= maxEndpoints {
		return nil
	}
	at := root.descend(segments)
	if e := at.endpoints[method]; e != nil {
		return e
	}
	e := newEndpoint()
	if at.endpoints == nil {
		at.endpoints = map[string]*endpoint{}
	}
	at.endpoints[method] = e
	v.endpoints = 0
	for _, host := range v.hosts {
		v.endpoints += host.count()
	}
	return e
}

// Clear forgets everything.
func (v *Inventory) Clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hosts, v.endpoints, v.leftOut = map[string]*place{}, 0, 0
	v.revision++
}

// Revision changes whenever something was learned or forgotten.
func (v *Inventory) Revision() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.revision
}
