package capture

import (
	"net/http"
	"slices"
	"sync/atomic"
)

// layouts are the names, in order, of headers that came together, the newest by their number. The messages of one client
// or one service are much alike, so that most headers need not be put in order. The zero value is ready to use, by several
// goroutines.
type layouts [16]struct {
	names  atomic.Pointer[[]*headerName] // read-only
	missed atomic.Uint32                 // messages that these names did not fit
}

// relearn is how many messages a layout does not fit, one after the other or not, until it gives way to another.
const relearn = 8

// head is the headers of a message.
type head struct {
	names  []*headerName // in order; nil: fields has the headers, in none
	values [][]string    // of names
	fields []field
}

// field is a header with its values, of which there is one at least.
type field struct {
	known  *headerName
	values []string
}

func (h *head) clear() {
	clear(h.values)
	clear(h.fields)
	h.names, h.values, h.fields = nil, h.values[:0], h.fields[:0]
}

// hostName is a header that net/http keeps apart from the others.
const hostName = "Host"

// take notes headers and, of a request, the host. The values are not read before the end, when it is known whether they
// are of interest.
func (h *head) take(header http.Header, host []string, n *names, known *layouts) {
	size := len(header) + len(host)
	if names := known[size%len(known)].names.Load(); names != nil && len(*names) == size && h.arrange(*names, header, host) {
		return
	}
	h.clear()
	if len(host) > 0 {
		h.fields = append(h.fields, field{n.header(hostName), host})
	}
	for name, values := range header {
		if len(values) > 0 {
			h.fields = append(h.fields, field{n.header(name), values})
		}
	}
}

// arrange notes as many headers as there are names. It reports whether they are the same ones.
func (h *head) arrange(names []*headerName, header http.Header, host []string) bool {
	h.names, h.values = names, slices.Grow(h.values, len(names))[:len(names)]
	to := h.values[:len(names)]
	for i, known := range names {
		values := header[known.name]
		if len(values) == 0 {
			if known.name != hostName || len(host) == 0 {
				return false
			}
			values = host
		}
		to[i] = values
	}
	return true
}

// learn makes a layout of headers that fitted none, now and then.
func (l *layouts) learn(fields []field, order []position) {
	at := &l[len(fields)%len(l)]
	if at.missed.Add(1)%relearn != 1 || len(fields) > maxSorted {
		return
	}
	names := make([]*headerName, len(order))
	for i, p := range order {
		if names[i] = fields[p.at].known; i > 0 && names[i].name == names[i-1].name {
			return // the host's name, which stands for two
		}
	}
	at.names.Store(&names)
}
