package requesttransformer

import (
	"net/http"
	"slices"

	"sidekong/proxy/plugin"
)

const host = "Host"

// changeHeaders does what is configured for headers. The Host header cannot be removed, added or appended to; replacing
// it names the host that the upstream sees. Kong: kong/plugins/request-transformer/access.lua transform_headers
func (t *transformer) changeHeaders(ctx *plugin.Context) {
	h := ctx.Request.Header
	for _, r := range t.headers.remove {
		delete(h, canonical(r.name))
	}
	for _, r := range t.headers.rename {
		old, name := canonical(r.name), canonical(r.value.render(ctx))
		values := h[old]
		if values == nil || old == name {
			continue
		}
		delete(h, old)
		if name == host {
			ctx.Outgoing.Host = values[0]
		} else {
			h[name] = values
		}
	}
	for _, r := range t.headers.replace {
		name := canonical(r.name)
		switch {
		case name == host:
			ctx.Outgoing.Host = r.value.render(ctx)
		case h[name] == nil:
		case r.value == nil:
			delete(h, name)
		default:
			h[name] = []string{r.value.render(ctx)}
		}
	}
	for _, a := range t.headers.add {
		if name := canonical(a.name); h[name] == nil && name != host && a.value != nil {
			h[name] = []string{a.value.render(ctx)}
		}
	}
	for _, a := range t.headers.append {
		if name := canonical(a.name); name != host && a.value != nil {
			h[name] = append(slices.Clip(h[name]), a.value.render(ctx))
		}
	}
}

// canonical is a header's name as net/http has it.
func canonical(name string) string { return http.CanonicalHeaderKey(name) }
