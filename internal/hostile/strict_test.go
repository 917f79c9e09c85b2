package hostile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// message is a request or an answer that has one reading only.
type message struct {
	start  string // request or status line
	fields []field
	body   []byte
}

type field struct{ name, value string }

func (m *message) method() string { return strings.SplitN(m.start, " ", 3)[0] }

func (m *message) target() string { return strings.SplitN(m.start, " ", 3)[1] }

// get gives the only value of a field.
func (m *message) get(name string) (string, bool) {
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			return f.value, true
		}
	}
	return "", false
}

// all gives the values of a field.
func (m *message) all(name string) (values []string) {
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

var errEmpty = errors.New("nothing there")

// reader reads messages by the letter of RFC 9112. It shares no code with the program or with net/http.
type reader struct {
	*bufio.Reader
	// lenient takes what the RFC allows a server to take as well: LF for CRLF and empty lines before a request (2.2),
	// folded values (5.2), chunk extensions (7.1.1), Transfer-Encoding before Content-Length (6.3), HTTP/1.0.
	lenient bool
	// last is set where nothing may follow a message that was read leniently.
	last bool
}

func strict(r io.Reader) *reader { return &reader{Reader: bufio.NewReader(r)} }

func lenient(r io.Reader) *reader { return &reader{Reader: bufio.NewReader(r), lenient: true} }

// request reads one request.
func (r *reader) request() (*message, error) {
	m, err := r.head()
	if err != nil {
		return nil, err
	}
	parts := strings.Split(m.start, " ")
	if r.lenient && len(parts) == 3 && parts[2] == "HTTP/1.0" {
		parts[2], r.last = "HTTP/1.1", true
	}
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" {
		return nil, fmt.Errorf("request line %q", m.start)
	}
	for _, c := range []byte(parts[1]) {
		if c <= ' ' || c == 0x7f {
			return nil, fmt.Errorf("request target %q", parts[1])
		}
	}
	if connection, _ := m.get("Connection"); strings.EqualFold(connection, "close") {
		r.last = true
	}
	if hosts := m.all("Host"); len(hosts) != 1 && !r.last {
		return nil, fmt.Errorf("hosts %q", hosts)
	}
	framed, err := r.body(m)
	if err == nil && !framed {
		m.body = nil
	}
	return m, err
}

// answer reads one answer to a request of that method. Where there is none but an end of the connection to delimit
// the body, this has been announced.
func (r *reader) answer(method string) (*message, error) {
	m, err := r.head()
	if err != nil {
		return nil, err
	}
	version, status, _ := strings.Cut(m.start, " ")
	if version != "HTTP/1.1" && version != "HTTP/1.0" || len(status) < 3 {
		return nil, fmt.Errorf("status line %q", m.start)
	}
	if method == "HEAD" || status[0] == '1' || status[:3] == "204" || status[:3] == "304" {
		return m, nil
	}
	framed, err := r.body(m)
	if err == nil && !framed {
		if connection, _ := m.get("Connection"); connection != "close" {
			return nil, errors.New("an answer without an end")
		}
		m.body, err = io.ReadAll(r)
	}
	return m, err
}

func (r *reader) head() (*message, error) {
	start, err := r.line()
	for r.lenient && err == nil && start == "" {
		start, err = r.line()
	}
	if err != nil {
		if errors.Is(err, io.EOF) && start == "" {
			return nil, errEmpty
		}
		return nil, fmt.Errorf("start line: %w", err)
	}
	m := &message{start: start}
	m.fields, err = r.fields()
	return m, err
}

// line reads up to CRLF; neither CR nor LF may stand alone.
func (r *reader) line() (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok && r.lenient {
		text, ok = strings.TrimSuffix(line, "\n"), true
	}
	if !ok || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("line end of %q", line)
	}
	return text, nil
}

func (r *reader) fields() ([]field, error) {
	var fields []field
	for {
		line, err := r.line()
		if err != nil {
			return nil, fmt.Errorf("field: %w", err)
		}
		if line == "" {
			return fields, nil
		}
		if n := len(fields); r.lenient && n > 0 && (line[0] == ' ' || line[0] == '\t') {
			fields[n-1].value = strings.Trim(fields[n-1].value+" "+strings.Trim(line, " \t"), " ")
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return nil, fmt.Errorf("field %q", line)
		}
		value = strings.Trim(value, " \t")
		for _, c := range []byte(value) {
			if c < ' ' && c != '\t' || c == 0x7f {
				return nil, fmt.Errorf("value %q", line)
			}
		}
		fields = append(fields, field{name, value})
	}
}

// body reads what follows a head, and reports whether anything delimits it.
func (r *reader) body(m *message) (framed bool, err error) {
	lengths, encodings := m.all("Content-Length"), m.all("Transfer-Encoding")
	if strings.HasSuffix(m.start, " HTTP/1.0") && r.lenient {
		encodings = nil
	}
	if r.lenient {
		slices.Sort(lengths)
		lengths = slices.Compact(lengths)
		if len(encodings) == 1 {
			encodings[0] = strings.ToLower(encodings[0])
			if len(lengths) > 0 {
				lengths, r.last = nil, true
			}
		}
	}
	if len(lengths)+len(encodings) > 1 || len(encodings) == 1 && encodings[0] != "chunked" {
		return false, fmt.Errorf("framing: Content-Length %q, Transfer-Encoding %q", lengths, encodings)
	}
	switch {
	case len(encodings) == 1:
		return true, r.chunks(m)
	case len(lengths) == 1:
		n, err := strconv.ParseUint(lengths[0], 10, 31)
		if err != nil || strings.Trim(lengths[0], "0123456789") != "" {
			return false, fmt.Errorf("Content-Length %q", lengths[0])
		}
		m.body = make([]byte, n)
		_, err = io.ReadFull(r, m.body)
		return true, err
	}
	return false, nil
}

func (r *reader) chunks(m *message) error {
	var body bytes.Buffer
	for {
		line, err := r.line()
		if err != nil {
			return fmt.Errorf("chunk: %w", err)
		}
		if r.lenient {
			line, _, _ = strings.Cut(line, ";")
			line = strings.TrimRight(line, " \t")
		}
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil || strings.ContainsAny(line, "+_") {
			return fmt.Errorf("chunk size %q", line)
		}
		if size == 0 {
			m.body = body.Bytes()
			_, err := r.fields()
			return err
		}
		if _, err := io.CopyN(&body, r, int64(size)); err != nil {
			return fmt.Errorf("chunk: %w", err)
		}
		if line, err := r.line(); err != nil || line != "" {
			return fmt.Errorf("end of chunk: %q %w", line, err)
		}
	}
}

func isToken(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
