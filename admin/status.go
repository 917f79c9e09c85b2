// Package admin tells operators about a running sidecar, and later lets them change it.
//
// What it tells comes in as functions, so that it knows no other part of the program.
package admin

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Status is what the status listener tells.
type Status struct {
	// Ready says whether requests are taken; if not, why.
	Ready func() (ok bool, reason string)
	// Database is why the database cannot be asked; "" where it can or none is used.
	Database func() string
	// ConfigurationHash is 32 hexadecimal digits, equal for equal configurations.
	ConfigurationHash func() string
	// ConfigurationFault is why the newest configuration could not be used; "" where it could.
	ConfigurationFault func() string
	// ConfigurationFaults are the entities of the configuration in use that cannot be served; nil: there are none to
	// tell of.
	ConfigurationFaults func() []Fault
	Traffic             func() Traffic
	Exporters           func() []Exporter
	// Shed tells whether requests go untraced for want of memory, and how many did so far.
	Shed func() (now bool, total uint64)
	// Upstreams are the upstreams with the health of their targets; nil: there are none to tell of.
	Upstreams func() []Upstream
	// KongAdmin is how reading the configuration of another Kong stands, for JSON; nil: none is read.
	KongAdmin func() any
	Version   string
}

// Fault is an entity that cannot be served as it is configured.
type Fault struct {
	Type    string `json:"entity_type"`
	ID      string `json:"entity_id"`
	Name    string `json:"entity_name,omitempty"`
	Message string `json:"message"`
}

func (s Status) faults() []Fault {
	if s.ConfigurationFaults == nil {
		return nil
	}
	return s.ConfigurationFaults()
}

// Upstream is how an upstream does. Health is Kong's word: HEALTHY, UNHEALTHY, HEALTHCHECKS_OFF or, of a target alone,
// DNS_ERROR.
type Upstream struct {
	Name    string   `json:"name"`
	Health  string   `json:"health"`
	Targets []Target `json:"targets"`
}

// Target is how a target does.
type Target struct {
	Target    string    `json:"target"` // host:port as configured
	Health    string    `json:"health"`
	Weight    int       `json:"weight"`
	DNS       string    `json:"dns"` // the record type that its name resolved by, or why it did not
	Addresses []Address `json:"addresses"`
}

// Address is how one of a target's addresses does.
type Address struct {
	IP     string  `json:"ip"` // in brackets where it is IPv6
	Port   int     `json:"port"`
	Weight float64 `json:"weight"`
	Health string  `json:"health"`
}

func (s Status) upstreams() []Upstream {
	if s.Upstreams == nil {
		return []Upstream{}
	}
	return s.Upstreams()
}

// Traffic is what the gateway counted.
type Traffic struct {
	Connections Connections
	Active      int64 // requests under way
	Total       uint64
	Requests    []RequestCount
	// Histograms of seconds; buckets are upper bounds with cumulated counts.
	Kong, Upstream, Request Histogram
}

// Connections are those of the proxy's listeners.
type Connections struct{ Accepted, Active, Idle uint64 }

// RequestCount is the number of requests of one service and route that ended with one status.
type RequestCount struct {
	Service, Route string
	Status         int
	Count          uint64
}

// Histogram is a distribution of seconds.
type Histogram struct {
	Buckets map[float64]uint64 // upper bound → requests up to it
	Count   uint64
	Sum     float64
}

// Exporter is one queue of spans, or of records of another signal, and what became of them:
// Created = Delivered + Rejected + the sum of Dropped + Queued.
type Exporter struct {
	ID          string            `json:"id"`     // tells exporters with equal endpoints apart
	Signal      string            `json:"signal"` // traces, logs, access_logs or metrics
	Endpoint    string            `json:"endpoint"`
	Created     uint64            `json:"created"`
	Delivered   uint64            `json:"delivered"`
	Rejected    uint64            `json:"rejected"`
	Dropped     map[string]uint64 `json:"dropped"`
	Queued      uint64            `json:"queued"`
	QueuedBytes int64             `json:"queued_bytes"`
	Stored      uint64            `json:"stored"`    // of Queued, those that wait on disk
	Recovered   uint64            `json:"recovered"` // of Created, those that another process or queue had left on disk
	Posts       uint64            `json:"posts"`
	Retries     uint64            `json:"retries"`
	Failing     bool              `json:"failing"`
	LastError   string            `json:"last_error,omitempty"`
}

// StatusHandler serves /status, /status/ready and /metrics. Kong: kong/api/routes/health.lua
func StatusHandler(s Status) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{s})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /status/ready", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func (s Status) status(w http.ResponseWriter, _ *http.Request) {
	traffic := s.Traffic()
	shedding, shed := s.Shed()
	away := s.Database()
	body := map[string]any{
		"database": map[string]any{"reachable": away == ""},
		"server": map[string]any{
			"connections_accepted": traffic.Connections.Accepted,
			"connections_active":   traffic.Connections.Active,
			"connections_handled":  traffic.Connections.Accepted,
			"connections_reading":  0,
			"connections_waiting":  traffic.Connections.Idle,
			"connections_writing":  traffic.Active,
			"total_requests":       traffic.Total,
		},
		"memory":             memory(),
		"configuration_hash": s.ConfigurationHash(),
		"tracing":            map[string]any{"exporters": s.Exporters(), "shedding": shedding, "shed_requests": shed},
		"upstreams":          s.upstreams(),
		"version":            s.Version,
	}
	if away != "" {
		body["database_error"] = away
	}
	if s.KongAdmin != nil {
		body["kong_admin"] = s.KongAdmin()
	}
	if fault := s.ConfigurationFault(); fault != "" {
		body["configuration_error"] = fault
	}
	if faults := s.faults(); len(faults) > 0 {
		body["configuration_faults"] = faults
	}
	writeJSON(w, http.StatusOK, body)
}

func (s Status) ready(w http.ResponseWriter, _ *http.Request) {
	if ok, reason := s.Ready(); !ok {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"message": reason})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"message": "ready"})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The client may have gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
