package inventory

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

// View is an inventory for JSON. Times are milliseconds since 1970, durations milliseconds.
type View struct {
	Endpoints []Endpoint `json:"endpoints"`
	LeftOut   int64      `json:"left_out"` // calls of endpoints that there was no room for
}

// Endpoint is a method of a path.
type Endpoint struct {
	Method         string             `json:"method"`
	Host           string             `json:"host"` // "" for those beyond a bound
	Path           string             `json:"path"` // template, with parameters in braces
	Services       []string           `json:"services"`
	Routes         []string           `json:"routes"`
	FirstSeen      float64            `json:"first_seen"`
	LastSeen       float64            `json:"last_seen"`
	Calls          int64              `json:"calls"`
	Statuses       map[string]int64   `json:"statuses"` // "0": no answer
	Latency        Latency            `json:"latency"`
	Authentication map[string]int64   `json:"authentication"` // calls by scheme, "" being those without
	Consumers      []string           `json:"consumers"`
	RequestTypes   []string           `json:"request_types"`
	ResponseTypes  []string           `json:"response_types"`
	Parameters     []ParameterView    `json:"parameters"`
	Request        *Schema            `json:"request"`   // null: no body was read
	Responses      map[string]*Schema `json:"responses"` // by status
	Sensitive      []string           `json:"sensitive"` // what is sensitive in it, in words
}

// Latency are quantiles of the time to the last byte, within 5 %.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// ParameterView is a parameter.
type ParameterView struct {
	In        string  `json:"in"` // path, query or header
	Name      string  `json:"name"`
	Required  bool    `json:"required"` // every call had it
	Schema    *Schema `json:"schema"`
	Sensitive bool    `json:"sensitive"`
}

// View gives all that is known, by path, method and host.
func (v *Inventory) View() View {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := View{Endpoints: []Endpoint{}, LeftOut: v.leftOut}
	v.each(func(host string, way []step, method string, e *endpoint) {
		path, parameters := template(way)
		out.Endpoints = append(out.Endpoints, e.view(host, path, method, parameters))
	})
	slices.SortFunc(out.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Host, b.Host))
	})
	return out
}

func (v *Inventory) each(f func(host string, way []step, method string, e *endpoint)) {
	for _, host := range sortedKeys(v.hosts) {
		v.hosts[host].each(nil, func(way []step, method string, e *endpoint) { f(host, way, method, e) })
	}
}

func (e *endpoint) view(host, path, method string, parameters []pathParameter) Endpoint {
	out := Endpoint{
		Method: method, Host: host, Path: path, Services: e.services.names(), Routes: e.routes.names(),
		FirstSeen: milliseconds(e.first), LastSeen: milliseconds(e.last), Calls: e.calls,
		Statuses: map[string]int64{}, Responses: map[string]*Schema{}, Sensitive: []string{}, Parameters: []ParameterView{},
		Latency: Latency{
			P50: float64(e.latency.quantile(0.5)) / 1e6, P95: float64(e.latency.quantile(0.95)) / 1e6, P99: float64(e.latency.quantile(0.99)) / 1e6,
		},
		Authentication: maps.Clone(e.authentication), Consumers: e.consumers.names(),
		RequestTypes: e.requestTypes.names(), ResponseTypes: e.responseTypes.names(),
	}
	mark := func(part string) func(place, what string) {
		return func(place, what string) {
			text := part
			if place != "" {
				text += " " + place
			}
			if text += ": " + what; len(out.Sensitive) < maxNames {
				out.Sensitive = append(out.Sensitive, text)
			}
		}
	}
	for _, p := range parameters {
		out.addParameter("path", p.name, true, kindsSchema(p.name, p.kinds), mark)
	}
	for _, in := range []struct {
		name string
		of   *shape
	}{{"query", e.query}, {"header", e.header}} {
		for _, name := range sortedKeys(in.of.fields) {
			field := in.of.fields[name]
			out.addParameter(in.name, name, in.of.required(field), field.schema(name), mark)
		}
	}
	if e.request != nil {
		out.Request = e.request.schema("")
		out.Request.marks("", mark("request body"))
	}
	for status, n := range e.statuses {
		out.Statuses[strconv.Itoa(status)] = n
	}
	for _, status := range slices.Sorted(maps.Keys(e.responses)) {
		schema := e.responses[status].schema("")
		out.Responses[strconv.Itoa(status)] = schema
		schema.marks("", mark("answer "+strconv.Itoa(status)))
	}
	return out
}

func (e *Endpoint) addParameter(in, name string, required bool, schema *Schema, mark func(string) func(string, string)) {
	e.Parameters = append(e.Parameters, ParameterView{in, name, required, schema, schema.Sensitive != ""})
	schema.marks(name, mark(in))
}

func milliseconds(at time.Time) float64 { return float64(at.UnixNano()) / 1e6 }

func sortedKeys[T any](of map[string]T) []string { return slices.Sorted(maps.Keys(of)) }
