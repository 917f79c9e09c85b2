package function

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	maps0 "maps"
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
	"sidekong/tracing"
)

// driver plays the gateway for one request, through Host: one route, one service, an upstream that answers as told.
type driver struct {
	phase    phase
	request  *http.Request
	body     []byte
	facts    Facts
	upstream plugin.Outgoing
	early    http.Header
	response *plugin.Response
	status   int
	answer   *plugin.Answer
	state    any
	trace    *tracing.Trace
	root     tracing.Span
	plugin   tracing.Span  // of the running plugin's phase
	active   *tracing.Span // set by a script
	buffered []byte
	logged   map[string]json.RawMessage
}

func (d *driver) Facts() Facts {
	f := d.facts
	if d.phase == rewriting {
		f.Route, f.Service, f.UpstreamPath = nil, nil, ""
	}
	return f
}
func (d *driver) RequestHeader() http.Header { return d.request.Header }
func (d *driver) Upstream() *plugin.Outgoing { return &d.upstream }
func (d *driver) EarlyHeader() http.Header   { return d.early }
func (d *driver) UpstreamStatus() int        { return d.status }
func (d *driver) State() *any                { return &d.state }
func (d *driver) Trace() *tracing.Trace      { return d.trace }
func (d *driver) Root() tracing.Span         { return d.root }
func (d *driver) Logger() *slog.Logger       { return slog.New(slog.DiscardHandler) }
func (d *driver) Context() context.Context   { return context.Background() }
func (d *driver) HasUpstream(string) bool    { return false }
func (d *driver) Exit(a plugin.Answer)       { d.answer = &a }
func (d *driver) LogRecord() any             { return d.logged }
func (d *driver) Masked(url string) string {
	return plugin.NewSecrets(plugin.Env{RedactedQuery: []string{"token"}}).URI(url)
}

func (d *driver) Consumer(id string, _ bool) (*entity.Consumer, error) {
	if c := d.facts.Consumer; c != nil && c.ID == id {
		return c, nil
	}
	return nil, nil
}

func (d *driver) SetLogValue(key string, value json.RawMessage, _ string) {
	if d.logged == nil {
		d.logged = map[string]json.RawMessage{}
	}
	d.logged[key] = value
}

func (d *driver) Authenticate(c *entity.Consumer, credential any) {
	d.facts.Consumer, d.facts.Credential = c, credential
}

func (d *driver) Response() *plugin.Response {
	if d.phase&(headerFilter|bodyFilter|logging) == 0 {
		return nil
	}
	return d.response
}

func (d *driver) BufferedBody() ([]byte, bool) { return d.buffered, d.upstream.Buffered }

func (d *driver) RequestBody(limit int64) ([]byte, int64, error) {
	if limit > 0 && int64(len(d.body)) > limit {
		return nil, int64(len(d.body)), plugin.ErrBodyTooLarge
	}
	return d.body, int64(len(d.body)), nil
}

func (d *driver) Active() (tracing.Span, bool) {
	switch {
	case d.phase == logging || d.trace == nil:
		return tracing.Span{}, false
	case d.active != nil:
		return *d.active, *d.active != tracing.Span{}
	case d.phase == bodyFilter:
		return d.root, true
	default:
		return d.plugin, true
	}
}

func (d *driver) SetActive(span tracing.Span, ok bool) {
	if !ok {
		span = tracing.Span{}
	}
	d.active = &span
	if span == d.plugin {
		d.active = nil
	}
}

// reply is what the upstream answers.
type reply struct {
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"`
	Body    raw         `json:"body"`
	Chunks  []raw       `json:"chunks"`
}

// raw is a string or {"b64": …}.
type raw string

func (r *raw) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) == nil {
		*r = raw(s)
		return nil
	}
	var coded struct{ B64 []byte }
	err := json.Unmarshal(text, &coded)
	*r = raw(coded.B64)
	return err
}

// settings of the gateway in a vector.
type settings struct {
	UntrustedLua string   `json:"untrusted_lua"`
	Requires     []string `json:"untrusted_lua_sandbox_requires"`
	Environment  []string `json:"untrusted_lua_sandbox_environment"`
	Instruments  []string `json:"tracing_instrumentations"`
	Rate         float64  `json:"tracing_sampling_rate"`
	TrustedIPs   []string `json:"trusted_ips"`
	RealIPHeader string   `json:"real_ip_header"`
	RealIPLoop   string   `json:"real_ip_recursive"`
}

func (s *settings) trusted(addr netip.Addr) bool {
	for _, text := range s.TrustedIPs {
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Contains(addr) {
			return true
		}
		if one, err := netip.ParseAddr(text); err == nil && one == addr {
			return true
		}
	}
	return false
}

const testRequestID = "0123456789abcdef0123456789abcdef"

// outcome is what came of a request.
type outcome struct {
	Client   any // nil: the connection was closed
	Upstream any
	Spans    any
}

var loopback = netip.MustParseAddr("127.0.0.1")

// newDriver reads a request. ok is false where nginx refuses it.
func newDriver(s *settings, message []byte) (d *driver, ok bool) {
	d = &driver{early: http.Header{}}
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(message)))
	if err != nil {
		// a target that net/http refuses: nginx lets some of them go on to be refused by their path
		line, rest, _ := bytes.Cut(message, []byte("\r\n"))
		fields := bytes.Fields(line)
		if len(fields) < 3 {
			return d, false
		}
		line = bytes.Join([][]byte{fields[0], []byte("/"), fields[len(fields)-1]}, []byte(" "))
		if request, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(append(append(line, '\r', '\n'), rest...)))); err != nil {
			return d, false
		}
		request.RequestURI = string(fields[1])
	}
	d.request = request
	d.body, _ = io.ReadAll(request.Body)
	request.Header.Del("Transfer-Encoding")
	target := request.RequestURI
	f := Facts{
		Method: request.Method, Target: target, Path: normalizePath(rawPath(target)), Major: request.ProtoMajor,
		Minor: request.ProtoMinor, Scheme: "http", HostHeader: request.Host, Port: 8000,
		Peer: netip.AddrPortFrom(loopback, 54321), Client: loopback, PeerTrusted: s.trusted(loopback),
		RequestID: testRequestID, Arrived: time.Now(), UpstreamPath: rawPath(target), UpstreamScheme: "http",
		ServerAddr: "127.0.0.1", RequestLength: int64(len(message)),
	}
	f.Host = strings.ToLower(request.Host)
	if i := strings.LastIndexByte(f.Host, ':'); i >= 0 {
		f.Host = f.Host[:i]
	}
	if f.Host == "" {
		f.Host = "kong"
	}
	f.Service = &entity.Service{Meta: entity.Meta{ID: "5d2a2e5a-0d4b-4d6e-9a57-0c4a3ab6a2a1"}, Name: "service1", Protocol: "http", Host: "upstream.test", Port: 80}
	f.Route = &entity.Route{Meta: entity.Meta{ID: "a7d3b0c1-1f4e-4a53-8c22-7e3d5e0a9b10"}, Name: "route1", Protocols: []string{"http", "https"}, Paths: []string{"/"}}
	d.facts = f
	d.realIP(s)
	return d, acceptable(rawPath(target))
}

// realIP finds the client behind trusted peers, as nginx's real-IP module does.
func (d *driver) realIP(s *settings) {
	values := d.request.Header.Values(s.RealIPHeader)
	if !d.facts.PeerTrusted || len(values) == 0 {
		return
	}
	list := strings.Split(values[len(values)-1], ",")
	for i := len(list) - 1; i >= 0; i-- {
		text := strings.TrimSpace(list[i])
		if ap, err := netip.ParseAddrPort(text); err == nil {
			d.facts.Client, d.facts.ClientPort = ap.Addr(), int(ap.Port())
		} else if addr, err := netip.ParseAddr(text); err == nil {
			d.facts.Client, d.facts.ClientPort = addr, 0
		} else {
			return
		}
		if s.RealIPLoop != "on" || !s.trusted(d.facts.Client) {
			return
		}
	}
}

// acceptable reports whether nginx lets a path go on.
func acceptable(path string) bool {
	for i := range len(path) {
		if path[i] == '%' && (i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) || path[i+1:i+3] == "00") {
			return false
		}
	}
	depth := 0
	for segment := range strings.SplitSeq(strings.TrimPrefix(params.Unescape(strings.ReplaceAll(path, "+", "%2B")), "/"), "/") {
		switch segment {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return false
			}
		default:
			depth++
		}
	}
	return true
}

// step is a plugin with its instance.
type step struct {
	name     string
	instance *instance
}

// serve takes a request through the phases.
func (d *driver) serve(s *settings, tracer *tracing.Tracer, steps []step, up *reply, acceptable bool) outcome {
	if !acceptable {
		return outcome{Client: d.refused()}
	}
	if tracer != nil {
		d.trace = tracer.Start(time.Now())
		d.root = d.trace.StartSpan("kong", tracing.KindServer, tracing.Span{})
		d.trace.Adopt(tracing.Adoption{TraceID: tracing.NewTraceID(), Sampled: true})
		d.describe()
	}
	out := d.flow(steps, up)
	d.phase = logging
	d.active = nil
	for _, one := range steps {
		_ = one.instance.run(d, logging, one.instance.log)
	}
	if d.trace != nil {
		d.root.End()
		out.Spans = spanList(d.trace)
	}
	return out
}

func (d *driver) describe() {
	f := d.facts
	for _, attr := range [][2]string{
		{"http.method", f.Method},
		{"http.url", "http://" + f.Host + f.Target},
		{"http.host", f.Host},
		{"http.scheme", "http"},
		{"http.flavor", fmt.Sprintf("%d.%d", f.Major, f.Minor)},
		{"http.client_ip", f.Client.String()},
		{"net.peer.ip", f.Peer.Addr().String()},
		{"kong.request.id", f.RequestID},
	} {
		d.root.SetString(attr[0], attr[1])
	}
}

// each runs a phase of all plugins. done tells that an exit or an error has ended it.
func (d *driver) each(steps []step, p phase, name string, kind tracing.Instrumentation, chunks func(*instance) []*chunk) error {
	d.phase = p
	for _, one := range steps {
		d.plugin = d.root
		if d.trace.Has(kind) {
			parent := d.root
			if d.active != nil {
				parent = *d.active
			}
			d.plugin = d.trace.StartSpan("kong."+name+".plugin."+one.name, tracing.KindInternal, parent)
		}
		err := one.instance.run(d, p, chunks(one.instance))
		if err != nil {
			d.plugin.RecordError(err.Error())
			d.plugin.SetStatus(tracing.StatusError, "")
		}
		if d.plugin != d.root {
			d.plugin.End()
		}
		d.plugin = d.root
		if err != nil || d.answer != nil {
			return err
		}
	}
	return nil
}

func (d *driver) flow(steps []step, up *reply) outcome {
	page := func(status int) *plugin.Answer {
		a := &plugin.Answer{Status: status, Header: http.Header{}}
		(&run{host: d}).bareAnswer(a)
		return a
	}
	if err := d.each(steps, rewriting, "rewrite", tracing.PluginRewrite, func(i *instance) []*chunk { return i.rewrite }); err != nil {
		return d.respond(steps, page(500))
	}
	if d.answer != nil {
		return d.respond(steps, d.answer)
	}
	d.upstream.Path = nil // routing sets it anew
	if d.trace.Has(tracing.Router) {
		d.trace.StartSpan("kong.router", tracing.KindInternal, d.root).End()
	}
	if err := d.each(steps, accessing, "access", tracing.PluginAccess, func(i *instance) []*chunk { return i.access }); err != nil {
		a := page(500)
		kind, body := plugin.Page("", "An unexpected error occurred", testRequestID)
		a.Header.Set("Content-Type", kind)
		a.Body = body
		return d.respond(steps, a)
	}
	if d.answer != nil {
		return d.respond(steps, d.answer)
	}
	return d.forward(steps, up)
}

// refused is the answer to a request that never reaches a script.
func (d *driver) refused() any {
	a := plugin.BareAnswer(400, "", testRequestID)
	a.Header["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	return clientResponse(400, a.Header, a.Body, false)
}

// respond sends an answer that the upstream did not give.
func (d *driver) respond(steps []step, a *plugin.Answer) outcome {
	h := a.Header
	for name, values := range d.early {
		if h[name] == nil {
			h[name] = values
		}
	}
	if h["Content-Length"] == nil && !a.Chunked && !a.Abort {
		h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	if a.Chunked {
		h.Set("Transfer-Encoding", "chunked")
	}
	d.answer = nil
	d.response = &plugin.Response{Status: a.Status, Header: h, Source: a.Source}
	if a.Source == plugin.FromService {
		d.response.Source = plugin.FromError
	}
	d.phase = headerFilter
	client, ok := d.send(steps, [][]byte{a.Body}, false)
	if !ok || a.Abort {
		client = nil
	}
	return outcome{Client: client}
}

// forward sends the request upstream and the answer back.
func (d *driver) forward(steps []step, up *reply) outcome {
	out := outcome{Upstream: d.upstreamRequest()}
	var balancer tracing.Span
	if d.trace.Has(tracing.Balancer) {
		balancer = d.trace.StartSpan("kong.balancer", tracing.KindClient, d.root)
	}
	balancer.SetInt("try_count", 1)
	balancer.SetString("net.peer.ip", "127.0.0.1")
	balancer.SetInt("net.peer.port", 1)
	h := http.Header{}
	for _, pair := range up.Headers {
		addHeader(h, pair[0], []string{pair[1]})
	}
	var pieces [][]byte
	if up.Chunks != nil {
		h["Transfer-Encoding"] = []string{"chunked"}
		for _, piece := range up.Chunks {
			pieces = append(pieces, []byte(piece))
		}
	} else {
		h["Content-Length"] = []string{strconv.Itoa(len(up.Body))}
		pieces = [][]byte{[]byte(up.Body)}
	}
	if d.upstream.Buffered {
		d.buffered = bytes.Join(pieces, nil)
		pieces = [][]byte{d.buffered}
	}
	if up.Status == http.StatusNoContent {
		pieces = nil
		delete(h, "Content-Length")
	}
	maps := d.early
	maps0.Copy(h, maps)
	d.status = up.Status
	d.response = &plugin.Response{Status: up.Status, Header: h, Source: plugin.FromService}
	client, ok := d.send(steps, pieces, true)
	balancer.End()
	if ok {
		out.Client = client
	}
	return out
}

// send runs the filters and gives what the client gets; ok is false where the connection is closed instead.
func (d *driver) send(steps []step, pieces [][]byte, proxied bool) (client any, ok bool) {
	d.root.SetString("http.route", "/")
	defer func() { d.root.Replace("http.status_code", tracing.IntValue(int64(d.response.Status))) }()
	if err := d.each(steps, headerFilter, "header_filter", tracing.PluginHeaderFilter, func(i *instance) []*chunk { return i.headerFilter }); err != nil {
		return nil, false
	}
	h := d.response.Header
	if kind := h.Get("Content-Type"); proxied && kind != "" && !strings.Contains(kind, "charset") && (kind == "text/plain" || kind == "text/html" || kind == "text/xml") {
		h.Set("Content-Type", kind+"; charset=UTF-8")
	}
	d.phase = bodyFilter
	var body []byte
	if d.request.Method != http.MethodHead {
		filter := func(piece []byte, eof bool) error {
			for _, one := range steps {
				var err error
				if piece, err = one.instance.filter(d, piece, eof); err != nil {
					return err
				}
			}
			body = append(body, piece...)
			return nil
		}
		for _, piece := range pieces {
			if err := filter(piece, false); err != nil {
				return nil, false
			}
		}
		if err := filter(nil, true); err != nil {
			return nil, false
		}
	}
	if d.response.Status == http.StatusNoContent {
		body = nil
	}
	chunked := h.Get("Transfer-Encoding") == "chunked" || h.Get("Content-Length") == "" && d.response.Status != 204
	return clientResponse(d.response.Status, h, body, chunked), true
}

func clientResponse(status int, h http.Header, body []byte, chunked bool) any {
	h = h.Clone()
	for _, name := range []string{"Transfer-Encoding", "Server", "Date", "Connection"} {
		delete(h, name)
	}
	if chunked {
		h["Transfer-Encoding"] = []string{"chunked"}
	}
	return map[string]any{"status": float64(status), "headers": headerPairs(h), "body": bytesValue(body)}
}

// headerPairs lists headers by name, in lower case: names are equal whatever their case.
func headerPairs(h http.Header) []any {
	var pairs [][2]string
	for name, values := range h {
		for _, value := range values {
			pairs = append(pairs, [2]string{strings.ToLower(name), value})
		}
	}
	sort.SliceStable(pairs, func(i, j int) bool { return pairs[i][0] < pairs[j][0] })
	list := []any{}
	for _, pair := range pairs {
		list = append(list, []any{pair[0], pair[1]})
	}
	return list
}

func (d *driver) upstreamRequest() any {
	uri := d.facts.UpstreamPath
	if d.upstream.Path != nil {
		uri = *d.upstream.Path
	}
	query := rawQuery(d.facts.Target)
	if d.upstream.Query != nil {
		query = *d.upstream.Query
	}
	if query != "" {
		uri += "?" + query
	}
	method, host, body := d.facts.Method, "upstream.test", d.body
	if d.upstream.Method != "" {
		method = d.upstream.Method
	}
	if d.upstream.Host != "" {
		host = d.upstream.Host
	}
	h := d.request.Header.Clone()
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Path", "X-Forwarded-Prefix", "Via", "X-Real-Ip", "Connection"} {
		h.Del(name)
	}
	if d.upstream.Body != nil {
		body = *d.upstream.Body
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return map[string]any{"method": method, "uri": uri, "host": host, "headers": headerPairs(h), "body": bytesValue(body)}
}

func bytesValue(b []byte) any { return toVector(lua.LString(b), 0) }

var (
	kongFile = regexp.MustCompile(`/usr/local/share/lua/5\.1/kong/`)
	address  = regexp.MustCompile(`0x[0-9a-f]{6,}`)
)

func plainText(s string) string {
	return address.ReplaceAllString(kongFile.ReplaceAllString(s, "<kong>/"), "0x<addr>")
}

// toVector writes a Lua value as vectors do.
func toVector(v lua.LValue, depth int) any {
	switch v := v.(type) {
	case *lua.LNilType:
		return nil
	case lua.LBool:
		return bool(v)
	case lua.LNumber:
		f := float64(v)
		switch {
		case f != f:
			return map[string]any{"num": "nan"}
		case math.IsInf(f, 1):
			return map[string]any{"num": "inf"}
		case math.IsInf(f, -1):
			return map[string]any{"num": "-inf"}
		case f == 0 && math.Signbit(f):
			return map[string]any{"num": "-0"}
		}
		return f
	case lua.LString:
		s := string(v)
		if !validUTF8(s) {
			return map[string]any{"b64": base64.StdEncoding.EncodeToString([]byte(s))}
		}
		return plainText(s)
	case *lua.LUserData:
		if v == null {
			return map[string]any{"type": "null"}
		}
	case *lua.LTable:
		if depth < 20 {
			return tableVector(v, depth)
		}
	}
	return map[string]any{"type": v.Type().String()}
}

func validUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

func tableVector(t *lua.LTable, depth int) any {
	n, others, texts := 0, 0, map[string]any{}
	list := []any{}
	var pairs [][2]any
	for i := 1; ; i++ {
		v := t.RawGetInt(i)
		if v == lua.LNil {
			break
		}
		list = append(list, toVector(v, depth+1))
		n++
	}
	t.ForEach(func(k, v lua.LValue) {
		pairs = append(pairs, [2]any{toVector(k, depth+1), toVector(v, depth+1)})
		if s, ok := k.(lua.LString); ok {
			if s == spanKey {
				pairs = pairs[:len(pairs)-1]
				return
			}
			texts[string(s)] = toVector(v, depth+1)
		} else {
			others++
		}
	})
	switch {
	case len(texts) == 0 && others == n:
		return map[string]any{"list": list}
	case others == 0:
		return map[string]any{"map": texts}
	}
	sort.Slice(pairs, func(i, j int) bool { return fmt.Sprint(pairs[i][0]) < fmt.Sprint(pairs[j][0]) })
	all := []any{}
	for _, pair := range pairs {
		all = append(all, []any{pair[0], pair[1]})
	}
	return map[string]any{"pairs": all}
}

// record is one run of a chunk as vectors show it.
func record(p phase, values []lua.LValue, err error) map[string]any {
	entry := map[string]any{"phase": p.String()}
	if err == nil {
		returns := []any{}
		for _, v := range values {
			returns = append(returns, toVector(v, 0))
		}
		entry["returns"] = returns
		return entry
	}
	var raised *scriptError
	if !errors.As(err, &raised) {
		entry["error"] = err.Error()
		return entry
	}
	s, ok := raised.value.(lua.LString)
	if !ok {
		if raised.value == lua.LNil {
			entry["error"] = nil
		} else {
			entry["error_value"] = toVector(raised.value, 0)
		}
		return entry
	}
	text := string(s)
	if at := positioned.FindStringSubmatch(text); at != nil {
		line, _ := strconv.Atoi(at[2])
		entry["error_line"] = float64(line)
		text = text[len(at[0]):]
	}
	entry["error"] = plainText(text)
	return entry
}

// spanList lists the spans of a trace by name.
func spanList(t *tracing.Trace) any {
	byID := map[tracing.SpanID]string{}
	for i := range t.Len() {
		byID[t.Record(i).ID] = t.Record(i).Name
	}
	var all []map[string]any
	for i := range t.Len() {
		r := t.Record(i)
		span := map[string]any{"name": r.Name, "kind": float64(r.Kind), "finished": r.Ended, "sampled": true, "events": []any{}}
		span["parent"] = any(false)
		if name, ok := byID[r.Parent]; ok {
			span["parent"] = name
		}
		if r.Status != tracing.StatusUnset {
			span["status"] = float64(r.Status)
		}
		attributes := map[string]any{}
		for attr := range t.Attrs(i) {
			attributes[attr.Key] = jsonValue(attr.Value)
		}
		if len(attributes) > 0 {
			span["attributes"] = attributes
		}
		for _, event := range t.Events() {
			if event.Span != i {
				continue
			}
			entry := map[string]any{"name": event.Name, "time_is": "number"}
			inner := map[string]any{}
			for attr := range t.EventAttrs(&event) {
				inner[attr.Key] = jsonValue(attr.Value)
			}
			if len(inner) > 0 {
				entry["attributes"] = inner
			}
			span["events"] = append(span["events"].([]any), entry)
		}
		all = append(all, span)
	}
	return sortSpans(all)
}

func jsonValue(v tracing.Value) any {
	switch v := v.Any().(type) {
	case int64:
		return float64(v)
	case string:
		return plainText(v)
	default:
		return v
	}
}

func sortSpans(all []map[string]any) any {
	sort.SliceStable(all, func(i, j int) bool { return all[i]["name"].(string) < all[j]["name"].(string) })
	list := []any{}
	for _, one := range all {
		list = append(list, one)
	}
	return list
}

// testDriver makes a driver for tests that are no vectors.
func testDriver(t testing.TB, message string) *driver {
	t.Helper()
	d, ok := newDriver(&settings{}, []byte(message))
	if !ok {
		t.Fatalf("request %q is refused", message)
	}
	return d
}
