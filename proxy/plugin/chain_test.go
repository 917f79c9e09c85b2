package plugin

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"sidekong/configs/entity"
)

// tell notes which instance ran.
type tell struct {
	id  string
	ran *[]string
}

func (p tell) Access(*Context) error { *p.ran = append(*p.ran, p.id); return nil }

func context(consumer *entity.Consumer) *Context {
	return &Context{Request: &http.Request{}, Logger: slog.New(slog.DiscardHandler), Consumer: consumer}
}

// TestPrecedence has all eight scopes: it takes the most specific instance away again and again: what runs then is the next in Kong's order.
func TestPrecedence(t *testing.T) {
	ref := func(on bool, id string) *entity.Ref {
		if !on {
			return nil
		}
		return &entity.Ref{ID: id}
	}
	type scope struct{ consumer, route, service bool }
	order := []scope{
		{true, true, true},
		{true, true, false},
		{true, false, true},
		{false, true, true},
		{true, false, false},
		{false, true, false},
		{false, false, true},
		{false, false, false},
	}
	name := func(s scope) string {
		return fmt.Sprintf("consumer=%t route=%t service=%t", s.consumer, s.route, s.service)
	}
	route := &entity.Route{Meta: entity.Meta{ID: "r"}, Protocols: []string{"http"}}
	service := &entity.Service{Meta: entity.Meta{ID: "s"}}
	for first := range order {
		var ran []string
		registry := NewRegistry(&Definition{Name: "tell", Config: &entity.Record{}, New: func(p *entity.Plugin, _ Env) (Instance, error) {
			return tell{p.ID, &ran}, nil
		}})
		var configs []*entity.Plugin
		for _, s := range order[first:] {
			configs = append(configs, &entity.Plugin{
				Meta: entity.Meta{ID: name(s)}, Name: "tell", Enabled: true, Protocols: []string{"http"},
				Consumer: ref(s.consumer, "c"), Route: ref(s.route, "r"), Service: ref(s.service, "s"),
			})
			// Others' never run.
			for _, other := range []*entity.Plugin{
				{Consumer: ref(true, "other"), Route: ref(true, "r"), Service: ref(true, "s")},
				{Consumer: ref(true, "c"), Route: ref(true, "other")},
				{Service: ref(true, "other")},
			} {
				other.Meta.ID, other.Name, other.Enabled, other.Protocols = "other", "tell", true, []string{"http"}
				configs = append(configs, other)
			}
		}
		configs = append(configs, &entity.Plugin{
			Meta: entity.Meta{ID: "disabled"}, Name: "tell", Route: ref(true, "r"), Service: ref(true, "s"), Consumer: ref(true, "c"),
		}, &entity.Plugin{
			Meta: entity.Meta{ID: "other protocol"}, Name: "tell", Enabled: true, Protocols: []string{"grpc"},
			Route: ref(true, "r"), Service: ref(true, "s"), Consumer: ref(true, "c"),
		})
		plan, faulty := NewPlan(registry, configs, Env{})
		if faulty != nil {
			t.Fatal(faulty)
		}
		ctx := context(&entity.Consumer{Meta: entity.Meta{ID: "c"}})
		if err := plan.Chain(route, service).Access(ctx); err != nil {
			t.Fatal(err)
		}
		if len(ran) != 1 || ran[0] != name(order[first]) {
			t.Errorf("%q ran, want %q", ran, name(order[first]))
		}
	}
}

// TestConsumerKnownLate: a plugin that names the consumer decides which instances of the later plugins run, not of
// those before it.
func TestConsumerKnownLate(t *testing.T) {
	var ran []string
	instance := func(p *entity.Plugin, _ Env) (Instance, error) { return tell{p.ID, &ran}, nil }
	registry := NewRegistry(
		&Definition{Name: "early", Priority: 30, Config: &entity.Record{}, New: instance},
		&Definition{Name: "auth", Priority: 20, Config: &entity.Record{}, New: func(*entity.Plugin, Env) (Instance, error) {
			return identify{}, nil
		}},
		&Definition{Name: "late", Priority: 10, Config: &entity.Record{}, New: instance},
	)
	var configs []*entity.Plugin
	for _, name := range []string{"late", "early", "auth"} {
		configs = append(configs, &entity.Plugin{Meta: entity.Meta{ID: name}, Name: name, Enabled: true})
		if name != "auth" {
			configs = append(configs, &entity.Plugin{Meta: entity.Meta{ID: name + " of c"}, Name: name, Enabled: true, Consumer: &entity.Ref{ID: "c"}})
		}
	}
	plan, faulty := NewPlan(registry, configs, Env{})
	if faulty != nil {
		t.Fatal(faulty)
	}
	if err := plan.Chain(nil, nil).Access(context(nil)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(ran); got != "[early late of c]" {
		t.Errorf("ran %s", got)
	}
}

type identify struct{}

func (identify) Access(ctx *Context) error {
	ctx.Consumer = &entity.Consumer{Meta: entity.Meta{ID: "c"}}
	return nil
}
