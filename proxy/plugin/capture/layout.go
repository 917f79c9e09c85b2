package capture

import (
	"net/http"
	"sync/atomic"
)

// layouts are the names, in order, of headers that came together, the newest by their number. The messages of one client
// or one service are much alike, so that most headers need not be put in order. The zero value is ready to use, by several
// goroutines.
type layouts [16]atomic.Pointer[[]*headerName] // read-only

// hostName is a header that net/http keeps apart from the others.
const hostName = "Host"

// field is a header with its values, of which there is one at least.
type field struct {
	known  *headerName
	values []string
}

// headers appends headers and, of a request, the host as a JSON object in the order of their names, which are lower case.
// A header that came more than once becomes an array.
func (m *masking) headers(out []byte, header http.Header, host []string, known *layouts) []byte {
	size := len(header) + len(host)
	if names := known[size%len(known)].Load(); names != nil && len(*names) == size {
		if out, ok := m.arranged(out, *names, header, host); ok {
			return out
		}
	}
	m.fields = m.fields[:0]
	if len(host) > 0 {
		m.fields = append(m.fields, field{m.names.header(hostName), host})
	}
	for name, values := range header {
		if len(values) > 0 {
			m.fields = append(m.fields, field{m.names.header(name), values})
		}
	}
	from, more := len(out), false
	order := m.sorted(m.fields)
	known.learn(m.fields, order)
	for i, p := range order {
		f := &m.fields[p.at]
		if out = m.header(out, f.known, f.values); len(out)-from > maxHeaders {
			more = i+1 < len(order)
			break
		}
	}
	clear(m.fields)
	return asObject(out, from, more)
}

// arranged is headers of as many headers as there are names. ok is false where they have others.
func (m *masking) arranged(out []byte, names []*headerName, header http.Header, host []string) (_ []byte, ok bool) {
	from := len(out)
	for i, known := range names {
		values := host
		if !known.host || len(host) == 0 {
			values = header[known.name]
		}
		if kept := known.kept.Load(); len(values) == 1 && kept != nil && values[0] == kept.value {
			if out = append(out, kept.text...); !kept.used.Load() {
				kept.used.Store(true)
			}
			continue
		}
		if len(values) == 0 {
			return out[:from], false
		}
		if out = m.header(out, known, values); len(out)-from > maxHeaders {
			return asObject(out, from, i+1 < len(names)), true
		}
	}
	return asObject(out, from, false), true
}

// asObject makes an object of what has been written from a place on; more: there are further headers.
func asObject(out []byte, from int, more bool) []byte {
	if more {
		out = append(out, `,"…":"truncated"`...)
	}
	if len(out) == from {
		return append(out, "{}"...)
	}
	out[from] = '{' // in the place of a comma
	return append(out, '}')
}

// learn makes a layout of headers that fitted none, now and then.
func (l *layouts) learn(fields []field, order []position) {
	at := &l[len(fields)%len(l)]
	if len(fields) > maxSorted || at.Load() != nil && !seldom() {
		return
	}
	names := make([]*headerName, len(order))
	for i, p := range order {
		if names[i] = fields[p.at].known; i > 0 && names[i].name == names[i-1].name {
			return // the host's name, which stands for two
		}
	}
	at.Store(&names)
}
