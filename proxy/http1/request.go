package http1

import (
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// inlineBody is the longest declared body that is read before a connection is
// taken, so that it needs neither a goroutine nor a write of its own. Clients that
// expect an answer before they sent so little are as good as unknown, and Kong
// buffers requests whatever their size.
const inlineBody = 16 << 10

// message is a request as it goes over the wire: bytes that leave in one write, and
// what follows them.
type message struct {
	buf     []byte
	replay  bool // may be sent a second time after bytes were written
	close   bool // the connection ends with this request
	stream  bool // the body follows buf
	expect  bool // the body waits for "100 Continue"
	chunked bool
	probe   bool      // whether there is a body shows only when it is read
	length  int64     // of a streamed body that is not chunked
	body    io.Reader // what is streamed; closing is done on the request's Body
}

const maxPooledMessage = 32 << 10

var messages = sync.Pool{New: func() any { return &message{buf: make([]byte, 0, 4<<10)} }}

func (m *message) free() {
	if cap(m.buf) <= maxPooledMessage {
		*m = message{buf: m.buf[:0]}
		messages.Put(m)
	}
}

// newMessage encodes req. It reads a short body entirely and closes it then; on
// error closing it is left to the caller.
func newMessage(req *http.Request, trip *Trip) (*message, error) {
	m := messages.Get().(*message)
	phase, err := Prepare, m.frame(req)
	if err == nil && m.probe {
		phase, err = Body, m.findBody(req, trip)
	}
	if err == nil {
		phase, err = Prepare, m.appendHead(req, trip.Target)
	}
	if err == nil {
		phase, err = Body, m.inline(req, trip)
	}
	if err != nil {
		m.free()
		return nil, &Error{Phase: phase, Err: err}
	}
	return m, nil
}

// frame decides how the body is delimited, as net/http's transferWriter does.
func (m *message) frame(req *http.Request) error {
	m.close = req.Close || httpguts.HeaderValuesContainsToken(req.Header["Connection"], "close")
	if req.Body == nil {
		if req.ContentLength != 0 {
			return fmt.Errorf("ContentLength=%d with nil Body", req.ContentLength)
		}
		m.replay = isSafe(req.Method)
		return nil
	}
	m.body = req.Body
	m.length = req.ContentLength
	switch {
	case len(req.TransferEncoding) > 0 && req.TransferEncoding[0] == "chunked":
		m.chunked = true
	case req.Body == http.NoBody:
		m.length = 0
	case m.length <= 0 && len(req.TransferEncoding) == 0 && usuallyLacksBody(req.Method):
		m.probe = true
		return nil
	case m.length <= 0:
		m.chunked = true
	}
	m.stream = m.chunked || m.length > 0
	m.replay = !m.stream && isSafe(req.Method)
	return nil
}

// findBody reads the first byte of a body of unknown length where the method usually
// has none, because servers are surprised by an empty chunked body there.
func (m *message) findBody(req *http.Request, trip *Trip) error {
	first := make([]byte, 1)
	trip.BodyTouched = true
	switch _, err := io.ReadFull(req.Body, first); err {
	case nil:
		m.stream, m.chunked = true, true
		m.body = io.MultiReader(strings.NewReader(string(first)), req.Body)
	case io.EOF:
		m.length = 0
		m.replay = isSafe(req.Method)
	default:
		return err
	}
	return nil
}

// inline moves a short body into buf.
func (m *message) inline(req *http.Request, trip *Trip) error {
	if m.stream {
		m.expect = req.ProtoAtLeast(1, 1) && httpguts.HeaderValuesContainsToken(req.Header["Expect"], "100-continue")
	}
	if m.chunked || m.length > inlineBody || m.expect || trip.StreamBody && m.stream {
		return nil
	}
	if m.stream {
		trip.BodyTouched = true
		head := len(m.buf)
		m.buf = slices.Grow(m.buf, int(m.length)+1)
		// One byte of room more than declared finds a body that is too long.
		n, err := io.ReadFull(m.body, m.buf[head:head+int(m.length)+1])
		if err != io.ErrUnexpectedEOF && err != io.EOF && err != nil {
			return err
		}
		if int64(n) != m.length {
			return lengthError(m.length, int64(n))
		}
		m.buf = m.buf[:head+n]
		m.stream = false
	}
	if req.Body != nil {
		return req.Body.Close()
	}
	return nil
}

func lengthError(declared, got int64) error {
	if got > declared {
		return fmt.Errorf("body is longer than ContentLength=%d", declared)
	}
	return fmt.Errorf("body of %d bytes is shorter than ContentLength=%d", got, declared)
}

// appendHead writes request line and headers, in the order of net/http those that it makes itself.
func (m *message) appendHead(req *http.Request, target string) error {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	} else if !httpguts.ValidHeaderFieldName(method) { // a token as well
		return fmt.Errorf("invalid method %q", method)
	}
	if target == "" {
		target = req.URL.RequestURI()
	}
	if !validTarget(target) {
		return fmt.Errorf("invalid request target %q", target)
	}
	host, err := hostHeader(req)
	if err != nil {
		return err
	}
	b := m.buf
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\n"...)

	agent := "Go-http-client/1.1"
	if v, ok := req.Header["User-Agent"]; ok {
		agent = ""
		if len(v) > 0 {
			agent = textproto.TrimString(v[0])
		}
	}
	if agent != "" {
		b = appendField(b, "User-Agent", agent)
	}
	if req.Close && !httpguts.HeaderValuesContainsToken(req.Header["Connection"], "close") {
		b = appendField(b, "Connection", "close")
	}
	switch {
	case m.chunked:
		b = appendField(b, "Transfer-Encoding", "chunked")
		if b, err = appendTrailerNames(b, req.Trailer); err != nil {
			return err
		}
	case m.length > 0, method == "POST", method == "PUT", method == "PATCH":
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, m.length, 10)
		b = append(b, "\r\n"...)
	}
	if b, err = appendFields(b, req.Header); err != nil {
		return err
	}
	m.buf = append(b, "\r\n"...)
	return nil
}

// appendFields writes h in no particular order, without what appendHead writes itself, and checks all of it.
func appendFields(b []byte, h http.Header) ([]byte, error) {
	for name, values := range h {
		own, err := writtenByUs(name)
		if err != nil {
			return b, err
		}
		if !own && !validName(name) {
			return b, fmt.Errorf("invalid header name %q", name)
		}
		for _, v := range values {
			if !validValue(v) {
				return b, invalidValue(name)
			}
			if !own {
				b = appendField(b, name, textproto.TrimString(v))
			}
		}
	}
	return b, nil
}

// invalidValue does not tell the value: it may be a secret.
func invalidValue(name string) error { return fmt.Errorf("invalid value of header %q", name) }

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// writtenByUs says whether the header called name is derived from other fields of the
// request. Another spelling of it would be a second opinion on host or framing.
func writtenByUs(name string) (bool, error) {
	own := ""
	switch len(name) {
	case len("Host"):
		own = "Host"
	case len("Trailer"):
		own = "Trailer"
	case len("User-Agent"):
		if name == "User-Agent" {
			return true, nil
		}
	case len("Content-Length"):
		own = "Content-Length"
	case len("Transfer-Encoding"):
		own = "Transfer-Encoding"
	}
	if own == "" || !strings.EqualFold(name, own) {
		return false, nil
	}
	if name != own {
		return false, fmt.Errorf("header name %q is not canonical", name)
	}
	return true, nil
}

// appendTrailerNames announces the trailers.
func appendTrailerNames(b []byte, trailer http.Header) ([]byte, error) {
	if len(trailer) == 0 {
		return b, nil
	}
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		name = http.CanonicalHeaderKey(name)
		switch {
		case name == "Transfer-Encoding", name == "Trailer", name == "Content-Length",
			!httpguts.ValidHeaderFieldName(name):
			return b, fmt.Errorf("invalid trailer name %q", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return appendField(b, "Trailer", strings.Join(names, ",")), nil
}

// hostHeader is what follows "Host: ", cleaned as net/http does.
func hostHeader(req *http.Request) (string, error) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	host, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return "", fmt.Errorf("encode host: %w", err)
	}
	if !httpguts.ValidHostHeader(host) {
		return "", nil // an altered one could be believed, an empty one cannot
	}
	if strings.HasPrefix(host, "[") {
		if end := strings.LastIndexByte(host, ']'); end > 0 {
			if zone := strings.LastIndexByte(host[:end], '%'); zone > 0 {
				host = host[:zone] + host[end:]
			}
		}
	}
	return host, nil
}

func validTarget(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// validName is httpguts.ValidHeaderFieldName, which looks twice at each octet.
func validName(s string) bool {
	for i := range len(s) {
		if octets[s[i]]&isToken == 0 {
			return false
		}
	}
	return s != ""
}

// validValue is httpguts.ValidHeaderFieldValue with a cheap first look.
func validValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return httpguts.ValidHeaderFieldValue(s)
		}
	}
	return true
}

// isSafe says whether a request without a body may be sent twice.
func isSafe(method string) bool {
	switch method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

func usuallyLacksBody(method string) bool {
	switch method {
	case "", "GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "SEARCH":
		return true
	}
	return false
}
