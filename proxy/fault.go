package proxy

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is an entity that cannot be served as it is configured. The fields have the names of Kong's error objects.
type Fault struct {
	Type    string `json:"entity_type"` // route, service, upstream, target, sni, certificate or plugin
	ID      string `json:"entity_id"`
	Name    string `json:"entity_name,omitempty"` // a target's is host:port, a plugin's that of its kind
	Message string `json:"message"`
}

func (f Fault) String() string {
	if f.Name == "" {
		return fmt.Sprintf("%s %s: %s", f.Type, f.ID, f.Message)
	}
	return fmt.Sprintf("%s %s (%s): %s", f.Type, f.Name, f.ID, f.Message)
}

// Faults are those of one configuration. As an error they are a line each.
type Faults []Fault

func (all Faults) Error() string {
	lines := make([]string, len(all))
	for i, f := range all {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

func (all *Faults) add(kind, id, name string, err error) {
	*all = append(*all, Fault{kind, id, name, err.Error()})
}

// Faults are the entities that the gateway cannot serve. There are none unless Options.Isolate is set.
func (g *Gateway) Faults() Faults {
	if rt := g.current.Load(); rt != nil {
		return rt.faults
	}
	return nil // closed
}

// logFaults tells of what cannot be served now and was not known of before.
func (g *Gateway) logFaults(known, now Faults) {
	for _, f := range now {
		if !slices.Contains(known, f) {
			g.options.Logger.Error("an entity cannot be served: the rest is", "entity_type", f.Type, "entity_id", f.ID,
				"entity_name", f.Name, "error", f.Message)
		}
	}
}
