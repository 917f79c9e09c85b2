package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// route is a path with what may be done there. Segments of pattern in braces stand for any text.
type route struct {
	pattern    string
	segments   []string
	operations map[string]operation // by method
}

// operation is one method of a route, and what the OpenAPI document says of it.
type operation struct {
	summary string
	handle  func(*call) (*answer, error)
	body    string // kind whose schema the body follows, "" for none or a free form
	raw     bool   // handle reads the body itself

	status   int      // of success
	request  string   // schema of the body in the document: of the same name as the kind, or one of shapes
	response string   // likewise, "" for no body
	query    []string // names of the arguments
}

func (r *route) operation(method string) (operation, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	o, ok := r.operations[method]
	return o, ok
}

// options lists the methods. Kong: kong/api/api_helpers.lua options_method
func (r *route) options() *answer {
	methods := append(slices.Collect(maps.Keys(r.operations)), http.MethodOptions)
	if _, ok := r.operations[http.MethodGet]; ok {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return &answer{status: http.StatusNoContent, header: http.Header{"Allow": {allow}}}
}

// table holds the routes.
type table struct {
	routes   []*route
	byLength map[int][]*route
}

func (t *table) add(pattern, method string, o operation) {
	for _, r := range t.routes {
		if r.pattern == pattern {
			r.operations[method] = o
			return
		}
	}
	r := &route{
		pattern: pattern, segments: strings.Split(strings.TrimPrefix(pattern, "/"), "/"),
		operations: map[string]operation{method: o},
	}
	t.routes = append(t.routes, r)
	t.byLength[len(r.segments)] = append(t.byLength[len(r.segments)], r)
}

// match finds the route of an escaped path, nil if there is none. One slash at the end makes no difference,
// nor does one at the root.
func (t *table) match(path string) (*route, map[string]string) {
	rest, rooted := strings.CutPrefix(path, "/")
	if !rooted && path != "" {
		return nil, nil
	}
	segments := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	var best *route
	bestRank := -1
	for _, r := range t.byLength[len(segments)] {
		if rank, ok := r.covers(segments); ok && rank > bestRank {
			best, bestRank = r, rank
		}
	}
	if best == nil {
		return nil, nil
	}
	params := map[string]string{}
	for i, segment := range best.segments {
		if name, ok := parameter(segment); ok {
			value, err := url.PathUnescape(segments[i])
			if err != nil {
				value = segments[i]
			}
			params[name] = value
		}
	}
	return best, params
}

// covers tells whether segments fit. Of two routes that fit, the one with the greater rank is meant: it has a fixed
// segment where they first differ.
func (r *route) covers(segments []string) (rank int, ok bool) {
	for i, segment := range r.segments {
		rank <<= 1
		if _, any := parameter(segment); any {
			if segments[i] == "" {
				return 0, false
			}
			continue
		}
		if segment != segments[i] {
			return 0, false
		}
		rank |= 1
	}
	return rank, true
}

func parameter(segment string) (name string, ok bool) {
	if strings.HasPrefix(segment, "{") {
		return segment[1 : len(segment)-1], true
	}
	return "", false
}

// table lists all that the API serves. Kong: kong/api/endpoints.lua generate_endpoints
func (a *api) table() *table {
	t := &table{byLength: map[int][]*route{}}
	for _, col := range collections {
		if !col.hidden {
			a.collectionRoutes(t, "/"+col.path, col)
			a.entityRoutes(t, "/"+col.path+"/{"+col.kind+"}", col)
		}
		schema, _ := a.Schemas.Of(col.kind)
		for _, field := range schema.Fields() {
			if field.Type != entity.Foreign {
				continue
			}
			parent := collectionOf(field.Reference)
			inside := nesting{parent: parent, child: col, field: field.Name}
			a.nestedRoutes(t, "/"+parent.path+"/{"+parent.kind+"}/"+col.nested, inside)
			if path := "/" + col.path + "/{" + col.kind + "}/" + field.Name; !col.hidden && !disabled[path] {
				a.foreignRoutes(t, path, inside)
			}
		}
	}
	a.healthRoutes(t)
	a.tagRoutes(t)
	a.schemaRoutes(t)
	a.nodeRoutes(t)
	a.configRoutes(t)
	slices.SortFunc(t.routes, func(x, y *route) int {
		// A slash sorts before everything: /a, /a/z, /ab.
		return strings.Compare(strings.ReplaceAll(x.pattern, "/", "\x00"), strings.ReplaceAll(y.pattern, "/", "\x00"))
	})
	return t
}
