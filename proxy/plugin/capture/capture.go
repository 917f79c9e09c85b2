// Package capture is the sidekong-capture plugin: it records a request and its answer, headers and bodies included, as
// attributes of the request's root span, so that a collector can tell what an API takes and gives.
//
// Bodies are noted as they pass, up to a bound, and never held back. What is secret is masked before it reaches a span;
// see redactor. Kong has no such plugin: its users write Lua functions to the same end, and the attributes are theirs.
package capture

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// Name is the plugin's name in a configuration.
const Name = "sidekong-capture"

// priority is above all others: what is recorded is the request as the client sent it, also where another plugin changes
// or refuses it, and the answer's body as it came. In the log phase the spans must not have been exported yet.
const priority = 1_000_001

// keyAuth is Kong's plugin whose configuration names where keys stand.
const keyAuth = "key-auth"

// Define makes the plugin's definition.
func Define() *plugin.Definition {
	return &plugin.Definition{Name: Name, Priority: priority, Config: Config(), Watches: true, New: newCapture}
}

// capture is one configured instance.
type capture struct {
	options
	redactor redactor
	budget   budget
	least    time.Duration // negative: none
	scripted bool          // there are scripts
	records  sync.Pool

	// What is known of the messages that have been.
	sent, answered layouts
	targets        targets
	kinds          [16]atomic.Pointer[kind] // the newest, by the length of their content types
}

func newCapture(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
	o, err := decodeOptions(p.Config)
	if err != nil {
		return nil, err
	}
	c := &capture{options: *o, budget: budget{limit: o.MaxMemoryBytes}, least: -1}
	if o.MinDuration != nil {
		c.least = time.Duration(*o.MinDuration * float64(time.Millisecond))
	}
	c.redactor = redactor{off: !o.Redact, mask: o.Mask, cards: o.MaskCardNumbers}
	if c.redactor.names, err = newNames(append(keyNames(env.Plugins), o.MaskedNames...), o.UnmaskedNames); err != nil {
		return nil, err
	}
	for _, path := range o.MaskedPaths {
		c.redactor.paths = append(c.redactor.paths, parsePath(path))
	}
	c.scripted = slices.ContainsFunc(env.Plugins, func(p *entity.Plugin) bool { return slices.Contains(scripts, p.Name) })
	c.records.New = func() any { return new(record) }
	return c, nil
}

// Quiet says that the plugin's phases have no spans of their own.
func (c *capture) Quiet() {}

// SizeBlind says that the plugin does not look at the sizes in the summary.
func (c *capture) SizeBlind() {}

// keyNames are what the key-auth plugins of a configuration call their keys.
func keyNames(plugins []*entity.Plugin) (names []string) {
	for _, p := range plugins {
		if p.Name != keyAuth {
			continue
		}
		list, _ := p.Config["key_names"].([]any)
		for _, name := range list {
			if text, ok := name.(string); ok {
				names = append(names, text)
			}
		}
	}
	return names
}

// record is what is noted of one request.
type record struct {
	off               bool // the request is not recorded
	host              [1]string
	header            http.Header   // of the request, where it is to be described at its end
	target, sent      tracing.Value // what is recorded of the request's head
	requestCoding     string
	responseCoding    string
	tee               *tee // nil: the request's body is not noted
	declared          int64
	request, response sink
	masking           masking // of the part in hand
	masked            marks
}

// begin notes the request's head, in the first phase that runs.
func (c *capture) begin(ctx *plugin.Context) *record {
	if r, ok := ctx.State().(*record); ok {
		return r
	}
	r := c.records.Get().(*record)
	ctx.SetState(r)
	if r.off = !ctx.Root.Recording() || c.SampleRate < 1 && rand.Float64() >= c.SampleRate; r.off {
		return r
	}
	r.host[0] = ctx.Request.Host
	if c.always() {
		c.readHead(ctx, r, ctx.Request.Header)
	} else if c.RequestHeaders {
		r.header = maps.Clone(ctx.Request.Header)
	}
	return r
}

// readHead makes of the request's head what is recorded of it.
func (c *capture) readHead(ctx *plugin.Context, r *record, header http.Header) {
	if c.Target {
		r.target = tracing.StringValue(c.targets.mask(c.of("request.target", r), ctx.ForwardedURI))
	}
	if c.RequestHeaders {
		r.sent = ctx.Trace.Taken(c.of("request.headers", r).headers(ctx.Trace.Room(), header, r.host[:], &c.sent))
	}
}

// Access wraps the request's body.
func (c *capture) Access(ctx *plugin.Context) error {
	r := c.begin(ctx)
	request := ctx.Request
	if r.off || !c.RequestBody || request.Body == nil || request.ContentLength == 0 {
		return nil
	}
	r.requestCoding = strings.Join(request.Header["Content-Encoding"], ",")
	c.open(&r.request, first(request.Header["Content-Type"]))
	r.declared = request.ContentLength
	r.tee = &tee{ReadCloser: request.Body, to: &r.request}
	request.Body = r.tee
	return nil
}

// open prepares a sink for a body of a content type.
func (c *capture) open(s *sink, contentType string) {
	s.budget, s.digest, s.kind = &c.budget, c.BodyDigest != digestNever, c.kindOf(contentType)
	if s.wanted {
		s.limit = c.MaxBodyBytes
	}
}

// kind is what a content type says about bodies.
type kind struct {
	contentType string
	media       string // of contentType
	format      format
	wanted      bool // they are to be recorded
}

// kindOf finds out about a content type, of which the same few come again and again.
func (c *capture) kindOf(contentType string) *kind {
	at := &c.kinds[len(contentType)%len(c.kinds)]
	if known := at.Load(); known != nil && known.contentType == contentType {
		return known
	}
	k := &kind{contentType: strings.Clone(contentType), media: mediaType(contentType)}
	k.format, k.wanted = formatOf(k.media), c.keeps(k.media)
	if len(contentType) <= maxKept {
		at.Store(k)
	}
	return k
}

// keeps reports whether bodies of a media type are kept. One without a type is, if it turns out to be text.
func (c *capture) keeps(media string) bool {
	if media == "" {
		return true
	}
	for _, pattern := range c.ContentTypes {
		if head, tail, found := strings.Cut(pattern, "*"); pattern == media ||
			found && len(media) >= len(head)+len(tail) && strings.HasPrefix(media, head) && strings.HasSuffix(media, tail) {
			return true
		}
	}
	return false
}

// FilterHeader notes what the answer's body is.
func (c *capture) FilterHeader(ctx *plugin.Context) error {
	r := c.begin(ctx)
	if r.off || !c.ResponseBody {
		return nil
	}
	header := ctx.Response.Header
	r.responseCoding = strings.Join(header["Content-Encoding"], ",")
	c.open(&r.response, first(header["Content-Type"]))
	return nil
}

// FilterBody notes a piece of the answer's body and lets it pass.
func (c *capture) FilterBody(ctx *plugin.Context, chunk []byte, eof bool) ([]byte, error) {
	r, ok := ctx.State().(*record)
	if !ok || r.off || !c.ResponseBody {
		return chunk, nil
	}
	s := &r.response
	if s.whole = eof; !eof || s.size > 0 || !c.showsAtOnce(ctx, r, chunk) {
		s.note(chunk)
	}
	return chunk, nil
}

// showsAtOnce notes an answer's body that has come in one piece, if it can be shown as it is: it need not be kept then.
func (c *capture) showsAtOnce(ctx *plugin.Context, r *record, body []byte) bool {
	s := &r.response
	if len(body) > s.limit || r.responseCoding != "" || c.BodyDigest == digestAlways || !c.always() ||
		!c.of("response.body", r).shows(body, s.format) {
		return false
	}
	s.shown, s.size = ctx.Trace.UTF8Text(body), int64(len(body))
	return true
}

// Log sets the attributes.
func (c *capture) Log(ctx *plugin.Context) {
	r, ok := ctx.State().(*record)
	if !ok {
		return
	}
	ctx.SetState(nil)
	if r.tee != nil {
		r.tee.end()
		r.request.whole = r.request.whole || r.request.size == r.declared
	}
	if !r.off && ctx.Root.Recording() && c.wants(ctx) {
		c.describe(ctx, r)
	}
	r.request.release()
	r.response.release()
	clear(r.masked.places)
	r.requestCoding, r.responseCoding, r.tee, r.host[0] = "", "", nil, ""
	r.header, r.target, r.sent = nil, tracing.Value{}, tracing.Value{}
	r.masking.redactor, r.masking.marks = nil, nil
	r.masked.places, r.masked.more = r.masked.places[:0], false
	c.records.Put(r)
}

// always reports whether every request is recorded, however it ends.
func (c *capture) always() bool { return !c.OnlyErrors && c.least < 0 }

// wants decides on a complete request.
func (c *capture) wants(ctx *plugin.Context) bool {
	if c.always() {
		return true
	}
	if c.OnlyErrors && (ctx.Response.Status >= 400 || ctx.Response.Status == 0 || ctx.Summary.Fault != nil) {
		return true
	}
	return c.least >= 0 && time.Since(ctx.Arrived) >= c.least
}

// The attributes. Those of a body have companions: its size and its digest.
const (
	keyPeer            = "net.sock.peer.addr"
	keyTarget          = "http.target"
	keyRequestHeaders  = "http.request.headers"
	keyRequestBody     = "http.request.body"
	keyResponseHeaders = "http.response.headers"
	keyResponseBody    = "http.response.body"
	keyMasked          = "sidekong.capture.masked" // what was masked, as a JSON array

	sizeSuffix   = ".size"
	digestSuffix = ".sha256"
)

// scripts are the plugins whose functions may set the same attributes.
var scripts = []string{"pre-function", "post-function"}

// attributes are those of the root span.
type attributes struct {
	root    tracing.Span
	replace bool // some may be there already, a script's; ours take their place
}

func (a attributes) set(key string, value tracing.Value) {
	if a.replace {
		a.root.Replace(key, value)
		return
	}
	a.root.Set(key, value)
}

// of is the redaction of a part of the request.
func (c *capture) of(part string, r *record) *masking {
	r.masking.redactor, r.masking.marks = &c.redactor, &r.masked
	r.masking.part, r.masking.cut = part, false
	return &r.masking
}

// describe sets the attributes of the root span.
func (c *capture) describe(ctx *plugin.Context, r *record) {
	to := attributes{ctx.Root, c.scripted}
	if c.PeerAddress {
		to.set(keyPeer, tracing.StringValue(ctx.PeerText))
	}
	if !c.always() {
		c.readHead(ctx, r, r.header)
	}
	if c.Target {
		to.set(keyTarget, r.target)
	}
	if c.RequestHeaders {
		to.set(keyRequestHeaders, r.sent)
	}
	if r.tee != nil {
		keys := bodyKeys{keyRequestBody, keyRequestBody + sizeSuffix, keyRequestBody + digestSuffix}
		c.describeBody(to, keys, &r.request, r.requestCoding, c.of("request.body", r))
	}
	if c.ResponseHeaders && ctx.Response.Header != nil {
		text := c.of("response.headers", r).headers(ctx.Trace.Room(), ctx.Response.Header, nil, &c.answered)
		to.set(keyResponseHeaders, ctx.Trace.Taken(text))
	}
	if c.ResponseBody {
		keys := bodyKeys{keyResponseBody, keyResponseBody + sizeSuffix, keyResponseBody + digestSuffix}
		c.describeBody(to, keys, &r.response, r.responseCoding, c.of("response.body", r))
	}
	if len(r.masked.places) > 0 {
		to.set(keyMasked, ctx.Trace.Taken(r.masked.appendJSON(ctx.Trace.Room())))
	}
}

type bodyKeys struct{ text, size, digest string }

// describeBody sets the attributes of a body, if there was one.
func (c *capture) describeBody(to attributes, keys bodyKeys, s *sink, coding string, m *masking) {
	if s.size == 0 {
		return
	}
	text, kept := s.shown, s.shown.Kind == tracing.ValueNone
	if kept {
		text = c.show(to.root.Trace(), s, coding, m)
	}
	to.set(keys.text, text)
	to.set(keys.size, tracing.IntValue(s.size))
	if kept && s.digest && s.whole && (c.BodyDigest == digestAlways || s.size != int64(len(s.kept))) {
		to.set(keys.digest, tracing.StringValue(s.sha256()))
	}
}

// truncated ends the text of a body that is longer than what is shown of it.
const truncated = "…truncated"

// show gives a body as it may be recorded, or a note in its place.
func (c *capture) show(trace *tracing.Trace, s *sink, coding string, m *masking) tracing.Value {
	note := func(what string) tracing.Value {
		return trace.Text(fmt.Appendf(nil, "[%s, %d bytes]", strings.TrimSpace(what+" "+strings.ToValidUTF8(s.media, "?")), s.size))
	}
	switch {
	case !s.wanted:
		return note("not captured:")
	case s.refused:
		return note("not captured for want of memory:")
	case s.limit == 0:
		return tracing.StringValue(truncated)
	}
	body := s.kept
	m.cut = s.size > int64(len(body)) || !s.whole
	if coding != "" {
		decoded, cut, err := decode(nil, body, coding, s.limit)
		if err != nil {
			return note("undecodable:")
		}
		body, m.cut = decoded, m.cut || cut
	}
	if !m.cut && coding == "" && m.shows(body, s.format) {
		return trace.UTF8Text(body)
	}
	if !isText(body, m.cut) {
		return note("binary:")
	}
	body = wholeRunes(body)
	out := m.text(make([]byte, 0, len(body)+len(body)/8+64), body, s.contentType)
	if len(out) > s.limit { // masks may be longer than what they hide
		out, m.cut = wholeRunes(out[:s.limit]), true
	}
	if m.cut {
		out = append(out, truncated...)
	}
	return trace.Text(out)
}

// mediaType is a content type without its parameters, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// isText reports whether a body is text in UTF-8.
func isText(body []byte, cut bool) bool {
	if cut {
		body = wholeRunes(body)
	}
	return utf8.Valid(body) && bytes.IndexByte(body, 0) < 0
}

// wholeRunes leaves out the beginning of a character at the end of text.
func wholeRunes(text []byte) []byte {
	for i := 1; i <= min(utf8.UTFMax, len(text)); i++ {
		if c := text[len(text)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(text[len(text)-i:]) {
				return text[:len(text)-i]
			}
			break
		}
	}
	return text
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
