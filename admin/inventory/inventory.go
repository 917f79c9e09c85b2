// Package inventory learns an API from what passes: which endpoints there are, who calls them and how, and what their
// parameters and bodies look like. It is fed with observations, keeps nothing of a value beyond what its limits name,
// and writes what it knows as OpenAPI 3.1.
package inventory

import "time"

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
