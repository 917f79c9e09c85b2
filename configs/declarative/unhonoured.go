package declarative

import (
	"slices"

	"sidekong/configs/entity"
)

// Unhonoured is a field that is read and checked and makes no difference to what Sidekong does.
type Unhonoured struct {
	Kind  string
	Field string
	When  func(value any) bool // which values ask for something that does not happen
	Says  string
}

// NotHonoured lists the fields whose wishes Sidekong does not follow. Parse reports each of them once.
var NotHonoured = []Unhonoured{
	{"services", "protocol", anyOf(streamProtocols...), "Sidekong proxies HTTP and gRPC; Kong would proxy this TCP, TLS or UDP stream"},
	{"routes", "protocols", anyOf(streamProtocols...), "Sidekong proxies HTTP and gRPC; Kong would proxy these TCP, TLS or UDP streams"},
	{"routes", "sources", given, "Kong would choose stream connections by where they come from"},
	{"routes", "destinations", given, "Kong would choose stream connections by where they go to"},
	{"routes", "path_handling", anyOf("v1"), "paths are joined as v0 does, and so they are in Kong's router_flavor traditional_compatible"},
	{"routes", "request_buffering", anyOf(true), "Kong would read the whole request before it goes on; Sidekong always streams"},
	{"routes", "response_buffering", anyOf(true), "Kong would buffer the answer; Sidekong always streams"},
}

var streamProtocols = []any{"tcp", "tls", "udp", "tls_passthrough"}

// anyOf is true for a value, or a list with a value, among these.
func anyOf(these ...any) func(any) bool {
	return func(value any) bool {
		if list, ok := value.([]any); ok {
			return slices.ContainsFunc(list, anyOf(these...))
		}
		switch value.(type) {
		case nil, entity.Object:
			return false
		}
		return slices.Contains(these, value)
	}
}

// given is true for anything but null and the empty list.
func given(value any) bool {
	list, ok := value.([]any)
	return value != nil && (!ok || len(list) > 0)
}
