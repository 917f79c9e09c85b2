package capture

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// layout is the headers of a message that has been: in the order of their names, each with what became of its value. The
// messages of one client or one service are much alike, so that most headers of the next are neither put in order nor
// read. It is read-only.
type layout struct{ lines []line }

type line struct {
	known *headerName
	value string
	text  string // what headers writes for it; "": it is to be written anew
}

// layouts are the newest layouts, by the number of headers. The zero value is ready to use, by several goroutines.
type layouts [16]struct {
	current atomic.Pointer[layout]
	missed  atomic.Uint32 // messages that it did not fit
}

// relearn is how many messages a layout must not fit, one after the other or not, to give way to another.
const relearn = 8

// maxKept is the length up to which what became of a header is kept, in bytes.
const maxKept = 256

// head is the headers of a message.
type head struct {
	fields []field
	layout *layout // whose lines are in the order of fields; nil: fields are in no order
}

func (h *head) clear() {
	clear(h.fields)
	h.fields, h.layout = h.fields[:0], nil
}

// take notes headers and, of a request, the host. They are not read before the end, when it is known whether they are of
// interest.
func (h *head) take(header http.Header, host []string, known *layouts) {
	n := len(header) + len(host)
	h.layout = known[n%len(known)].current.Load()
	if h.layout != nil && len(h.layout.lines) == n && h.arrange(header, host) {
		return
	}
	h.clear()
	if len(host) > 0 {
		h.fields = append(h.fields, field{hostName, host})
	}
	for name, values := range header {
		if len(values) > 0 {
			h.fields = append(h.fields, field{name, values})
		}
	}
}

// hostName is a header that net/http keeps apart from the others.
const hostName = "Host"

// arrange notes headers in the order of the layout, which has as many. It reports whether they are the same ones.
func (h *head) arrange(header http.Header, host []string) bool {
	h.fields = slices.Grow(h.fields, len(h.layout.lines))[:len(h.layout.lines)]
	for i := range h.layout.lines {
		name := h.layout.lines[i].known.name
		values := header[name]
		if len(values) == 0 {
			if name != hostName || len(host) == 0 {
				return false
			}
			values = host
		}
		h.fields[i] = field{name, values}
	}
	return true
}

// learn makes the layout of headers that fitted none, now and then.
func (m *masking) learn(fields []field, order []rank, known *layouts) {
	at := &known[len(fields)%len(known)]
	if at.missed.Add(1)%relearn != 1 || len(fields) > maxSorted {
		return
	}
	made := &layout{lines: make([]line, len(order))}
	for i, r := range order {
		f := &fields[r.at]
		made.lines[i].known = m.names.header(f.name, r.head)
		if i > 0 && f.name == made.lines[i-1].known.name {
			return // one name for two fields: the host's
		}
		if len(f.values) != 1 || made.lines[i].known.secret {
			continue
		}
		trial := *m
		trial.marks = new(marks)
		text := trial.entry(nil, made.lines[i].known, f.values)
		if len(text) <= maxKept && len(trial.marks.places) == 0 { // else it is marked each time
			made.lines[i].value, made.lines[i].text = strings.Clone(f.values[0]), string(text)
		}
	}
	at.current.Store(made)
}
