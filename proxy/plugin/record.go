package plugin

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin/params"
)

// Redacted stands in records in the place of a secret.
const Redacted = "REDACTED"

// Workspace of everything: there is one, and it has the id that Kong gives it without a database.
// Kong: kong/constants.lua DECLARATIVE_DEFAULT_WORKSPACE_ID
const (
	workspaceID   = "0dc6f45b-8f8d-40d2-a504-473544ee190b"
	workspaceName = "default"
)

// Recorder makes the records that logging plugins write of requests. It belongs to an instance.
type Recorder struct {
	secrets *Secrets
	encoded sync.Map // *entity.Route and *entity.Service → json.RawMessage
}

// NewRecorder makes a recorder that masks what is secret: see NewSecrets.
func NewRecorder(env Env) *Recorder { return &Recorder{secrets: NewSecrets(env)} }

// JSON is the record of a request on one line, in the log phase.
func (r *Recorder) JSON(ctx *Context) ([]byte, error) { return EncodeJSON(r.Record(ctx)) }

// Record is what is known of a request in the log phase, with what plugins asked for by SetLogValue. It is what Kong's
// kong.log.serialize gives; times are in milliseconds. Secrets are masked. Kong: kong/pdk/log.lua serialize
func (r *Recorder) Record(ctx *Context) map[string]any {
	s := &ctx.Summary
	uri := r.secrets.URI(ctx.ForwardedURI)
	upstreamURI := r.secrets.URI(s.UpstreamURI)
	request := map[string]any{
		"id":          ctx.RequestID,
		"uri":         uri,
		"url":         ctx.Scheme + "://" + ctx.Host + ":" + strconv.Itoa(int(ctx.LocalPort)) + uri,
		"querystring": mask(params.ParseArgs(ctx.RawQuery()).Table(), r.secrets.Parameter),
		"method":      ctx.Request.Method,
		"headers":     mask(params.HeaderTable(ctx.Request.Header, ctx.Request.Host), r.secrets.Header),
		"size":        s.BytesReceived,
	}
	if state := ctx.Request.TLS; state != nil {
		request["tls"] = tlsTable(state)
	}
	upstreamStatus := ""
	if s.UpstreamStatus != 0 {
		upstreamStatus = strconv.Itoa(s.UpstreamStatus)
	}
	source := "kong"
	if ctx.Response.Source == FromService && s.UpstreamStatus != 0 {
		source = "upstream"
	}
	record := map[string]any{
		"request": request,
		"response": map[string]any{
			"status":  ctx.Response.Status,
			"headers": mask(params.HeaderTable(ctx.Response.Header, ""), r.secrets.Header),
			"size":    s.BytesSent,
		},
		"latencies": map[string]any{
			"request": s.Request.Milliseconds(),
			"kong":    milliseconds(s.Gateway, 0),
			"proxy":   milliseconds(s.Upstream, -1),
			"receive": milliseconds(s.Receive, 0),
		},
		"upstream_uri":    upstreamURI,
		"upstream_status": upstreamStatus,
		"client_ip":       ctx.Client.String(),
		"started_at":      ctx.Arrived.UnixMilli(),
		"source":          source,
		"workspace":       workspaceID,
		"workspace_name":  workspaceName,
	}
	if ctx.Route != nil {
		record["route"] = r.encode(ctx.Route)
		record["tries"] = triesTable(s.Tries)
	}
	if ctx.Service != nil {
		record["service"] = r.encode(ctx.Service)
	}
	if ctx.Consumer != nil {
		record["consumer"] = encodeEntity(ctx.Consumer)
	}
	if entity := credentialTable(ctx.Credential); entity != nil {
		record["authenticated_entity"] = entity
	}
	if ids := ctx.TraceIDs(); ids != nil {
		record["trace_id"] = ids
	}
	for _, value := range ctx.LogValues() {
		edit(record, value)
	}
	return record
}

// milliseconds is a latency, or none where it does not apply.
func milliseconds(d time.Duration, none int64) int64 {
	if d < 0 {
		return none
	}
	return d.Milliseconds()
}

func mask(table map[string]any, secret func(name string) bool) map[string]any {
	for name := range table {
		if secret(name) {
			table[name] = Redacted
		}
	}
	return table
}

// encode is encodeEntity for what the configuration holds anyway.
func (r *Recorder) encode(e any) json.RawMessage {
	if known, ok := r.encoded.Load(e); ok {
		return known.(json.RawMessage)
	}
	raw := encodeEntity(e)
	r.encoded.Store(e, raw)
	return raw
}

// encodeEntity writes an entity without the fields that have no value, as Kong has it.
func encodeEntity(e any) json.RawMessage {
	object := map[string]any{}
	raw, err := json.Marshal(e)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		err = decoder.Decode(&object)
	}
	if err != nil {
		return json.RawMessage("{}") // entities came from JSON
	}
	for name, value := range object {
		unknown := value == json.Number("0") && (name == "created_at" || name == "updated_at")
		if value == nil || value == "" || unknown {
			delete(object, name)
		}
	}
	raw, err = EncodeJSON(object)
	if err != nil {
		return json.RawMessage("{}")
	}
	return raw
}

func triesTable(tries []Try) []map[string]any {
	table := make([]map[string]any, 0, len(tries))
	for _, t := range tries {
		try := map[string]any{
			"balancer_start":      t.Began.UnixMilli(),
			"balancer_start_ns":   t.Began.UnixNano(),
			"balancer_latency":    t.Duration.Milliseconds(),
			"balancer_latency_ns": t.Duration.Nanoseconds(),
			"ip":                  t.IP,
			"port":                t.Port,
		}
		if t.State != "" {
			try["state"], try["code"] = t.State, t.Code
		}
		table = append(table, try)
	}
	return table
}

// Kong: kong/pdk/log.lua build_authenticated_entity
func credentialTable(credential any) map[string]any {
	switch c := credential.(type) {
	case *entity.KeyAuthCredential:
		return map[string]any{"id": c.ID, "consumer_id": c.Consumer.ID}
	case *entity.BasicAuthCredential:
		return map[string]any{"id": c.ID, "consumer_id": c.Consumer.ID}
	default:
		return nil
	}
}

// tlsTable names versions as nginx does. Kong: kong/pdk/log.lua build_tls_info
func tlsTable(state *tls.ConnectionState) map[string]any {
	verified := "NONE"
	if len(state.VerifiedChains) > 0 {
		verified = "SUCCESS"
	}
	return map[string]any{
		"version":       strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1),
		"cipher":        tls.CipherSuiteName(state.CipherSuite),
		"client_verify": verified,
	}
}

// edit puts a value into a record. Where its key leads through something that is no object, it is left out: there Kong
// fails. Kong: kong/pdk/log.lua edit_result
func edit(record map[string]any, v LogValue) {
	path := keyNames(v.Key)
	node := record
	for _, name := range path[:len(path)-1] {
		switch next := node[name].(type) {
		case map[string]any:
			node = next
		case nil:
			if v.Mode == "replace" {
				return
			}
			made := map[string]any{}
			node[name] = made
			node = made
		case json.RawMessage:
			var object map[string]any
			if json.Unmarshal(next, &object) != nil || object == nil {
				return
			}
			node[name] = object
			node = object
		default:
			return
		}
	}
	last := path[len(path)-1]
	_, exists := node[last]
	if v.Mode == "add" && exists || v.Mode == "replace" && !exists {
		return
	}
	if v.Value == nil || string(v.Value) == "null" {
		delete(node, last)
		return
	}
	node[last] = v.Value
}

// keyNames splits a key at its dots. A dot behind a backslash belongs to the name; the backslash does not.
func keyNames(key string) []string {
	names := strings.Split(key, ".")
	for i := 0; i < len(names)-1; {
		name, escaped := strings.CutSuffix(names[i], `\`)
		if !escaped {
			i++
			continue
		}
		names[i+1] = name + "." + names[i+1]
		names = slices.Delete(names, i, i+1)
	}
	return names
}

// HeaderNames are the names that a header may have: net/http's form of it, and that with - in the place of _, which Kong
// looks for too. Kong: ngx.req.get_headers
func HeaderNames(name string) (exact, dashed string) {
	return http.CanonicalHeaderKey(name), http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
}
