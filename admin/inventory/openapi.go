package inventory

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parts of an OpenAPI document that an inventory writes.
// https://spec.openapis.org/oas/v3.1.0
type (
	document struct {
		OpenAPI    string                           `json:"openapi"`
		Info       info                             `json:"info"`
		Servers    []server                         `json:"servers,omitempty"`
		Paths      map[string]map[string]*operation `json:"paths"`
		Components *components                      `json:"components,omitempty"`
	}
	info struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description,omitempty"`
	}
	server struct {
		URL string `json:"url"`
	}
	operation struct {
		OperationID string                `json:"operationId"`
		Tags        []string              `json:"tags,omitempty"`
		Servers     []server              `json:"servers,omitempty"`
		Parameters  []documentParameter   `json:"parameters,omitempty"`
		RequestBody *requestBody          `json:"requestBody,omitempty"`
		Responses   map[string]response   `json:"responses"`
		Security    []map[string][]string `json:"security,omitempty"`
		Calls       int64                 `json:"x-sidekong-calls"`
		FirstSeen   string                `json:"x-sidekong-first-seen"`
		LastSeen    string                `json:"x-sidekong-last-seen"`
	}
	documentParameter struct {
		Name     string  `json:"name"`
		In       string  `json:"in"`
		Required bool    `json:"required,omitempty"`
		Schema   *Schema `json:"schema"`
	}
	requestBody struct {
		Content map[string]mediaTypeObject `json:"content"`
	}
	response struct {
		Description string                     `json:"description"`
		Content     map[string]mediaTypeObject `json:"content,omitempty"`
	}
	mediaTypeObject struct {
		Schema *Schema `json:"schema,omitempty"`
	}
	components struct {
		SecuritySchemes map[string]securityScheme `json:"securitySchemes"`
	}
	securityScheme struct {
		Type   string `json:"type"`
		Scheme string `json:"scheme,omitempty"`
		In     string `json:"in,omitempty"`
		Name   string `json:"name,omitempty"`
	}
)

// fixedMethods are the operations that a path item of OpenAPI 3.1 may have.
var fixedMethods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// OpenAPI writes what is known as an OpenAPI 3.1 document in JSON. Operations of the same method and path on several
// hosts become one that names them; paths that differ in the names of parameters alone become one. Methods that OpenAPI
// has no place for are left out.
func (v *Inventory) OpenAPI() ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	type merged struct {
		*endpoint
		parameters []pathParameter
		hosts      []string
	}
	paths := map[string]map[string]*merged{} // template → method
	known := map[string]string{}             // template without names → template
	hosts := map[string]bool{}
	v.each(func(host string, way []step, method string, e *endpoint) {
		lower := strings.ToLower(method)
		if !slices.Contains(fixedMethods, lower) {
			return
		}
		path, parameters := template(way)
		bare := captureNames.ReplaceAllString(path, "{}")
		if first, ok := known[bare]; ok {
			path = first
		} else {
			known[bare] = path
			paths[path] = map[string]*merged{}
		}
		m := paths[path][lower]
		if m == nil {
			m = &merged{endpoint: newEndpoint(), parameters: parameters}
			paths[path][lower] = m
		}
		m.merge(e)
		m.hosts = append(m.hosts, host)
		hosts[host] = true
	})

	doc := document{
		OpenAPI: "3.1.0",
		Info:    info{Title: "Observed API", Version: "1.0.0", Description: "Written by Sidekong from what passed through it."},
		Paths:   map[string]map[string]*operation{},
	}
	if len(hosts) == 1 {
		for host := range hosts {
			doc.Servers = servers([]string{host})
		}
	}
	schemes, used := map[string]securityScheme{}, map[string]bool{}
	for _, path := range sortedKeys(paths) {
		doc.Paths[path] = map[string]*operation{}
		names := captureNames.FindAllStringSubmatch(path, -1)
		for _, method := range sortedKeys(paths[path]) {
			m := paths[path][method]
			for i := range m.parameters {
				m.parameters[i].name = names[i][1]
			}
			op := m.operation(m.parameters, schemes)
			if len(hosts) > 1 {
				op.Servers = servers(m.hosts)
			}
			op.OperationID = operationID(method, path, used)
			doc.Paths[path][method] = op
		}
	}
	if len(schemes) > 0 {
		doc.Components = &components{schemes}
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI: %w", err)
	}
	return text, nil
}

// servers names hosts. Their scheme is not known.
func servers(hosts []string) (out []server) {
	for _, host := range hosts {
		if host != "" && !strings.ContainsAny(host, "{} \t/?#") {
			out = append(out, server{"//" + host})
		}
	}
	return out
}

// operationID makes a name of letters and digits that no other operation has.
func operationID(method, path string, used map[string]bool) string {
	var out strings.Builder
	out.WriteString(method)
	upper := true
	for _, r := range path {
		switch {
		case r < 128 && (r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9'):
			if upper && r >= 'a' && r <= 'z' {
				r -= 'a' - 'A'
			}
			out.WriteRune(r)
			upper = false
		default:
			upper = true
		}
	}
	id := out.String()
	for i, base := 2, id; used[id]; i++ {
		id = base + "_" + strconv.Itoa(i)
	}
	used[id] = true
	return id
}

func (e *endpoint) operation(parameters []pathParameter, schemes map[string]securityScheme) *operation {
	op := &operation{
		Tags: e.services.names(), Responses: map[string]response{}, Calls: e.calls,
		FirstSeen: e.first.UTC().Format(time.RFC3339), LastSeen: e.last.UTC().Format(time.RFC3339),
	}
	for _, p := range parameters {
		op.Parameters = append(op.Parameters, documentParameter{p.name, "path", true, kindsSchema(p.name, p.kinds)})
	}
	for _, in := range []struct {
		name string
		of   *shape
	}{{"query", e.query}, {"header", e.header}} {
		for _, name := range sortedKeys(in.of.fields) {
			field := in.of.fields[name]
			op.Parameters = append(op.Parameters, documentParameter{name, in.name, in.of.required(field), field.schema(name)})
		}
	}
	if e.request != nil || len(e.requestTypes) > 0 {
		op.RequestBody = &requestBody{content(e.request, e.requestTypes)}
	}
	for status, n := range e.statuses {
		if status < 100 || status > 599 {
			continue
		}
		r := response{Description: describe(status, n)}
		if body := e.responses[status]; body != nil {
			r.Content = content(body, e.responseTypes)
		}
		op.Responses[strconv.Itoa(status)] = r
	}
	if len(op.Responses) == 0 {
		op.Responses["default"] = response{Description: "No answer was seen."}
	}
	for _, scheme := range sortedKeys(e.authentication) {
		switch scheme {
		case "":
			op.Security = append(op.Security, map[string][]string{})
			continue
		case "apikey":
			schemes["apikey"] = securityScheme{Type: "apiKey", In: "header", Name: "apikey"}
		case "cookie":
			schemes["cookie"] = securityScheme{Type: "apiKey", In: "cookie", Name: "session"}
		default:
			if !isEnum.MatchString(scheme) || strings.Contains(scheme, ":") {
				continue
			}
			schemes[scheme] = securityScheme{Type: "http", Scheme: scheme}
		}
		op.Security = append(op.Security, map[string][]string{scheme: {}})
	}
	if len(e.authentication) == 1 && e.authentication[""] > 0 {
		op.Security = nil
	}
	return op
}

func describe(status int, n int64) string {
	text := http.StatusText(status)
	if text == "" {
		text = "Status " + strconv.Itoa(status)
	}
	return fmt.Sprintf("%s, seen %d times", text, n)
}

// content gives the schema of bodies to those of their types that it can be of.
func content(body *shape, types counts) map[string]mediaTypeObject {
	out := map[string]mediaTypeObject{}
	for _, name := range types.names() {
		readable := strings.Contains(name, "json") || name == "application/x-www-form-urlencoded"
		if body != nil && readable {
			out[name] = mediaTypeObject{body.schema("")}
		} else {
			out[name] = mediaTypeObject{}
		}
	}
	if len(out) == 0 {
		media := mediaTypeObject{}
		if body != nil {
			media.Schema = body.schema("")
		}
		out["application/json"] = media
	}
	return out
}
