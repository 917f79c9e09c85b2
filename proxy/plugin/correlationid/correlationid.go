// Package correlationid is Kong's correlation-id plugin: every request has an id in a header, the caller's own or a new
// one. Kong: kong/plugins/correlation-id/handler.lua
package correlationid

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/plugin/params"
)

// Name is the plugin's name in a configuration.
const Name = "correlation-id"

const priority = 100001

// Define makes the plugin's definition. All instances count together.
func Define() *plugin.Definition {
	var counter atomic.Uint64
	prefix := uuid.NewString() + "#"
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(),
		New: func(p *entity.Plugin, _ plugin.Env) (plugin.Instance, error) {
			var config struct {
				HeaderName     string `json:"header_name"`
				Generator      string `json:"generator"`
				EchoDownstream bool   `json:"echo_downstream"`
			}
			if err := entity.Decode(p.Config, &config); err != nil {
				return nil, err
			}
			c := &correlationID{header: http.CanonicalHeaderKey(config.HeaderName)}
			switch config.Generator {
			case "uuid":
				c.generate = func(*plugin.Context) string { return uuid.NewString() }
			case "tracker":
				c.generate = func(ctx *plugin.Context) string { return tracker(ctx, counter.Add(1)) }
			default:
				c.generate = func(*plugin.Context) string { return prefix + strconv.FormatUint(counter.Add(1), 10) }
			}
			if config.EchoDownstream {
				return echoing{c}, nil
			}
			return c, nil
		},
	}
}

// correlationID is one configured plugin.
type correlationID struct {
	header   string // canonical; "" where the configuration says null
	generate func(*plugin.Context) string
}

// echoing is an instance that tells the client the id too.
type echoing struct{ *correlationID }

// Access gives the request an id unless it has one.
func (c *correlationID) Access(ctx *plugin.Context) error {
	if c.header == "" {
		return nil
	}
	id := c.known(ctx)
	if id == "" {
		id = c.generate(ctx)
		ctx.Request.Header[c.header] = []string{id}
	}
	ctx.SetState(id)
	ctx.SetLogValue("correlation_id", params.Quote(id), "set")
	return nil
}

func (c *correlationID) known(ctx *plugin.Context) string {
	if values := ctx.Request.Header[c.header]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// FilterHeader tells the client. A request that was answered before the access phase gets an id here.
func (c echoing) FilterHeader(ctx *plugin.Context) error {
	if c.header == "" {
		return nil
	}
	id, _ := ctx.State().(string)
	if id == "" {
		id = c.known(ctx)
	}
	if id == "" {
		id = c.generate(ctx)
	}
	ctx.Response.Header[c.header] = []string{id}
	return nil
}

// tracker names the request by the listener, the process, the connection and the time. nginx numbers connections; here
// the client's port stands for the connection, and the requests of the process are counted instead of the connection's.
func tracker(ctx *plugin.Context, n uint64) string {
	server := ""
	if local, ok := ctx.Request.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		server, _, _ = net.SplitHostPort(local.String())
	}
	return fmt.Sprintf("%s-%d-%d-%d-%d-%.3f", server, ctx.LocalPort, os.Getpid(), ctx.PeerPort, n,
		float64(time.Now().UnixMilli())/1000)
}
