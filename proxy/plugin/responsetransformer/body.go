package responsetransformer

import (
	"encoding/json"
	"strconv"
	"strings"

	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
)

// bodyChanges are what is done to the members of a JSON object, in this order.
type bodyChanges struct {
	remove               []string
	rename               [][2]string
	replace, add, append []member
}

// member is a member's name with a value that is JSON.
type member struct {
	name  string
	value json.RawMessage
}

func newBodyChanges(c *config) bodyChanges {
	b := bodyChanges{
		replace: members(c.Replace), add: members(c.Add), append: members(c.Append),
	}
	for _, entry := range c.Remove.JSON {
		name, _ := cut(entry)
		b.remove = append(b.remove, name)
	}
	for _, pair := range c.Rename.JSON {
		if old, name := cut(pair); name != "" {
			b.rename = append(b.rename, [2]string{old, name})
		}
	}
	return b
}

func (b *bodyChanges) empty() bool {
	return len(b.remove)+len(b.rename)+len(b.replace)+len(b.add)+len(b.append) == 0
}

// members reads pairs with the types that their values are to have: one that is no number, where it should be, is left
// out. Kong: kong/plugins/response-transformer/body_transformer.lua json_value
func members(from lists) []member {
	var all []member
	for i, pair := range from.JSON {
		kind := ""
		if i < len(from.Types) {
			kind = from.Types[i]
		}
		name, value := cut(pair)
		if value == "" {
			value = "null" // the text, not JSON's null, as in Kong
		}
		if raw := typed(value, kind); raw != nil {
			all = append(all, member{name, raw})
		}
	}
	return all
}

func typed(value, kind string) json.RawMessage {
	switch kind {
	case "boolean":
		return json.RawMessage(strconv.FormatBool(value == "true"))
	case "number":
		value = strings.TrimSpace(value)
		if json.Valid([]byte(value)) && value[0] != '"' && value[0] != '{' && value[0] != '[' && value[0] != 't' &&
			value[0] != 'f' && value[0] != 'n' {
			return json.RawMessage(value)
		}
		number, err := strconv.ParseFloat(value, 64) // Lua reads .5, 0x10p0 and the like too
		if err != nil {
			return nil
		}
		raw, err := json.Marshal(number)
		if err != nil {
			return nil // not finite
		}
		return raw
	default:
		return params.Quote(value)
	}
}

// apply does the changes to an object. Kong: kong/plugins/response-transformer/body_transformer.lua transform_json_body
func (b *bodyChanges) apply(o *params.Object) {
	for _, name := range b.remove {
		o.Delete(name)
	}
	for _, r := range b.rename {
		o.Rename(r[0], r[1])
	}
	for _, m := range b.replace {
		if o.Has(m.name) {
			o.SetRaw(m.name, m.value)
		}
	}
	for _, m := range b.add {
		if !o.Has(m.name) {
			o.SetRaw(m.name, m.value)
		}
	}
	for _, m := range b.append {
		o.AppendRaw(m.name, m.value)
	}
}

// bodyTransformer is one configured plugin that changes bodies too.
type bodyTransformer struct{ *transformer }

// held is the body as far as it has come.
type held struct {
	body []byte
	over bool // it is longer than maxBody and goes on as it comes
}

// FilterHeader also takes the length away where the body is going to change.
func (t bodyTransformer) FilterHeader(ctx *plugin.Context) error {
	if err := t.transformer.FilterHeader(ctx); err != nil {
		return err
	}
	if isJSON(ctx.Response.Header) {
		delete(ctx.Response.Header, "Content-Length")
		ctx.SetState(&held{})
	}
	return nil
}

// FilterBody holds a JSON body back to its end and sends the changed one. A body that is no JSON object is sent as it is.
func (t bodyTransformer) FilterBody(ctx *plugin.Context, chunk []byte, eof bool) ([]byte, error) {
	h, ok := ctx.State().(*held)
	if !ok || h.over {
		return chunk, nil
	}
	h.body = append(h.body, chunk...)
	if len(h.body) > maxBody {
		ctx.Logger.Warn("answer is not transformed", "error", "body is too large", "request_id", ctx.RequestID)
		h.over = true
		return h.body, nil
	}
	if !eof {
		return nil, nil
	}
	object := parse(h.body)
	if object == nil {
		ctx.Logger.Warn("answer is not transformed", "error", "body is no JSON object", "request_id", ctx.RequestID)
		return h.body, nil
	}
	t.body.apply(object)
	return object.Encode()
}

// parse gives nil for what is no JSON object.
func parse(body []byte) *params.Object {
	object, err := params.ParseObject(body)
	if err != nil || len(body) == 0 {
		return nil
	}
	return object
}
