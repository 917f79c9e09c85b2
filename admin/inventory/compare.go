package inventory

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Comparison is how an API as observed differs from a document.
type Comparison struct {
	Undocumented []Difference `json:"undocumented"` // seen and not in the document
	Unseen       []Difference `json:"unseen"`       // in the document and not seen
}

// Difference is an operation, or something about one.
type Difference struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Host   string `json:"host,omitempty"`
	Detail string `json:"detail,omitempty"` // of an operation that is known on both sides: "status 404", "query parameter page"
}

// Bounds of a document.
const (
	maxDocumentDepth = 100
	maxReferences    = 16 // one behind the other
)

// errDocument tells that a document is no OpenAPI.
var errDocument = errors.New("read OpenAPI: neither openapi nor swagger with paths is in it")

// Compare reads an OpenAPI document, version 3 or 2, in JSON or YAML, and tells how what was seen differs from it. Names
// of path parameters don't matter.
func (v *Inventory) Compare(text []byte) (Comparison, error) {
	described, err := readDocument(text)
	if err != nil {
		return Comparison{}, err
	}
	out := Comparison{Undocumented: []Difference{}, Unseen: []Difference{}}
	view := v.View()
	for i := range view.Endpoints {
		e := &view.Endpoints[i]
		op, samePath := described.find(e.Method, e.Path)
		if op == nil {
			d := Difference{Method: e.Method, Path: e.Path, Host: e.Host}
			if samePath {
				d.Detail = "the path is in the document, the method is not"
			}
			out.Undocumented = append(out.Undocumented, d)
			continue
		}
		op.seen = true
		for _, detail := range op.lacks(e) {
			out.Undocumented = append(out.Undocumented, Difference{e.Method, e.Path, e.Host, detail})
		}
	}
	for _, op := range described {
		if !op.seen {
			out.Unseen = append(out.Unseen, Difference{Method: op.method, Path: op.path})
		}
	}
	return out, nil
}

// described are the operations of a document, by path and method.
type described []*describedOperation

type describedOperation struct {
	method, path string
	segments     []string
	queries      map[string]bool
	statuses     map[string]bool // "200", "4XX", "default"
	seen         bool
}

// find gives the operation of an observed template, of several the one with the most words in common. samePath tells
// that another method of the path is described.
func (d described) find(method, path string) (op *describedOperation, samePath bool) {
	segments := strings.Split(path, "/")
	best := -1
	for _, candidate := range d {
		words, ok := matches(candidate.segments, segments)
		if !ok {
			continue
		}
		samePath = true
		if candidate.method == method && words > best {
			op, best = candidate, words
		}
	}
	return op, samePath
}

// matches reports whether a described path covers an observed one, and how many of their segments are the same words.
func matches(described, observed []string) (words int, ok bool) {
	if len(described) != len(observed) {
		return 0, false
	}
	for i, segment := range described {
		switch {
		case segment == observed[i]:
			words++
		case strings.Contains(segment, "{") && observed[i] != "":
		default:
			return 0, false
		}
	}
	return words, true
}

// lacks lists what was seen of an endpoint and is not described. Kong's own answers and broken requests are nobody's.
func (op *describedOperation) lacks(e *Endpoint) (details []string) {
	for _, p := range e.Parameters {
		if p.In == "query" && !op.queries[p.Name] {
			details = append(details, "query parameter "+p.Name)
		}
	}
	for _, status := range sortedKeys(e.Statuses) {
		if status == "0" || status == "499" || op.statuses["default"] || op.statuses[status] || op.statuses[status[:1]+"XX"] {
			continue
		}
		details = append(details, "status "+status)
	}
	return details
}

// node is a part of a document.
type node = map[string]any

// readDocument lists what a document describes.
func readDocument(text []byte) (described, error) {
	root, err := parseDocument(text)
	if err != nil {
		return nil, err
	}
	paths, ok := root["paths"].(node)
	_, three := root["openapi"].(string)
	swagger, two := root["swagger"].(string)
	if !ok || !three && !(two && strings.HasPrefix(swagger, "2")) {
		return nil, errDocument
	}
	bases := basePaths(root)
	var out described
	for _, path := range sortedKeys(paths) {
		item := resolve(root, paths[path])
		if !strings.HasPrefix(path, "/") || item == nil {
			continue
		}
		for _, method := range fixedMethods {
			op := resolve(root, item[method])
			if op == nil {
				continue
			}
			for _, base := range bases {
				whole := base + path
				d := &describedOperation{
					method: strings.ToUpper(method), path: whole, segments: strings.Split(whole, "/"),
					queries: map[string]bool{}, statuses: map[string]bool{},
				}
				d.addQueries(root, item["parameters"])
				d.addQueries(root, op["parameters"])
				responses, _ := op["responses"].(node)
				for status := range responses {
					d.statuses[strings.ToUpper(status)] = true
				}
				if _, ok := responses["default"]; ok {
					d.statuses["default"] = true
				}
				out = append(out, d)
			}
		}
	}
	slices.SortFunc(out, func(a, b *describedOperation) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
	})
	return out, nil
}

func (op *describedOperation) addQueries(root node, parameters any) {
	list, _ := parameters.([]any)
	for _, p := range list {
		parameter := resolve(root, p)
		if name, ok := parameter["name"].(string); ok && parameter["in"] == "query" {
			op.queries[name] = true
		}
	}
}

// parseDocument reads JSON or YAML.
func parseDocument(text []byte) (node, error) {
	text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte("\xef\xbb\xbf"))
	var root any
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &root); err != nil {
			return nil, fmt.Errorf("read OpenAPI: %w", err)
		}
	} else if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("read OpenAPI: %w", err)
	}
	cleaned, _ := clean(root, 0).(node)
	if cleaned == nil {
		return nil, errDocument
	}
	return cleaned, nil
}

// clean turns the keys of YAML into texts, as those of responses: 200 is a number there.
func clean(value any, depth int) any {
	if depth > maxDocumentDepth {
		return nil
	}
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = clean(item, depth+1)
		}
		return value
	case map[any]any:
		out := make(node, len(value))
		for key, item := range value {
			out[fmt.Sprint(key)] = clean(item, depth+1)
		}
		return out
	case []any:
		for i, item := range value {
			value[i] = clean(item, depth+1)
		}
	}
	return value
}

// resolve follows references within the document. It gives nil for what is no object.
func resolve(root node, value any) node {
	for range maxReferences {
		object, _ := value.(node)
		ref, ok := object["$ref"].(string)
		if !ok {
			return object
		}
		pointer, ok := strings.CutPrefix(ref, "#/")
		if !ok {
			return nil
		}
		value = root
		for name := range strings.SplitSeq(pointer, "/") {
			if plain, err := url.PathUnescape(name); err == nil {
				name = plain
			}
			name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
			switch parent := value.(type) {
			case node:
				value = parent[name]
			case []any:
				i, err := strconv.Atoi(name)
				if err != nil || i < 0 || i >= len(parent) {
					return nil
				}
				value = parent[i]
			default:
				return nil
			}
		}
	}
	return nil
}

// basePaths are what the servers of a document put before its paths; "" where they put nothing.
func basePaths(root node) []string {
	if base, ok := root["basePath"].(string); ok {
		return []string{strings.TrimSuffix(base, "/")}
	}
	list, _ := root["servers"].([]any)
	var bases []string
	for _, s := range list {
		object, _ := s.(node)
		text, _ := object["url"].(string)
		base := ""
		if _, rest, found := strings.Cut(text, "//"); found {
			if slash := strings.IndexByte(rest, '/'); slash >= 0 {
				base = rest[slash:]
			}
		} else if strings.HasPrefix(text, "/") {
			base = text
		}
		if base = strings.TrimSuffix(base, "/"); !slices.Contains(bases, base) && len(bases) < maxNames {
			bases = append(bases, base)
		}
	}
	if len(bases) == 0 {
		return []string{""}
	}
	return bases
}
