// Package requesttransformer is Kong's request-transformer plugin: it changes the method, the path, the headers, the
// query and the body's parameters of requests on their way upstream.
// Kong: kong/plugins/request-transformer/access.lua
package requesttransformer

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
)

// Name is the plugin's name in a configuration.
const Name = "request-transformer"

const priority = 801

// maxBody bounds the bodies that are changed, in bytes. A longer one goes upstream as it is.
const maxBody = 8 << 20

// Define makes the plugin's definition.
func Define() *plugin.Definition {
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(),
		New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) { return newTransformer(p, env) },
	}
}

type config struct {
	HTTPMethod string `json:"http_method"`
	Remove     lists  `json:"remove"`
	Rename     lists  `json:"rename"`
	Replace    struct {
		lists
		URI string `json:"uri"`
	} `json:"replace"`
	Add    lists `json:"add"`
	Append lists `json:"append"`
}

type lists struct {
	Body        []string `json:"body"`
	Headers     []string `json:"headers"`
	Querystring []string `json:"querystring"`
}

// transformer is one configured plugin.
type transformer struct {
	logger               *slog.Logger
	method               string
	uri                  template // nil: the path stays
	headers, query, body changes
}

// changes are what is done to one kind of parameters, in this order.
type changes struct{ remove, rename, replace, add, append []change }

func (c *changes) empty() bool {
	return len(c.remove)+len(c.rename)+len(c.replace)+len(c.add)+len(c.append) == 0
}

// change is one pair of the configuration.
type change struct {
	name  string
	value template // nil: none was given
}

func newTransformer(p *entity.Plugin, env plugin.Env) (*transformer, error) {
	var c config
	if err := entity.Decode(p.Config, &c); err != nil {
		return nil, err
	}
	t := &transformer{logger: env.Logger, method: strings.ToUpper(c.HTTPMethod)}
	var err error
	if c.Replace.URI != "" {
		if t.uri, err = parseTemplate(c.Replace.URI); err != nil {
			return nil, err
		}
	}
	for _, one := range []struct {
		into *[]change
		from []string
	}{
		{&t.headers.remove, c.Remove.Headers},
		{&t.headers.rename, c.Rename.Headers},
		{&t.headers.replace, c.Replace.Headers},
		{&t.headers.add, c.Add.Headers},
		{&t.headers.append, c.Append.Headers},
		{&t.query.remove, c.Remove.Querystring},
		{&t.query.rename, c.Rename.Querystring},
		{&t.query.replace, c.Replace.Querystring},
		{&t.query.add, c.Add.Querystring},
		{&t.query.append, c.Append.Querystring},
		{&t.body.remove, c.Remove.Body},
		{&t.body.rename, c.Rename.Body},
		{&t.body.replace, c.Replace.Body},
		{&t.body.add, c.Add.Body},
		{&t.body.append, c.Append.Body},
	} {
		for _, pair := range one.from {
			c, err := newChange(pair)
			if err != nil {
				return nil, err
			}
			*one.into = append(*one.into, c)
		}
	}
	return t, nil
}

func newChange(pair string) (change, error) {
	name, value := cut(pair)
	if value == "" {
		return change{name: name}, nil
	}
	t, err := parseTemplate(value)
	return change{name, t}, err
}

// Access changes the request.
func (t *transformer) Access(ctx *plugin.Context) error {
	fixed, err := t.changePath(ctx)
	if err != nil {
		return err
	}
	if err := t.changeMethod(ctx); err != nil {
		return err
	}
	t.changeHeaders(ctx)
	if err := t.changeBody(ctx); err != nil {
		return err
	}
	if !t.query.empty() {
		args := params.ParseArgs(ctx.RawQuery())
		t.query.apply(ctx, &args)
		query := args.Query()
		ctx.Outgoing.Query = &query
	}
	if fixed != nil {
		ctx.Outgoing.Query = fixed
	}
	return nil
}

var errPath = errors.New("path must start with /")

// changePath gives the query that the configured path brings along, nil if none.
// Kong: kong/pdk/service/request.lua set_path
func (t *transformer) changePath(ctx *plugin.Context) (query *string, err error) {
	if t.uri == nil {
		return nil, nil
	}
	path := t.uri.render(ctx)
	if path == "" {
		return nil, nil
	}
	if path[0] != '/' {
		return nil, errPath
	}
	path, own, found := strings.Cut(path, "?")
	path = params.EscapePath(path)
	ctx.Outgoing.Path = &path
	if found {
		query = &own
	}
	return query, nil
}

// changeMethod takes a form's arguments into the query where the new method has no body.
func (t *transformer) changeMethod(ctx *plugin.Context) error {
	if t.method == "" {
		return nil
	}
	ctx.Outgoing.Method = t.method
	switch t.method {
	case http.MethodGet, http.MethodHead, http.MethodTrace:
	default:
		return nil
	}
	if !strings.Contains(strings.ToLower(ctx.Request.Header.Get("Content-Type")), "application/x-www-form-urlencoded") {
		return nil
	}
	body, _, err := t.read(ctx)
	form := params.ParseArgs(string(body))
	if err != nil || len(form) == 0 {
		return err
	}
	query := append(params.ParseArgs(ctx.RawQuery()), form...).Query()
	ctx.Outgoing.Query = &query
	return nil
}

// changeBody leaves a body that it cannot read as it is.
func (t *transformer) changeBody(ctx *plugin.Context) error {
	contentType := ctx.Request.Header.Get("Content-Type")
	if t.body.empty() || contentType == "" {
		return nil
	}
	if _, err := params.Parse(contentType, nil); err == params.ErrNoParameters {
		return nil
	}
	body, ok, err := t.read(ctx)
	if err != nil || !ok {
		return err
	}
	set, broken := params.Parse(contentType, body)
	if broken != nil || !t.body.apply(ctx, set) {
		return nil //nolint:nilerr // it goes upstream as it came
	}
	if body, err = set.Encode(); err != nil {
		return err
	}
	ctx.SetBody(body)
	return nil
}

// read gives the request's body; ok is false where it is too large. An error says that the client did not send it.
func (t *transformer) read(ctx *plugin.Context) (body []byte, ok bool, err error) {
	body, _, err = ctx.Body(maxBody)
	if err == plugin.ErrBodyTooLarge {
		t.logger.Warn("request body is not transformed", "error", err, "request_id", ctx.RequestID)
		return nil, false, nil
	}
	return body, err == nil, err
}

// apply reports whether anything was changed.
func (c *changes) apply(ctx *plugin.Context, set params.Set) (changed bool) {
	for _, r := range c.remove {
		changed = set.Delete(r.name) || changed
	}
	for _, r := range c.rename {
		changed = set.Rename(r.name, r.value.render(ctx)) || changed
	}
	for _, r := range c.replace {
		if set.Has(r.name) {
			set.Set(r.name, r.value.render(ctx))
			changed = true
		}
	}
	for _, a := range c.add {
		if !set.Has(a.name) {
			set.Set(a.name, a.value.render(ctx))
			changed = true
		}
	}
	for _, a := range c.append {
		set.Append(a.name, a.value.render(ctx))
		changed = true
	}
	return changed
}
