// Package requesttermination is Kong's request-termination plugin: it answers requests itself.
// Kong: kong/plugins/request-termination/handler.lua
package requesttermination

import (
	"encoding/json"
	"os"
	"strings"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
)

// Name is the plugin's name in a configuration.
const Name = "request-termination"

const priority = 2

// maxBody bounds the request bodies that are echoed, in bytes.
const maxBody = 1 << 20

// Define makes the plugin's definition. nodeID stands in the answers that echo their request.
func Define(nodeID string) *plugin.Definition {
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(),
		New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
			t := &termination{nodeID: nodeID}
			if err := entity.Decode(p.Config, &t.config); err != nil {
				return nil, err
			}
			if t.config.Message == nil {
				if message, ok := defaultMessages[t.config.StatusCode]; ok {
					t.config.Message = &message
				}
			}
			return t, nil
		},
	}
}

// defaultMessages are those of statuses for which no message is configured.
var defaultMessages = map[int]string{
	401: "Unauthorized",
	404: "Not found",
	405: "Method not allowed",
	500: "An unexpected error occurred",
	502: "Bad Gateway",
	503: "Service unavailable",
}

type config struct {
	StatusCode  int     `json:"status_code"`
	Message     *string `json:"message"`
	ContentType string  `json:"content_type"`
	Body        *string `json:"body"`
	Echo        bool    `json:"echo"`
	Trigger     string  `json:"trigger"`
}

// termination is one configured plugin.
type termination struct {
	config config
	nodeID string
}

// Access answers, unless a trigger is missing.
func (t *termination) Access(ctx *plugin.Context) error {
	c := &t.config
	if c.Trigger != "" && !triggered(ctx, c.Trigger) {
		return nil
	}
	switch {
	case c.Echo:
		shown, err := t.echo(ctx)
		if err != nil {
			return err
		}
		ctx.ExitJSON(c.StatusCode, shown)
	case c.Body != nil:
		header := plugin.NoContentType()
		if c.ContentType != "" {
			header["Content-Type"] = []string{c.ContentType}
		}
		ctx.Exit(plugin.Answer{Status: c.StatusCode, Header: header, Body: []byte(*c.Body)})
	case c.Message != nil:
		ctx.ExitMessage(c.StatusCode, *c.Message)
	default:
		ctx.ExitBare(c.StatusCode)
	}
	return nil
}

// triggered reports whether a header or a query argument of that name is there, whatever its value.
func triggered(ctx *plugin.Context, name string) bool {
	exact, dashed := plugin.HeaderNames(name)
	h := ctx.Request.Header
	return h[exact] != nil || h[dashed] != nil || params.ParseArgs(ctx.RawQuery()).Has(name)
}

// echo is an answer that shows the client what it asked.
type echo struct {
	Message *string         `json:"message,omitempty"`
	Kong    echoNode        `json:"kong"`
	Request echoRequest     `json:"request"`
	Route   *entity.Route   `json:"matched_route,omitempty"`
	Service *entity.Service `json:"matched_service,omitempty"`
}

type echoNode struct {
	NodeID   string `json:"node_id"`
	PID      int    `json:"worker_pid"`
	Hostname string `json:"hostname"`
}

type echoRequest struct {
	Scheme   string            `json:"scheme"`
	Host     string            `json:"host"`
	Port     uint16            `json:"port"`
	Headers  map[string]any    `json:"headers"`
	Query    map[string]any    `json:"query"`
	Body     json.RawMessage   `json:"body,omitempty"`
	RawBody  string            `json:"raw_body"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Captures map[string]string `json:"uri_captures,omitempty"`
}

func (t *termination) echo(ctx *plugin.Context) (echo, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = ""
	}
	path, _, _ := strings.Cut(ctx.ForwardedURI, "?")
	e := echo{
		Message: t.config.Message,
		Kong:    echoNode{t.nodeID, os.Getpid(), hostname},
		Request: echoRequest{
			Scheme: ctx.Scheme, Host: ctx.Host, Port: ctx.LocalPort, Method: ctx.Request.Method, Path: path,
			Headers: params.HeaderTable(ctx.Request.Header, ctx.Request.Host), Query: params.ParseArgs(ctx.RawQuery()).Table(),
			Captures: ctx.Captures,
		},
		Route: ctx.Route, Service: ctx.Service,
	}
	body, _, err := ctx.Body(maxBody)
	if err == plugin.ErrBodyTooLarge {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	e.Request.RawBody = string(body)
	media := ctx.Request.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(media, "application/json") && json.Valid(body):
		e.Request.Body = body
	case strings.HasPrefix(media, "application/x-www-form-urlencoded"):
		if form, err := plugin.EncodeJSON(params.ParseArgs(e.Request.RawBody).Table()); err == nil { // it always is
			e.Request.Body = form
		}
	}
	return e, nil
}
