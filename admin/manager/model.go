// Package manager is the page on admin_gui_listen: it serves the page's files, the JSON API behind them, an OTLP/HTTP
// receiver, and the Admin API under /admin/.
//
// # The API
//
// Answers are JSON. An error is a status of 400 and above with a Message. All of it but the page's files and
// /api/login wants the session cookie, or the admin token in "Authorization: Bearer" or "Kong-Admin-Token", where the
// listener is not on loopback: else 401.
//
//	GET    /api/node                  Node
//	POST   /api/login                 Login → 204 and the cookie; 401 for another token, 429 after too many
//	POST   /api/logout                204
//
//	GET    /api/traces                ?filter=&before=&limit= → List, newest first. before is List.Next of the page
//	                                  before; limit is 100, at most 1000. A filter that cannot be read: 400 FilterFault
//	DELETE /api/traces                204; forgets all of them
//	GET    /api/traces/stream         ?filter=&after= → server-sent events, see below
//	GET    /api/traces/{id}           traces.Trace; 404
//	GET    /api/traces/{id}/otlp      OTLP JSON (TracesData), as a file; 404
//	GET    /api/traces/{id}/applied   ?record= (place in Trace.requests, 0) → Applied; 404
//	POST   /api/import                OTLP JSON or protobuf (traces or logs, also one JSON document a line) → Imported
//	GET    /api/traces/attributes     ?filter= → Completions, for the filter's input
//
//	GET    /api/overview              ?window= in seconds: 300 (default), 900, 3600, 21600 → traces.Overview
//	GET    /api/services              traces.Map
//	GET    /api/exporters             Exporters
//	POST   /api/probe                 Probe → Probed: whether an OTLP receiver answers
//
//	GET    /api/inventory             inventory.View
//	GET    /api/inventory/openapi     OpenAPI 3.1 as JSON, as a file
//	POST   /api/inventory/compare     an OpenAPI file, JSON or YAML → inventory.Comparison; 400
//	DELETE /api/inventory             204; forgets what was learned
//
//	POST   /v1/traces, /v1/logs       OTLP/HTTP: protobuf or JSON, gzip
//	*      /admin/...                 the Admin API without its prefix; 404 where there is none
//
// # The stream
//
// /api/traces/stream sends these events. Each has an id; with Last-Event-ID, or ?after=, the stream goes on behind it.
// List.Resume is such an id: what the list did not show yet comes first.
//
//	event: trace   data: traces.Summary. A trace that is known already has changed: put it in place of the old one,
//	               by id. (A trace that does not match the filter any more does not come again.)
//	event: skipped data: {"changes": n}. More came at once than a stream sends; what is left out is in the list
//	event: state   data: traces.State, at the start, then every two seconds if it has changed
//	event: reset   data: {}. What was missed is no longer known, or everything was cleared: load the list anew
//
// A client that does not read for ten seconds is dropped; EventSource connects again by itself.
//
// # Filters
//
// Words, separated by spaces, all of which have to match. A word with an operator compares a field:
//
//	status>=500 method=POST duration>100ms route=/users service=billing error=true http.route=/x user.id!=7 name~"GET .*"
//
// Operators are = != > >= < <= and ~ !~ (regular expression, RE2). Values with spaces, quotes or operators stand in
// double quotes with \" and \\. Fields: id, method, host, path, route, route_name, service, consumer, status, duration
// (ms where no unit of ns us ms s m is given), name, error, errors, spans, logs, sampled, gateway, request_id; any
// other name is an attribute of any of the spans or of their resources. has:NAME matches where there is such an
// attribute at all. A word without an operator is text, found in the row, in span names and in attributes' values,
// whatever its case; "quoted text" may hold spaces. A leading - negates any word.
package manager

import (
	"sidekong/admin"
	"sidekong/admin/traces"
)

// Message says what went wrong.
type Message struct {
	Message string `json:"message"`
}

// FilterFault says where a filter cannot be read.
type FilterFault struct {
	Message  string `json:"message"`
	Position int    `json:"position"` // in bytes from 0
	Length   int    `json:"length"`   // of what is wrong, 0 at the end
}

// Node is what the page needs to know of the sidecar first.
type Node struct {
	Version  string   `json:"version"`
	ID       string   `json:"id"`
	Hostname string   `json:"hostname"`
	Started  float64  `json:"started"`  // ms since 1970
	Proxy    []string `json:"proxy"`    // addresses of the proxy, as "http://127.0.0.1:8000"
	Database string   `json:"database"` // off, sqlite, postgres
	Admin    string   `json:"admin"`    // path of the Admin API, "/admin"; "" where there is none
	ReadOnly bool     `json:"read_only"`
	Reason   string   `json:"reason"` // why it is read-only, for people; "" if it is not
	Login    bool     `json:"login"`  // this listener wants a session: offer to log out

	Tracing  bool         `json:"tracing"`  // false: tracing is off, nothing will come
	Receiver bool         `json:"receiver"` // /v1/traces takes spans
	Store    traces.State `json:"store"`
}

// Login is the admin token.
type Login struct {
	Token string `json:"token"`
}

// List is a page of traces.
type List struct {
	Traces []traces.Summary `json:"traces"`
	Next   string           `json:"next"`   // for before=; "" at the end
	Resume string           `json:"resume"` // for after= of the stream
	// Partial: the search ended before it had looked at everything, to bound its time. There may be more behind Next
	// even if Traces is short.
	Partial bool `json:"partial"`
}

// Imported is what became of a file.
type Imported struct {
	Traces   []string `json:"traces"` // ids, at most 100
	Spans    int      `json:"spans"`
	Logs     int      `json:"logs"`
	Rejected int      `json:"rejected"`
	Reason   string   `json:"reason"` // of the first that was rejected
}

// Completions are names and values that filters may use, from the newest traces. At most 200 names and 20 values each.
type Completions struct {
	Names  []string            `json:"names"` // attributes, the most frequent first
	Values map[string][]string `json:"values"`
}

// Applied is the configuration that applied to a request, as it is now.
type Applied struct {
	Route    any   `json:"route"` // entities as the Admin API shows them, null where there is none any more
	Service  any   `json:"service"`
	Consumer any   `json:"consumer"`
	Plugins  []any `json:"plugins"` // in the order in which they run
}

// Exporters is how exporting does.
type Exporters struct {
	Exporters []admin.Exporter `json:"exporters"`
	Problem   string           `json:"problem"` // one sentence for a banner, "" where all is well
}
