package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidekong/admin"
	"sidekong/proxy"
	"sidekong/proxy/balancer"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/tracing/queue"
)

// status is what the status listener tells.
func (a *app) status() admin.Status {
	status := admin.Status{
		Version: buildVersion(),
		Ready: func() (bool, string) {
			switch {
			case a.draining.Load():
				return false, "draining"
			case !a.serving.Load():
				return false, "starting"
			default:
				return true, ""
			}
		},
		Database: func() string {
			if away := a.unreachable.Load(); away != nil {
				return *away
			}
			return ""
		},
		ConfigurationHash: func() string { return a.store.Snapshot().Hash },
		ConfigurationFault: func() string {
			if fault := a.fault.Load(); fault != nil {
				return *fault
			}
			return ""
		},
		ConfigurationFaults: a.faults,
		Traffic:             a.traffic,
		Shed:                func() (bool, uint64) { return a.tracer.Shedding(), a.tracer.ShedTotal() },
		Exporters:           a.exporterStatus,
		Upstreams:           a.upstreams,
	}
	if a.poller != nil {
		status.KongAdmin = func() any { return a.poller.Status() }
	}
	return status
}

// faults tells of the entities that are not served.
func (a *app) faults() []admin.Fault {
	var all []admin.Fault
	for _, f := range a.gateway.Faults() {
		all = append(all, admin.Fault(f))
	}
	return all
}

// upstreams tells how the targets do, in the order of the upstreams' names.
func (a *app) upstreams() []admin.Upstream {
	all := []admin.Upstream{}
	for _, h := range a.gateway.Health() {
		all = append(all, upstreamStatus(h))
	}
	slices.SortFunc(all, func(a, b admin.Upstream) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func upstreamStatus(h proxy.UpstreamHealth) admin.Upstream {
	up := admin.Upstream{Name: h.Upstream.Name, Health: balancer.HealthchecksOff, Targets: []admin.Target{}}
	switch {
	case h.Checked && h.Healthy:
		up.Health = balancer.Healthy
	case h.Checked:
		up.Health = balancer.Unhealthy
	}
	for _, t := range h.Targets {
		target := admin.Target{
			Target: t.Target.Target, Health: t.Health, Weight: t.Target.Weight, DNS: t.DNS, Addresses: []admin.Address{},
		}
		for _, address := range t.Addresses {
			target.Addresses = append(target.Addresses, admin.Address(address))
		}
		up.Targets = append(up.Targets, target)
	}
	return up
}

func (a *app) traffic() admin.Traffic {
	stats := a.gateway.Stats()
	open := uint64(a.counts.open.Load())
	traffic := admin.Traffic{
		Connections: admin.Connections{
			Accepted: uint64(a.counts.accepted.Load()), Active: open, Idle: open - min(open, uint64(stats.Active)),
		},
		Active: stats.Active, Total: stats.Total,
		Kong: cumulate(stats.Kong), Upstream: cumulate(stats.Upstream), Request: cumulate(stats.Request),
	}
	for _, r := range stats.Requests {
		traffic.Requests = append(traffic.Requests, admin.RequestCount(r))
	}
	return traffic
}

func cumulate(h proxy.Histogram) admin.Histogram {
	out := admin.Histogram{Buckets: map[float64]uint64{}, Sum: h.Sum}
	for i, n := range h.Buckets {
		out.Count += n
		if i < len(proxy.LatencyBounds) {
			out.Buckets[proxy.LatencyBounds[i]] = out.Count
		}
	}
	return out
}

func (a *app) exporterStatus() []admin.Exporter {
	all := []admin.Exporter{}
	for _, s := range a.exporters.Stats() {
		e := admin.Exporter{
			ID: s.ID, Signal: s.Signal, Endpoint: s.Endpoint, Created: s.Created, Delivered: s.Delivered, Rejected: s.Rejected,
			Dropped: map[string]uint64{}, Queued: s.Queued, QueuedBytes: s.QueuedBytes, Posts: s.Posts, Retries: s.Retries,
			Stored: s.Stored, Recovered: s.Recovered, Failing: s.Failing, LastError: s.LastError,
		}
		for reason, n := range s.Dropped {
			e.Dropped[queue.Reason(reason).String()] = n
		}
		all = append(all, e)
	}
	return all
}

// healthTimeout bounds what `sidekong health` waits for.
const healthTimeout = 3 * time.Second

func healthCommand(sys system) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running sidecar whether it is ready; for a container's health check",
		Args:  cobra.NoArgs,
	}
	o.flags(cmd)
	return command(cmd, func(ctx context.Context, _ []string) error {
		if err := o.read(cmd); err != nil {
			return err
		}
		s, _, _, err := o.parse(sys)
		if err != nil {
			return err
		}
		if len(s.StatusListen) == 0 {
			return configError{fmt.Errorf("status_listen is off: there is nobody to ask")}
		}
		scheme := "http"
		if s.StatusListen[0].SSL {
			scheme = "https"
		}
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		return askReady(ctx, sys.stdout, scheme+"://"+reachable(s.StatusListen[0].Address)+"/status/ready")
	})
}

func askReady(ctx context.Context, out io.Writer, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// The listener is this machine's own, and its certificate may be one that it signed itself.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: status %d: %s", res.StatusCode, body)
	}
	_, err = fmt.Fprintln(out, "healthy")
	return err
}

// reachable turns an address to listen on into one to connect to.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// targetHealth is the health of all targets, address by address.
func (a *app) targetHealth() (all []opentelemetry.TargetHealth) {
	for _, up := range a.gateway.Health() {
		for _, t := range up.Targets {
			h := opentelemetry.TargetHealth{Upstream: up.Upstream.Name, Target: t.Target.Target, State: strings.ToLower(t.Health)}
			for _, address := range t.Addresses {
				h.Address, h.State = net.JoinHostPort(address.IP, strconv.Itoa(address.Port)), strings.ToLower(address.Health)
				all = append(all, h)
			}
			if len(t.Addresses) == 0 {
				all = append(all, h)
			}
		}
	}
	return all
}
