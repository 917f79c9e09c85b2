package tracing

import (
	"fmt"
	"slices"
	"strings"
)

// Instrumentation is a set of the kinds of span that are recorded.
// The root span is recorded for every set but the empty one.
//
// Kong: kong/tracing/instrumentation.lua available_types, kong.conf tracing_instrumentations
type Instrumentation uint16

// Kong's kinds, then ours: Upstream splits the time of a try into sending, waiting and reading; PluginBodyFilter and
// PluginLog are phases that open-source Kong does not show.
const (
	Request Instrumentation = 1 << iota
	DBQuery
	Router
	HTTPClient
	Balancer
	PluginRewrite
	PluginAccess
	PluginHeaderFilter
	DNSQuery
	Upstream
	PluginBodyFilter
	PluginLog

	Off Instrumentation = 0
	All Instrumentation = 1<<iota - 1
)

var instrumentations = []struct {
	name string
	set  Instrumentation
}{
	{"off", Off},
	{"all", All},
	{"request", Request},
	{"db_query", DBQuery},
	{"router", Router},
	{"http_client", HTTPClient},
	{"balancer", Balancer},
	{"plugin_rewrite", PluginRewrite},
	{"plugin_access", PluginAccess},
	{"plugin_header_filter", PluginHeaderFilter},
	{"dns_query", DNSQuery},
	{"upstream", Upstream},
	{"plugin_body_filter", PluginBodyFilter},
	{"plugin_log", PluginLog},
}

// InstrumentationNames lists the values that ParseInstrumentations takes.
func InstrumentationNames() []string {
	names := make([]string, len(instrumentations))
	for i, one := range instrumentations {
		names[i] = one.name
	}
	return names
}

// ParseInstrumentations reads Kong's list of values. "off" excludes every other value, as in Kong.
func ParseInstrumentations(names []string) (Instrumentation, error) {
	set := Off
	for _, name := range names {
		i := slices.IndexFunc(instrumentations, func(one struct {
			name string
			set  Instrumentation
		},
		) bool {
			return one.name == name
		})
		if i < 0 {
			return Off, fmt.Errorf("unknown instrumentation %q, allowed: %s", name, strings.Join(InstrumentationNames(), ", "))
		}
		set |= instrumentations[i].set
	}
	if slices.Contains(names, "off") && len(names) > 1 {
		return Off, fmt.Errorf(`instrumentation "off" excludes every other value, got %s`, strings.Join(names, ", "))
	}
	return set, nil
}

// Has reports whether any of kinds is recorded.
func (set Instrumentation) Has(kinds Instrumentation) bool { return set&kinds != 0 }
