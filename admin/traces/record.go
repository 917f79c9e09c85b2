package traces

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// Request is a request that the gateway has carried. What it points to is copied by Store.Add, not kept.
type Request struct {
	TraceID [16]byte
	Spans   []byte // as Options.Expand reads them, or as it would give them
	Encoded bool   // the latter
	Note
}

// Note is what is told of a request besides its spans.
type Note struct {
	TraceIn, TraceOut [][2]string // headers with trace context
	Sampling          string
	Sampled           bool

	RouteID, ServiceID, ConsumerID string
	Host                           string // the Host header as it came, with its port
	Authenticated                  string // scheme of the request's credentials: basic, bearer, apikey, cookie, …
	RequestType, ResponseType      string // content types
	UpstreamURI                    string
	UpstreamStatus                 int
	BytesReceived, BytesSent       int64
	// Durations; a negative one does not apply.
	Request, Gateway, Upstream, Receive time.Duration
	Tries                               []Attempt
	Fault                               string
}

// Attempt is one try to reach an upstream.
type Attempt struct {
	IP    string
	Port  int
	Code  int
	State string
}

// Limits of a note: what comes from outside must not make it grow.
const (
	maxNoteText = 2 << 10 // of one text
	maxNoteList = 32      // headers, tries
)

// appendNote writes a note. Only parseNote reads it; a first byte tells versions apart.
func appendNote(buf []byte, n *Note) []byte {
	buf = append(buf, noteVersion, bit(n.Sampled))
	buf = appendPairs(buf, n.TraceIn)
	buf = appendPairs(buf, n.TraceOut)
	for _, text := range [...]string{
		n.Sampling, n.RouteID, n.ServiceID, n.ConsumerID, n.UpstreamURI, n.Fault,
		n.Host, n.Authenticated, n.RequestType, n.ResponseType,
	} {
		buf = appendText(buf, text)
	}
	for _, number := range [...]int64{
		int64(n.UpstreamStatus), n.BytesReceived, n.BytesSent,
		int64(n.Request), int64(n.Gateway), int64(n.Upstream), int64(n.Receive),
	} {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(number))
	}
	tries := n.Tries[:min(len(n.Tries), maxNoteList)]
	buf = binary.AppendUvarint(buf, uint64(len(tries)))
	for i := range tries {
		buf = appendText(buf, tries[i].IP)
		buf = binary.LittleEndian.AppendUint64(buf, uint64(tries[i].Port))
		buf = binary.LittleEndian.AppendUint64(buf, uint64(tries[i].Code))
		buf = appendText(buf, tries[i].State)
	}
	return buf
}

const noteVersion = 1

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(buf []byte, text string) []byte {
	switch {
	case text == "":
		return append(buf, 0)
	case len(text) < 0x80:
		return append(append(buf, byte(len(text))), text...)
	case len(text) > maxNoteText:
		text = text[:maxNoteText]
	}
	buf = binary.AppendUvarint(buf, uint64(len(text)))
	return append(buf, text...)
}

func appendPairs(buf []byte, pairs [][2]string) []byte {
	pairs = pairs[:min(len(pairs), maxNoteList)]
	buf = binary.AppendUvarint(buf, uint64(len(pairs)))
	for i := range pairs {
		buf = appendText(appendText(buf, pairs[i][0]), pairs[i][1])
	}
	return buf
}

var errNote = errors.New("read note: not one of ours")

// parseNote reads what appendNote wrote. It may come from a file, and so be anything.
func parseNote(data []byte) (n Note, err error) {
	r := noteReader{data: data}
	if r.byte() != noteVersion {
		return Note{}, errNote
	}
	n.Sampled = r.byte() == 1
	n.TraceIn, n.TraceOut = r.pairs(), r.pairs()
	for _, text := range [...]*string{
		&n.Sampling, &n.RouteID, &n.ServiceID, &n.ConsumerID, &n.UpstreamURI, &n.Fault,
		&n.Host, &n.Authenticated, &n.RequestType, &n.ResponseType,
	} {
		*text = r.text()
	}
	n.UpstreamStatus = r.int()
	n.BytesReceived, n.BytesSent = r.number(), r.number()
	for _, d := range [...]*time.Duration{&n.Request, &n.Gateway, &n.Upstream, &n.Receive} {
		*d = time.Duration(r.number())
	}
	for range r.count() {
		n.Tries = append(n.Tries, Attempt{IP: r.text(), Port: r.int(), Code: r.int(), State: r.text()})
	}
	if r.bad || len(r.data) > 0 {
		return Note{}, errNote
	}
	return n, nil
}

// noteReader takes values off the front; after the first that is not there, all are zero.
type noteReader struct {
	data []byte
	bad  bool
}

func (r *noteReader) byte() byte {
	if len(r.data) == 0 {
		r.bad = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *noteReader) number() int64 {
	if len(r.data) < 8 {
		r.data, r.bad = nil, true
		return 0
	}
	v := int64(binary.LittleEndian.Uint64(r.data))
	r.data = r.data[8:]
	return v
}

func (r *noteReader) int() int {
	v := r.number()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.bad = true
		return 0
	}
	return int(v)
}

func (r *noteReader) length(most int) int {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || v > uint64(most) {
		r.data, r.bad = nil, true
		return 0
	}
	r.data = r.data[n:]
	return int(v)
}

func (r *noteReader) count() int { return r.length(maxNoteList) }

func (r *noteReader) text() string {
	n := r.length(maxNoteText)
	if n > len(r.data) {
		r.data, r.bad = nil, true
		return ""
	}
	text := string(r.data[:n])
	r.data = r.data[n:]
	return text
}

func (r *noteReader) pairs() [][2]string {
	var pairs [][2]string
	for range r.count() {
		pairs = append(pairs, [2]string{r.text(), r.text()})
	}
	return pairs
}
