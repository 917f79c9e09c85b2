package traces

// What the store tells, in the form in which the API sends it. Times are milliseconds since 1970 and durations are
// milliseconds, both with fractions. Ids are lower-case hexadecimal digits. Lists are never null.

// Summary is one trace as a row of a list.
type Summary struct {
	ID       string  `json:"id"`       // of the trace
	Number   uint64  `json:"number"`   // in the order of arrival, from 1; it never changes
	Time     float64 `json:"time"`     // when the first span began
	Duration float64 `json:"duration"` // of the gateway's request, else from the first span's start to the last one's end

	Name    string `json:"name"`    // of the root span
	Method  string `json:"method"`  // "" where it is no HTTP request
	Host    string `json:"host"`    // "" where unknown
	Path    string `json:"path"`    // path and query as recorded
	Route   string `json:"route"`   // http.route, "" where none matched
	Status  int    `json:"status"`  // 0: none
	Service string `json:"service"` // kong.service.name, else the service.name of the root's resource

	RouteName string   `json:"route_name"` // kong.route.name
	Consumer  string   `json:"consumer"`   // name of the consumer, else its id; "" where none
	RequestID string   `json:"request_id"` // Kong's; "" where no gateway is part of the trace
	Services  []string `json:"services"`   // every service.name that took part, in the order of their first spans

	Gateway bool `json:"gateway"` // a request that this sidecar carried is part of it
	Error   bool `json:"error"`   // the root span failed, or its status is 500 or above
	Errors  int  `json:"errors"`  // spans that failed
	Spans   int  `json:"spans"`
	Logs    int  `json:"logs"`
	Sampled bool `json:"sampled"` // false: shown here, but kept from the exporter
}

// Trace is everything of one trace.
type Trace struct {
	Summary   Summary         `json:"summary"`
	Resources []Resource      `json:"resources"` // that Span.Resource and Log.Resource point to
	Spans     []Span          `json:"spans"`     // depth first: a span comes after its parent, siblings by their start
	Critical  []PathSegment   `json:"critical"`  // the critical path, by time, without overlap
	Strip     []StripSegment  `json:"strip"`     // whose time it was, by time, without gaps; empty without a gateway
	Logs      []Log           `json:"logs"`      // by time
	Requests  []GatewayRecord `json:"requests"`  // what this sidecar knows of its own requests of this trace, by time
	Clipped   bool            `json:"clipped"`   // the trace is larger than what the store takes; later spans are missing
}

// Resource is what spans come from.
type Resource struct {
	Service    string      `json:"service"` // service.name, "" where it has none
	Attributes []Attribute `json:"attributes"`
}

// Span is one span.
type Span struct {
	ID       string `json:"id"`
	Parent   string `json:"parent"`  // "" for a root; it may be a span that is not here
	Missing  bool   `json:"missing"` // it has a parent that is not here, as when a caller reports elsewhere
	Depth    int    `json:"depth"`   // 0 for roots and for spans whose parent is missing
	Name     string `json:"name"`
	Kind     string `json:"kind"`     // internal, server, client, producer, consumer or ""
	Service  string `json:"service"`  // of its resource
	Resource int    `json:"resource"` // place in Trace.Resources
	Scope    string `json:"scope"`    // name and version of the instrumentation, "" where unknown

	Start    float64 `json:"start"`    // after Summary.Time; may be negative where clocks differ
	Duration float64 `json:"duration"` // 0 at least
	Self     float64 `json:"self"`     // of Duration, what no child covers

	Status     string      `json:"status"` // "", "ok" or "error"
	StatusText string      `json:"status_text"`
	State      string      `json:"state"` // W3C tracestate
	Attributes []Attribute `json:"attributes"`
	Events     []Event     `json:"events"` // by time
	Links      []Link      `json:"links"`
}

// Attribute is a name with its value.
type Attribute struct {
	Key string `json:"key"`
	// Value is a string, bool, number, null, list or object. Integers beyond 2^53 come as strings; bytes as base64.
	Value any    `json:"value"`
	Type  string `json:"type"` // string, bool, int, double, bytes, array, map or ""
}

// Event is something that happened within a span.
type Event struct {
	Name       string      `json:"name"`
	Time       float64     `json:"time"` // after Summary.Time
	Attributes []Attribute `json:"attributes"`
}

// Link names a span of another trace.
type Link struct {
	TraceID    string      `json:"trace_id"`
	SpanID     string      `json:"span_id"`
	State      string      `json:"state"`
	Attributes []Attribute `json:"attributes"`
	Stored     bool        `json:"stored"` // the other trace is here too
}

// PathSegment is a stretch of the critical path: the time in which this span alone kept the trace from ending.
type PathSegment struct {
	Span     int     `json:"span"`  // place in Trace.Spans
	Start    float64 `json:"start"` // after Summary.Time
	Duration float64 `json:"duration"`
}

// StripSegment is a stretch of time with the one who had the request then.
type StripSegment struct {
	Who      string  `json:"who"`   // client, gateway, network or upstream
	What     string  `json:"what"`  // in words, as "waiting for the answer's head"
	Start    float64 `json:"start"` // after Summary.Time
	Duration float64 `json:"duration"`
	Span     int     `json:"span"` // place in Trace.Spans of the span that tells, -1: none
}

// Log is one log record that names the trace.
type Log struct {
	Time       float64     `json:"time"` // since 1970
	SpanID     string      `json:"span_id"`
	Severity   string      `json:"severity"` // trace, debug, info, warn, error, fatal or ""
	Number     int         `json:"number"`   // OTLP's severity number, 0: none
	Body       any         `json:"body"`     // as Attribute.Value
	Attributes []Attribute `json:"attributes"`
	Service    string      `json:"service"`
	Resource   int         `json:"resource"` // place in Trace.Resources
}

// GatewayRecord is what the sidecar knows of a request besides its spans.
type GatewayRecord struct {
	Span      int    `json:"span"` // place of the request's root span in Trace.Spans
	RequestID string `json:"request_id"`

	// Headers with trace context as they came in and as they went upstream, names in lower case.
	TraceIn  []Header `json:"trace_in"`
	TraceOut []Header `json:"trace_out"`
	Sampling string   `json:"sampling"` // why the trace is, or is not, sampled
	Sampled  bool     `json:"sampled"`

	// What applied, by id; "" where nothing did. Names are in Summary.
	RouteID    string `json:"route_id"`
	ServiceID  string `json:"service_id"`
	ConsumerID string `json:"consumer_id"`

	Client         string  `json:"client"` // address
	UpstreamURI    string  `json:"upstream_uri"`
	UpstreamStatus int     `json:"upstream_status"` // 0: no answer
	BytesReceived  int64   `json:"bytes_received"`
	BytesSent      int64   `json:"bytes_sent"`
	Request        float64 `json:"request"`  // from the first byte to the last; this and the next negative: does not apply
	Gateway        float64 `json:"gateway"`  // spent in the gateway
	Upstream       float64 `json:"upstream"` // until the head of the answer
	Receive        float64 `json:"receive"`  // of the answer's body
	Tries          []Try   `json:"tries"`
	Fault          string  `json:"fault"` // why the answer is not whole, "" if it is

	// What was captured, nil where nothing was.
	RequestMessage  *Message `json:"request_message"`
	ResponseMessage *Message `json:"response_message"`
	Curl            string   `json:"curl"` // a command that sends the request again; masked values stay masked
}

// Header is one header field.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Try is one attempt to send a request to an upstream.
type Try struct {
	Address string `json:"address"` // ip:port
	Code    int    `json:"code"`    // of a failed try, else 0
	State   string `json:"state"`   // of a failed try, else ""
}

// Message is the captured head and body of a request or answer.
type Message struct {
	Line      string   `json:"line"`    // "GET /x?y=1 HTTP/1.1" or "HTTP/1.1 200"
	Headers   []Header `json:"headers"` // in the order of their names
	Body      string   `json:"body"`
	HasBody   bool     `json:"has_body"`  // false: no body was captured
	Type      string   `json:"type"`      // content type, "" where unknown
	Size      int64    `json:"size"`      // of the whole body in bytes, -1: unknown
	Truncated bool     `json:"truncated"` // Body is only its beginning
	SHA256    string   `json:"sha256"`    // of the whole body, "" where unknown
}

// Overview is how requests went over a stretch of time.
type Overview struct {
	Start    float64  `json:"start"` // of the first point
	Step     float64  `json:"step"`  // between points
	Total    Series   `json:"total"`
	Routes   []Series `json:"routes"`   // the busiest first
	Services []Series `json:"services"` // the busiest first
}

// Series is the requests of one route or service, or of all.
type Series struct {
	Name     string  `json:"name"`     // of the route or service; "" for requests without one; "other" for what is too many
	Service  string  `json:"service"`  // of a route
	Requests uint64  `json:"requests"` // in all of the time shown
	Errors   uint64  `json:"errors"`   // of these, answered with 500 and above or cut off
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
	P99      float64 `json:"p99"`
	Points   Points  `json:"points"`
}

// Points are what charts show, a value for each step; the last one is still growing.
type Points struct {
	Requests []uint64  `json:"requests"`
	Errors   []uint64  `json:"errors"`
	P50      []float64 `json:"p50"` // 0 where there was no request
	P95      []float64 `json:"p95"`
	P99      []float64 `json:"p99"`
}

// Map is who calls whom, as the newest traces show.
type Map struct {
	Nodes  []Node `json:"nodes"`
	Edges  []Edge `json:"edges"`
	Traces int    `json:"traces"` // how many traces were read
}

// Node is a service, or something that was called and sent no spans of its own.
type Node struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Kind     string  `json:"kind"` // client (outside callers), gateway, service, database or external
	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	Mean     float64 `json:"mean"` // duration of a request
}

// Edge is the calls of one node to another.
type Edge struct {
	From     string  `json:"from"` // Node.ID
	To       string  `json:"to"`
	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	Mean     float64 `json:"mean"`
}

// State is how full the store is.
type State struct {
	Traces  int    `json:"traces"`
	Bytes   int64  `json:"bytes"`
	Limit   int64  `json:"limit"`
	Oldest  uint64 `json:"oldest"`  // Summary.Number of the oldest trace, 0: none; those with lower numbers are gone
	Evicted uint64 `json:"evicted"` // traces that left for newer ones
	Refused uint64 `json:"refused"` // spans and logs that were not taken: larger than allowed
	File    string `json:"file"`    // that keeps traces across restarts, "" where none does
	Fault   string `json:"fault"`   // why that file does not keep them, "" if it does
}
