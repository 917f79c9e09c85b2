package params

import (
	"net/http"
	"strings"
)

// Table is the arguments as Kong's scripts and logs show them: a name has its value, true where it is bare, or the list
// of what it has several times. Kong: kong/pdk/request.lua get_query
func (a Args) Table() map[string]any {
	table := make(map[string]any, len(a))
	for _, arg := range a {
		var value any = arg.Value
		if arg.Bare {
			value = true
		}
		add(table, arg.Name, value)
	}
	return table
}

// HeaderTable is a header likewise, with names in lower case. host, where it is not empty, is shown as the Host header.
// Kong: kong/pdk/request.lua get_headers
func HeaderTable(h http.Header, host string) map[string]any {
	table := make(map[string]any, len(h)+1)
	if host != "" {
		table["host"] = host
	}
	for name, values := range h {
		name = strings.ToLower(name)
		for _, value := range values {
			add(table, name, value)
		}
	}
	return table
}

func add(table map[string]any, name string, value any) {
	switch known := table[name].(type) {
	case nil:
		table[name] = value
	case []any:
		table[name] = append(known, value)
	default:
		table[name] = []any{known, value}
	}
}
