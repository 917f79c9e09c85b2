package correlationid

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"sidekong/configs/entity"
	"sidekong/internal/gateway"
	"sidekong/proxy/plugin"
)

const config = gateway.Service + `
plugins:
- name: correlation-id
  config: `

const uuidPattern = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`

func TestGenerators(t *testing.T) {
	for generator, pattern := range map[string]string{
		"uuid":           uuidPattern,
		`"uuid#counter"`: uuidPattern + `#[12]`,
		"tracker":        `127\.0\.0\.1-\d+-\d+-\d+-[12]-\d{10}\.\d{3}`,
	} {
		g := gateway.Start(t, gateway.Setup{
			Config: config + "{generator: " + generator + ", header_name: X-Trace-Me}", Plugins: []*plugin.Definition{Define()},
		})
		seen := map[string]bool{}
		for range 2 {
			g.Get("/")
			id := g.Received().Header.Get("X-Trace-Me")
			if !regexp.MustCompile("^" + pattern + "$").MatchString(id) {
				t.Errorf("%s: %q", generator, id)
			}
			seen[id] = true
		}
		if len(seen) != 2 {
			t.Errorf("%s: %d different ids", generator, len(seen))
		}
	}
}

// exit answers every request before correlation-id is asked.
type exit struct{}

func (exit) Access(ctx *plugin.Context) error {
	ctx.Exit(plugin.Answer{Status: 418})
	return nil
}

func TestEcho(t *testing.T) {
	early := &plugin.Definition{
		Name: "early", Priority: priority + 1, Config: &entity.Record{},
		New: func(*entity.Plugin, plugin.Env) (plugin.Instance, error) { return exit{}, nil },
	}
	const header = "Kong-Request-Id"
	for _, c := range []struct {
		name, config string
		header       []string
		want         string // in the answer; "": nothing, "*": something
	}{
		{"not echoed", "{}", nil, ""},
		{"generated", "{echo_downstream: true}", nil, "*"},
		{"the client's own", "{echo_downstream: true}", []string{"Kong-Request-ID: mine"}, "mine"},
		{"an empty one", "{echo_downstream: true}", []string{"Kong-Request-ID: "}, "*"},
		{"answered before", "{echo_downstream: true}\n- name: early", nil, "*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gateway.Start(t, gateway.Setup{Config: config + c.config, Plugins: []*plugin.Definition{Define(), early}})
			got := g.Get("/", c.header...).Header.Get(header)
			if (c.want == "*" && got == "") || (c.want != "*" && got != c.want) {
				t.Errorf("answer has %q", got)
			}
			if all := g.Upstream.Requests(); len(all) > 0 && c.want != "" && all[0].Header.Get(header) != got {
				t.Errorf("upstream %q, client %q", all[0].Header.Get(header), got)
			}
		})
	}
}

// logger keeps the record of a request.
type logger struct {
	recorder *plugin.Recorder
	out      chan []byte
}

func (l logger) Log(ctx *plugin.Context) {
	line, err := l.recorder.JSON(ctx)
	if err != nil {
		line = []byte(err.Error())
	}
	l.out <- line
}

func TestRecord(t *testing.T) {
	out := make(chan []byte, 1)
	g := gateway.Start(t, gateway.Setup{Config: config + "{}\n- name: logs", Plugins: []*plugin.Definition{Define(), {
		Name: "logs", Config: &entity.Record{}, New: func(_ *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			return logger{plugin.NewRecorder(env), out}, nil
		},
	}}})
	g.Get("/", "Kong-Request-ID: mine")
	var record struct {
		ID string `json:"correlation_id"`
	}
	line := <-out
	if err := json.Unmarshal(line, &record); err != nil || record.ID != "mine" {
		t.Errorf("%v in %s", err, strings.TrimSpace(string(line)))
	}
}
