package opentelemetry

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// attrReason is the attribute of the root that says why the trace was kept. It is there where tail_sampling is
// configured.
const attrReason = "sidekong.sampling.reason"

// The reasons for which a trace is kept, in the order in which the rules are asked.
const (
	reasonError    = "error"
	reasonSlow     = "slow"
	reasonStatus   = "status"
	reasonRoute    = "route"
	reasonHeader   = "header"
	reasonConsumer = "consumer"
	reasonHead     = "head" // no rule spoke: the decision made when the request came
)

// tail are the rules of tail_sampling. They decide when the request is complete whether its trace is exported:
//
//  1. what a drop rule names is not, whatever else is true of it;
//  2. what a keep rule names is, sampled or not;
//  3. for everything else the decision counts that was made when the request came.
//
// What the upstream was told stays the decision of step 3. Where rules are configured every request is recorded.
type tail struct {
	healthChecks bool
	paths        []string // a * at the end stands for anything
	errors       bool
	slow         bool
	slowerThan   time.Duration
	statuses     []statusRange
	routes       map[string]bool // by name and id
	consumers    map[string]bool // by username, custom id and id
	headers      []headerRule
}

type statusRange struct{ from, to int }

type headerRule struct{ name, value string } // value "*": any

func newTail(o *tailOptions) (*tail, error) {
	if o == nil {
		return nil, nil //nolint:nilnil // nil is no rules
	}
	t := &tail{
		healthChecks: o.DropHealthChecks, paths: o.DropPaths, errors: o.KeepErrors,
		routes: setOf(o.KeepRoutes), consumers: setOf(o.KeepConsumers),
	}
	if o.KeepSlowerThan != nil {
		t.slow, t.slowerThan = true, time.Duration(*o.KeepSlowerThan*float64(time.Millisecond))
	}
	for _, text := range o.KeepStatuses {
		r, err := parseStatuses(text)
		if err != nil {
			return nil, fmt.Errorf("tail_sampling: %w", err)
		}
		t.statuses = append(t.statuses, r)
	}
	for name, value := range o.KeepHeaders {
		t.headers = append(t.headers, headerRule{http.CanonicalHeaderKey(name), value})
	}
	return t, nil
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// parseStatuses reads "404", "4xx" or "500-503".
func parseStatuses(text string) (statusRange, error) {
	if class, ok := strings.CutSuffix(strings.ToLower(text), "xx"); ok {
		if len(class) == 1 && class >= "1" && class <= "5" {
			from := int(class[0]-'0') * 100
			return statusRange{from, from + 99}, nil
		}
		return statusRange{}, fmt.Errorf("%q is no class of statuses, expected 1xx to 5xx", text)
	}
	first, last, found := strings.Cut(text, "-")
	if !found {
		last = first
	}
	from, errFrom := strconv.Atoi(first)
	to, errTo := strconv.Atoi(last)
	if errFrom != nil || errTo != nil || from < 100 || to > 599 || from > to {
		return statusRange{}, fmt.Errorf("%q is no status, expected one such as 404, 4xx or 500-503", text)
	}
	return statusRange{from, to}, nil
}

// decide says whether the trace of a complete request is exported, and why.
func (t *tail) decide(ctx *plugin.Context) (keep bool, reason string) {
	if t.drops(ctx) {
		return false, ""
	}
	switch {
	case t.errors && failed(ctx):
		return true, reasonError
	case t.slow && took(ctx) > t.slowerThan:
		return true, reasonSlow
	case slices.ContainsFunc(t.statuses, func(r statusRange) bool { return r.from <= ctx.Response.Status && ctx.Response.Status <= r.to }):
		return true, reasonStatus
	case ctx.Route != nil && (t.routes[ctx.Route.ID] || t.routes[ctx.Route.Name]):
		return true, reasonRoute
	case slices.ContainsFunc(t.headers, func(r headerRule) bool { return r.matches(ctx.Request.Header) }):
		return true, reasonHeader
	case ctx.Consumer != nil && (t.consumers[ctx.Consumer.ID] || t.consumers[ctx.Consumer.Username] || t.consumers[ctx.Consumer.CustomID]):
		return true, reasonConsumer
	default:
		return ctx.Trace.Sampled(), reasonHead
	}
}

func (t *tail) drops(ctx *plugin.Context) bool {
	path, _, _ := strings.Cut(ctx.ForwardedURI, "?")
	if t.healthChecks && isHealthCheck(path, ctx.Request.UserAgent()) {
		return true
	}
	return slices.ContainsFunc(t.paths, func(pattern string) bool {
		if stem, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(path, stem)
		}
		return path == pattern
	})
}

// Paths that are for health checks by convention, and the beginnings of user agents that make them.
var (
	healthPaths = setOf([]string{
		"/health", "/healthz", "/livez", "/readyz", "/-/healthy", "/-/ready",
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
	})
	healthAgents = []string{
		"kube-probe/", "GoogleHC/", "ELB-HealthChecker/", "Amazon-Route53-Health-Check-Service", "Consul Health Check",
		"Envoy/HC", "HAProxy/HealthCheck", "Edge Health Probe",
	}
)

func isHealthCheck(path, agent string) bool {
	return healthPaths[path] || slices.ContainsFunc(healthAgents, func(stem string) bool { return strings.HasPrefix(agent, stem) })
}

func (r headerRule) matches(h http.Header) bool {
	values := h[r.name]
	return r.value == "*" && len(values) > 0 || slices.Contains(values, r.value)
}

// failed reports whether the request went wrong by the root span's account.
func failed(ctx *plugin.Context) bool {
	return ctx.Response.Status >= 500 || ctx.Trace.Len() > 0 && ctx.Trace.Record(0).Status == tracing.StatusError
}

// took is the time from the request's first byte to the answer's last.
func took(ctx *plugin.Context) time.Duration {
	if ctx.Trace.Len() == 0 {
		return 0
	}
	root := ctx.Trace.Record(0)
	return time.Duration(root.End - root.Start)
}
