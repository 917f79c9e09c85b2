package traces

import (
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// addRequest adds what the gateway knows of one of its requests.
func (b *builder) addRequest(note, spans []byte) {
	n, err := parseNote(note)
	root := first(spans, numItems)
	if err != nil || root == nil {
		return
	}
	id := string(lookAt(root).id)
	place := slices.IndexFunc(b.nodes, func(n *node) bool { return string(n.span.GetSpanId()) == id })
	if place < 0 {
		return
	}
	record := GatewayRecord{
		Span: place, TraceIn: headers(n.TraceIn), TraceOut: headers(n.TraceOut), Sampling: n.Sampling, Sampled: n.Sampled,
		RouteID: n.RouteID, ServiceID: n.ServiceID, ConsumerID: n.ConsumerID,
		UpstreamURI: n.UpstreamURI, UpstreamStatus: n.UpstreamStatus, BytesReceived: n.BytesReceived, BytesSent: n.BytesSent,
		Request: span2ms(n.Request), Gateway: span2ms(n.Gateway), Upstream: span2ms(n.Upstream), Receive: span2ms(n.Receive),
		Tries: []Try{}, Fault: n.Fault,
	}
	for _, try := range n.Tries {
		record.Tries = append(record.Tries, Try{Address: net.JoinHostPort(try.IP, strconv.Itoa(try.Port)), Code: try.Code, State: try.State})
	}
	attributes := b.trace.Spans[place].Attributes
	facts := readHTTP(root)
	record.RequestID, record.Client = facts.requestID, facts.client
	flavor, ok := attributeText(attributes, "http.flavor")
	if !ok {
		flavor, _ = attributeText(attributes, "network.protocol.version")
	}
	if flavor == "" {
		flavor = "1.1"
	}
	path := facts.path
	if target, ok := attributeText(attributes, "http.target"); ok {
		path = target
	}
	if m := message(attributes, "http.request."); m != nil {
		m.Line = facts.method + " " + path + " HTTP/" + flavor
		record.RequestMessage = m
	}
	if m := message(attributes, "http.response."); m != nil {
		m.Line = "HTTP/" + flavor + " " + strconv.Itoa(facts.status)
		record.ResponseMessage = m
	}
	record.Curl = curl(facts.method, attributes, n.Host, path, &record)
	b.trace.Requests = append(b.trace.Requests, record)
}

// span2ms is a duration for JSON: negative ones do not apply.
func span2ms(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return float64(d) / 1e6
}

func headers(pairs [][2]string) []Header {
	out := make([]Header, 0, len(pairs))
	for _, pair := range pairs {
		out = append(out, Header{Name: strings.ToLower(pair[0]), Value: pair[1]})
	}
	return out
}

// message puts together what was captured of a request or an answer; nil where nothing was. The attributes are those
// of the capture plugin and of the scripts that do the same.
func message(attributes []Attribute, prefix string) *Message {
	m := &Message{Headers: []Header{}, Size: -1}
	found := false
	if text, ok := attributeText(attributes, prefix+"headers"); ok {
		found = true
		m.Headers = parseHeaders(text)
	}
	if text, ok := attributeText(attributes, prefix+"body"); ok {
		found, m.HasBody, m.Body = true, true, text
		m.Truncated = strings.HasSuffix(text, "…truncated")
	}
	if !found {
		return nil
	}
	if size, ok := attributeNumber(attributes, prefix+"body.size"); ok {
		m.Size = size
	}
	m.SHA256, _ = attributeText(attributes, prefix+"body.sha256")
	m.Truncated = m.Truncated || attributeBool(attributes, prefix+"body.truncated")
	for _, h := range m.Headers {
		if h.Name == "content-type" {
			m.Type = h.Value
		}
	}
	return m
}

// parseHeaders reads a JSON object of names to values, or to lists of values.
func parseHeaders(text string) []Header {
	out := []Header{}
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) != nil {
		return append(out, Header{Name: "", Value: text})
	}
	for name, value := range object {
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		for _, value := range values {
			text, ok := value.(string)
			if !ok {
				raw, _ := json.Marshal(value) // it was just decoded
				text = string(raw)
			}
			out = append(out, Header{Name: strings.ToLower(name), Value: text})
		}
	}
	slices.SortStableFunc(out, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// notSent are headers that a client makes by itself, or that belong to the first request's trace.
var notSent = map[string]bool{
	"host": true, "content-length": true, "connection": true, "transfer-encoding": true, "expect": true, "upgrade": true,
	"keep-alive": true, "te": true, "trailer": true, "accept-encoding": true,
}

// curl writes a command that sends a request again.
func curl(method string, attributes []Attribute, host, path string, record *GatewayRecord) string {
	scheme, ok := attributeText(attributes, "http.scheme")
	if !ok {
		if scheme, ok = attributeText(attributes, "url.scheme"); !ok {
			scheme = "http"
		}
	}
	var sent []Header
	var body *Message
	compressed := false
	if m := record.RequestMessage; m != nil {
		sent = m.Headers
		if m.HasBody && m.Body != "" {
			body = m
		}
	}
	trace := map[string]bool{}
	for _, h := range record.TraceIn {
		trace[h.Name] = true
	}
	var out strings.Builder
	out.WriteString("curl")
	switch {
	case method == "HEAD":
		out.WriteString(" --head")
	case method != "" && (method != "GET" || body != nil) && (method != "POST" || body == nil):
		out.WriteString(" -X " + shellQuote(method))
	}
	var lines []string
	for _, h := range sent {
		switch {
		case h.Name == "accept-encoding":
			compressed = true
		case h.Name != "" && !notSent[h.Name] && !trace[h.Name]:
			lines = append(lines, "-H "+shellQuote(h.Name+": "+h.Value))
		}
	}
	if compressed {
		lines = append(lines, "--compressed")
	}
	if body != nil {
		lines = append(lines, "--data-raw "+shellQuote(body.Body))
	}
	out.WriteString(" " + shellQuote(scheme+"://"+host+path))
	for _, line := range lines {
		out.WriteString(" \\\n  " + line)
	}
	if body != nil && body.Truncated {
		out.WriteString("\n# the body was longer than what was captured of it")
	}
	return out.String()
}

// shellQuote writes a word for a POSIX shell.
func shellQuote(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	plain := text != "" && strings.IndexFunc(text, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./:@%+=,", c))
	}) < 0
	if plain {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
