package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Probe asks whether a receiver takes OTLP/HTTP.
type Probe struct {
	Endpoint string            `json:"endpoint"` // the URL as the plugin has it
	Headers  map[string]string `json:"headers"`
	Timeout  float64           `json:"timeout"` // ms; 6000 where it is 0, at most 30000
}

// Probed is how a receiver answered to a post without spans.
type Probed struct {
	OK       bool    `json:"ok"`       // it took it
	Status   int     `json:"status"`   // of its answer, 0: none
	Message  string  `json:"message"`  // what went wrong, "" where nothing did
	Duration float64 `json:"duration"` // ms until it had answered
}

const (
	maxProbe     = 64 << 10 // bytes of a probe
	probeTimeout = 6 * time.Second
	mostProbe    = 30 * time.Second
)

// probe posts an empty batch to a receiver for whoever sets up a plugin: by OTLP it has to be taken, and it stores
// nothing.
func (m *manager) probe(w http.ResponseWriter, r *http.Request) {
	var wanted Probe
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxProbe)).Decode(&wanted); err != nil {
		fail(w, http.StatusBadRequest, `want {"endpoint": "http://…", "headers": {}}`)
		return
	}
	writeJSON(w, http.StatusOK, wanted.Run(r.Context()))
}

// Run posts an empty batch and tells how it was answered.
func (p Probe) Run(ctx context.Context) Probed {
	timeout := probeTimeout
	if p.Timeout > 0 {
		timeout = min(time.Duration(p.Timeout)*time.Millisecond, mostProbe)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	status, err := postEmpty(ctx, p)
	result := Probed{Status: status, Duration: float64(time.Since(start)) / float64(time.Millisecond)}
	switch {
	case err != nil:
		result.Message = probeFault(err, timeout)
	case status < 200 || status > 299:
		result.Message = fmt.Sprintf("answers %d %s", status, http.StatusText(status))
	default:
		result.OK = true
	}
	return result
}

// postEmpty posts a request without spans or logs, which is no bytes at all, and gives the answer's status. It follows
// no redirect: its headers are for this address.
func postEmpty(ctx context.Context, p Probe) (int, error) {
	endpoint, err := url.Parse(p.Endpoint)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		return 0, errors.New("the endpoint is no http or https URL")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.String(), http.NoBody)
	if err != nil {
		return 0, errors.New("the endpoint is no http or https URL")
	}
	for name, value := range p.Headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxProbe) // what it says beyond its status does not matter
	return response.StatusCode, nil
}

// probeFault says what went wrong without the URL, which may hold credentials.
func probeFault(err error, timeout time.Duration) string {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &network) && network.Timeout()) {
		return fmt.Sprintf("no answer within %s", timeout)
	}
	return err.Error()
}
