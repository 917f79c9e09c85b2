package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidekong/admin/manager"
	"sidekong/configs/entity"
	"sidekong/configs/settings"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing"
)

// doctorTimeout bounds each of the doctor's questions to others.
const doctorTimeout = 5 * time.Second

func doctorCommand(sys system) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what would keep traces from arriving",
		Long: "Look at the settings and the configuration that a sidecar would run with: post nothing to each receiver of\n" +
			"traces, resolve each upstream, and warn of what cannot work. The exit code is 1 where something is wrong.",
		Args: cobra.NoArgs,
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.upstream, "upstream", "", "as for run")
	cmd.Flags().StringVar(&o.otlpEndpoint, "otlp-endpoint", "", "as for run")
	return command(cmd, func(ctx context.Context, _ []string) error {
		if err := o.read(cmd); err != nil {
			return err
		}
		s, otel, warnings, err := o.parse(sys)
		if err != nil {
			return err
		}
		d := doctor{out: sys.stdout}
		for _, w := range warnings {
			d.warn("setting", w.String())
		}
		// What the page keeps is another process's.
		s.AdminGUIListen = nil
		level := newLogLevel("error")
		app, err := build(ctx, sys, s, otel, o.upstream, newLogger(io.Discard, "text", level), level)
		if err != nil {
			return err
		}
		defer app.close()
		d.settings(s, otel)
		for _, fault := range app.gateway.Faults() {
			d.fail(fault.Type+" "+nameOr(fault.Name, fault.ID), fault.Message)
		}
		d.plugins(ctx, app)
		d.upstreams(ctx, app)
		if d.failures > 0 {
			return fmt.Errorf("%d of %d checks failed", d.failures, d.checks)
		}
		return nil
	})
}

// doctor prints what it finds.
type doctor struct {
	out              io.Writer
	checks, failures int
}

func (d *doctor) say(mark, what, text string) { fmt.Fprintf(d.out, "%-4s  %s: %s\n", mark, what, text) }

func (d *doctor) ok(what, text string) {
	d.checks++
	d.say("ok", what, text)
}

func (d *doctor) fail(what, text string) {
	d.checks++
	d.failures++
	d.say("FAIL", what, text)
}

func (d *doctor) warn(what, text string) { d.say("warn", what, text) }

func (d *doctor) settings(s *settings.Settings, otel settings.OTel) {
	instrumentations, err := tracing.ParseInstrumentations(s.TracingInstrumentations)
	switch {
	case err != nil:
		d.fail("tracing_instrumentations", err.Error())
	case otel.Disabled:
		d.warn("OTEL_SDK_DISABLED", "nothing is traced")
	case instrumentations == tracing.Off:
		d.warn("tracing_instrumentations", "off: nothing is traced")
	default:
		d.ok("tracing_instrumentations", strings.Join(s.TracingInstrumentations, ", "))
	}
	d.rate("tracing_sampling_rate", s.TracingSamplingRate)
	if !otel.Export {
		d.warn("OTEL_TRACES_EXPORTER", "none: traces are not exported")
	}
}

func (d *doctor) rate(what string, rate float64) {
	switch {
	case rate == 0:
		d.warn(what, "0: only requests whose caller samples them are traced")
	case rate <= 0.01:
		d.warn(what, fmt.Sprintf("%v: of 100 requests one or fewer is traced; Kong's default is this low", rate))
	}
}

func (d *doctor) plugins(ctx context.Context, a *app) {
	found := false
	for _, p := range a.store.Snapshot().ActivePlugins {
		if p.Name != opentelemetry.Name {
			continue
		}
		found = true
		name := "opentelemetry " + p.ID
		headers := map[string]string{}
		if set, ok := p.Config["headers"].(entity.Object); ok {
			for k, v := range set {
				headers[k], _ = v.(string)
			}
		}
		asked := 0
		for _, field := range []string{"traces_endpoint", "logs_endpoint", "access_logs.endpoint", "metrics.endpoint"} {
			endpoint, _ := at(p.Config, field).(string)
			if endpoint == "" {
				continue
			}
			asked++
			probed := manager.Probe{Endpoint: endpoint, Headers: headers, Timeout: float64(doctorTimeout.Milliseconds())}.Run(ctx)
			what := name + " " + field
			switch {
			case probed.OK:
				d.ok(what, fmt.Sprintf("the receiver takes an empty export (%d, %.0f ms)", probed.Status, probed.Duration))
			case probed.Status == http.StatusBadRequest:
				// Some receivers refuse a post without anything in it; it has been understood that far.
				d.ok(what, "the receiver answers, 400 to an empty export")
			default:
				d.fail(what, probed.Message)
			}
		}
		if asked == 0 {
			d.warn(name, "it has no endpoint: traces are not exported")
		}
		d.metrics(name, p.Config)
		if rate, ok := p.Config["sampling_rate"].(float64); ok {
			d.rate(name+" sampling_rate", rate)
		}
		d.propagation(name, p.Config)
	}
	if !found {
		d.warn("opentelemetry", "no plugin is enabled: nothing is traced")
	}
}

// metrics warns of a receiver that will hear nothing: as in Kong, every kind of metric has to be switched on.
func (d *doctor) metrics(name string, config entity.Object) {
	if endpoint, _ := at(config, "metrics.endpoint").(string); endpoint == "" {
		return
	}
	for _, kind := range []string{"request", "latency", "bandwidth", "upstream_health"} {
		if at(config, "metrics.enable_"+kind+"_metrics") == true {
			return
		}
	}
	d.warn(name, "metrics.endpoint is set and no metrics.enable_… is true: no metric is sent")
}

// propagation warns where what comes in does not go on.
func (d *doctor) propagation(name string, config entity.Object) {
	extract, inject := texts(at(config, "propagation.extract")), texts(at(config, "propagation.inject"))
	kind, _ := config["header_type"].(string)
	switch {
	case len(extract) == 0 && kind == "ignore":
		d.warn(name, "header_type is ignore: every request begins a new trace")
	case len(extract) == 0 || len(inject) == 0 || slices.Contains(inject, "preserve"):
	case !slices.ContainsFunc(inject, func(f string) bool { return slices.Contains(extract, strings.TrimSuffix(f, "-single")) }):
		d.warn(name, fmt.Sprintf("traces come in as %s and go on as %s: a backend that reads what the caller wrote begins a trace of its own",
			strings.Join(extract, ", "), strings.Join(inject, ", ")))
	}
}

func (d *doctor) upstreams(ctx context.Context, a *app) {
	snapshot := a.store.Snapshot()
	resolve := func(what, host string, port int) {
		ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
		defer cancel()
		address, err := a.resolver.Resolve(ctx, host, port)
		if err != nil {
			d.fail(what, err.Error())
			return
		}
		d.ok(what, fmt.Sprintf("%s is %s", host, address.IP))
	}
	for _, s := range snapshot.Services {
		if !s.Enabled {
			continue
		}
		if _, balanced := snapshot.UpstreamNamed(s.Host); !balanced {
			resolve("service "+nameOr(s.Name, s.ID), s.Host, s.Port)
		}
	}
	for _, t := range snapshot.Targets {
		host, port, err := net.SplitHostPort(t.Target)
		number, portErr := strconv.Atoi(port)
		if err = errors.Join(err, portErr); err != nil {
			d.fail("target "+t.Target, err.Error())
			continue
		}
		resolve("target "+t.Target, host, number)
	}
}

// at finds a value by its path.
func at(object entity.Object, path string) any {
	var value any = object
	for name := range strings.SplitSeq(path, ".") {
		inner, ok := value.(entity.Object)
		if !ok {
			return nil
		}
		value = inner[name]
	}
	return value
}

func texts(value any) []string {
	list, _ := value.([]any)
	var all []string
	for _, v := range list {
		if text, ok := v.(string); ok {
			all = append(all, text)
		}
	}
	return all
}
